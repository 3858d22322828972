"""DNS, errors of ICMP and alerts of TLS as they are read out of frames; the bytes are hostile."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.core.wording import domain_name
from orchestrator.model.messages import ALERTS, DNS, HEADER, ICMP_ERRORS, NAME_BYTES, QUESTION, UNREAD
from orchestrator.pcap.index import index_points
from orchestrator.pcap.messages import read_messages
from orchestrator.pcap.messages_kernels import read_alerts, read_dns, read_icmp, read_name
from tests.support.mutations import damaged
from tests.support.names import alert, answer, datagram, icmp_error, question, wire_name
from tests.support.shells import checked, ethernet, ip6, vxlan
from tests.support.wire import Packet, write_pcap

CLIENT, SERVER = "192.0.2.1", "198.51.100.53"


def messages(folder, *packets, link_type=101, snaplen=65535, packed=False):
    path = write_pcap(folder / "a.pcap", list(enumerate(packets)), link_type=link_type, snaplen=snaplen)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    return read_messages(index_points([[path]]))


def ask(payload, **fields):
    return datagram(CLIENT, 40_000, SERVER, 53, payload, **fields).bytes()


def names(found):
    ends = np.cumsum(found.dns["length"].astype(int))
    return [domain_name(part.tobytes()) for part in np.split(found.names, ends[:-1])]


@pytest.mark.parametrize("packed", [False, True])
def test_questions_and_answers(tmp_path, packed):
    """Number, flags, name and type; a name in capitals is the same one. Files may be compressed."""
    reply = datagram(SERVER, 53, CLIENT, 40_000, answer(7, "www.EXAMPLE.org", rcode=3)).bytes()
    found = messages(tmp_path, ask(question(7, "www.example.org", 28)), bytes(20), reply, packed=packed)

    assert found.dns["row"].tolist() == [0, 2]
    assert found.dns["state"].tolist() == [QUESTION, QUESTION]
    assert found.dns["ident"].tolist() == [7, 7]
    assert found.dns["qtype"].tolist() == [28, 1]
    assert (found.dns["flags"] & 0x800F).tolist() == [0, 0x8003]
    assert names(found) == ["www.example.org", "www.EXAMPLE.org"]


def test_points_of_several_files(tmp_path):
    """Rows are those of all files of all points, whatever link layer each has."""
    plain = [ask(question(k, f"n{k}.org")) for k in range(4)]
    first = write_pcap(tmp_path / "1.pcap", [(0, bytes(40)), (1, plain[0])])
    second = write_pcap(tmp_path / "2.pcap", [(5, ethernet(0x0800, plain[1])), (6, ethernet(0x0806, b""))], link_type=1)
    other = write_pcap(tmp_path / "3.pcap", [(0, plain[2]), (1, plain[3])])
    found = read_messages(index_points([[second, first], [other]]))

    assert found.dns["row"].tolist() == [1, 2, 4, 5]
    assert names(found) == ["n0.org", "n1.org", "n2.org", "n3.org"]


def test_more_frames_than_are_read_at_once(tmp_path, monkeypatch):
    """Batches join without a seam."""
    monkeypatch.setattr("orchestrator.pcap.messages.FRAMES_AT_ONCE", 3)
    found = messages(tmp_path, *(ask(question(k, f"n{k}.org")) for k in range(10)))

    assert found.dns["ident"].tolist() == list(range(10))
    assert names(found) == [f"n{k}.org" for k in range(10)]


def test_case_is_no_difference_type_is(tmp_path):
    """What tells questions apart."""
    asked = [("a.org", 1), ("A.oRg", 1), ("a.org", 28), ("b.org", 1)]
    hashes = messages(tmp_path, *(ask(question(1, n, t)) for n, t in asked)).dns["name"].tolist()

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda p: (1, ethernet(0x0800, p)), id="ethernet"),
        pytest.param(lambda p: (1, ethernet(0x8100, b"\0\x07\x08\0" + p)), id="vlan"),
        pytest.param(lambda p: (113, b"\0\0\0\x01\0\x06\x02\0\0\0\0\x01\0\0\x08\0" + p), id="cooked"),
        pytest.param(lambda p: (101, vxlan(ethernet(0x0800, p))), id="vxlan"),
    ],
)
def test_whatever_it_travels_in(tmp_path, wrap):
    """The innermost packet is what counts, as everywhere."""
    link_type, frame = wrap(checked(ask(question(1, "a.org"))))

    assert names(messages(tmp_path, frame, link_type=link_type)) == ["a.org"]


def test_over_ipv6(tmp_path):
    """With an extension header in between."""
    body = ask(question(1, "a.org"))[20:]
    frames = [ip6(17, body), ip6(60, struct.pack(">BB6x", 17, 0) + body)]

    assert names(messages(tmp_path, *frames)) == ["a.org", "a.org"]


def over_tcp(payload):
    return Packet(CLIENT, SERVER, 40_000, 53, payload=payload, flags=24).bytes()


def test_over_tcp_only_whole_messages(tmp_path):
    """One message that a segment consists of is read; a part, or more than one, is counted as not read."""
    whole = question(1, "a.org")
    framed = struct.pack(">H", len(whole)) + whole
    found = messages(tmp_path, *map(over_tcp, (framed, framed + framed, framed[:-1], framed[:2], whole, b"")))

    assert found.dns["state"].tolist() == [QUESTION, UNREAD, UNREAD, UNREAD, UNREAD]


def test_what_is_cut(tmp_path):
    """An answer without its question is still an answer to that number; a question without its name is not read."""
    frames = [ask(question(1, "a-name-of-some-length.org")), ask(answer(1, "a-name-of-some-length.org"))]

    assert messages(tmp_path, *frames, snaplen=45).dns["state"].tolist() == [UNREAD, HEADER]
    assert messages(tmp_path, *frames, snaplen=30).dns["state"].tolist() == [UNREAD, UNREAD]


def test_other_messages_are_no_questions(tmp_path):
    """An update, a notification, two questions in one, and what is no DNS at all."""
    whole = question(1, "a.org")
    update = whole[:2] + b"\x28\0" + whole[4:]
    several = whole[:4] + b"\0\2" + whole[6:]
    found = messages(tmp_path, *map(ask, (update, several, b"constant", bytes(64), b"\x55" * 80)))

    assert found.dns["state"].tolist() == [UNREAD] * 5


def named(message, at):
    """Return (offset behind it, name) of the name at *at*, None where it is damaged."""
    room = np.zeros((1, NAME_BYTES), np.uint8)
    behind, length, _ = read_name(np.frombuffer(message, np.uint8), 0, at, len(message), room, 0)
    return (behind, domain_name(room[0, :length].tobytes())) if length else None


def test_pointers_lead_backwards_only():
    """A pointer that leads to itself or forwards ends the name; chains end with the name they lead to."""
    plain = wire_name("example.org")
    chain = plain + b"\3www\xc0\0" + b"\2de\xc0\x0d" + b"\xc0\x13"
    assert named(chain, 0) == (13, "example.org")
    assert named(chain, 13) == (19, "www.example.org")
    assert named(chain, 19) == (24, "de.www.example.org")
    assert named(chain, 24) == (26, "de.www.example.org")
    assert named(b"\xc0\0", 0) is None
    assert named(b"\1a\xc0\0", 0) is None
    assert named(b"\xc0\2\xc0\0", 0) is None
    assert named(b"\xc0\2\xc0\0", 2) is None


def test_names_that_are_too_long():
    """255 bytes are a name, 256 are none, however they are put together."""
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(longest) == NAME_BYTES
    assert named(longest, 0) is not None
    assert named(longest + b"\1b\xc0\0", NAME_BYTES) is None
    assert named((b"\x3f" + b"a" * 63) * 4 + b"\0", 0) is None
    assert named(b"\x40" + b"a" * 64 + b"\0", 0) is None
    assert named(b"\5abc", 0) is None


def test_bytes_that_do_not_show():
    """Names are written as RFC 1035 writes them: nothing in them reaches a terminal but plain ASCII."""
    assert domain_name(b"\x05a.b\\c\x04\x1b[2J\x03\xff \x7f\0") == "a\\.b\\\\c.\\027[2J.\\255\\032\\127"
    assert domain_name(b"\0") == "."
    assert domain_name(b"\x09ab") == "ab"


QUOTED = Packet("10.1.1.1", "203.0.113.9", 40_000, 443, flags=2, seq=77)


def test_errors_and_what_they_quote(tmp_path):
    """Kind, next-hop MTU, and the five-tuple inside, which names the same flow as the packet itself."""
    needed = icmp_error("192.0.2.254", "10.1.1.1", 3, 4, QUOTED.bytes()[:28], rest=1_400)
    found = messages(tmp_path, QUOTED.bytes(), needed).icmp
    packets = index_points([[tmp_path / "a.pcap"]])[0].packets

    assert found["row"].tolist() == [1]
    assert (found["type"][0], found["code"][0], found["mtu"][0]) == (3, 4, 1_400)
    assert (found["sport"][0], found["dport"][0], found["protocol"][0], found["family"][0]) == (40_000, 443, 6, 4)
    assert found["src_lo"][0] == int.from_bytes(bytes((10, 1, 1, 1)), "big")
    assert found["flow"][0] == packets.flow[0]


def test_packet_too_big_of_ipv6(tmp_path):
    """The MTU has 32 bits there, and what is quoted is IPv6."""
    inner = ip6(6, QUOTED.bytes()[20:])
    found = messages(tmp_path, inner, ip6(58, struct.pack(">BBHI", 2, 0, 0, 1_280) + inner)).icmp

    assert (found["type"][0], found["mtu"][0], found["family"][0], found["dport"][0]) == (2, 1_280, 6, 443)
    assert found["flow"][0] == index_points([[tmp_path / "a.pcap"]])[0].packets.flow[0]


def test_an_error_that_quotes_too_little(tmp_path):
    """It counts, but is about nobody."""
    found = messages(tmp_path, icmp_error("192.0.2.254", "10.1.1.1", 3, 1, QUOTED.bytes()[:12])).icmp

    assert found["family"].tolist() == [0]


def segment(payload):
    return Packet(SERVER, CLIENT, 443, 40_000, payload=payload, flags=24).bytes()


def test_alerts(tmp_path):
    """Two bytes behind the header are in the clear; more are encrypted; what only looks like it is neither."""
    encrypted = struct.pack(">BBBH", 21, 3, 3, 26) + bytes(26)
    plain = [alert(2, 40), alert(1, 0), alert(2, 70, version=1), encrypted, alert(1, 0) + alert(2, 48)]
    other = [b"\x17\3\3\0\x13" + bytes(19), b"\x15\3\3\0\2\7\7", b"\x15\3\x09\0\2\2\x28", b"\x15\3\3\0\2\2"]
    found = messages(tmp_path, *map(segment, plain + other)).alerts

    assert found["level"].tolist()[:5] == [2, 1, 2, 0, 2]
    assert found["description"].tolist()[:5] == [40, 0, 70, 0, 48]
    assert found["encrypted"].tolist()[:5] == [0, 0, 0, 1, 0]
    assert not found["level"][5:].any()
    assert not found["encrypted"][5:].any()


def test_nothing_is_read_again_where_there_is_nothing(tmp_path):
    """A capture without such messages is not opened a second time."""
    path = write_pcap(tmp_path / "a.pcap", [(0, Packet(CLIENT, SERVER, 1, 2, payload=b"hello").bytes())])
    indexes = index_points([[path]])
    path.unlink()

    found = read_messages(indexes)
    assert [len(t) for t in (found.dns, found.names, found.icmp, found.alerts)] == [0, 0, 0, 0]


SAMPLES = [
    question(7, "www.example.org", 28), answer(7, "www.example.org"), answer(7, "www.example.org", rcode=3),
    struct.pack(">H", 33) + question(7, "www.example.org"), alert(2, 40) + alert(1, 0),
    struct.pack(">BBHI", 3, 4, 0, 1_400) + QUOTED.bytes(), struct.pack(">BBHI", 2, 0, 0, 9) + ip6(44, bytes(60)),
]  # fmt: skip


@st.composite
def hostile(draw):
    """Draw a packet whose transport and contents may be anything."""
    body = draw(st.one_of(st.binary(max_size=300), damaged(draw(st.sampled_from(SAMPLES)), SAMPLES[1])))
    protocol = draw(st.sampled_from((1, 6, 17, 58, 0, 44, 51)))
    head = {17: struct.pack(">HHHH", 53, 53, 8 + len(body), 0), 6: b"\0\x35\0\x35" + bytes(8) + b"\x50" + bytes(7)}
    packet = head.get(protocol, b"") + body
    if draw(st.booleans()):
        return draw(damaged(ip6(protocol, packet), packet)) if draw(st.booleans()) else ip6(protocol, packet)
    whole = struct.pack(">BBHHHBBH8s", 0x45, 0, 20 + len(packet), 1, 0, 9, protocol, 0, bytes(8)) + packet
    return draw(damaged(whole, packet)) if draw(st.booleans()) else whole


@settings(max_examples=600, deadline=None, derandomize=True)
@given(packet=hostile(), end=st.integers(0, 400))
def test_hostile_bytes_are_survived(packet, end):
    """Nothing is read outside of what is kept, nothing is followed for ever, and a name is never longer than names."""
    kept = packet[: max(end, 20)] if len(packet) >= 20 else packet + bytes(20 - len(packet))
    data = np.frombuffer(kept, np.uint8)
    places = (data, np.zeros(1, np.int64), np.array([len(packet)], np.uint32), np.zeros(1, np.int64))
    stop, chosen = np.array([len(kept)], np.int64), np.zeros(1, np.int64)
    dns, icmp, alerts = np.zeros(1, DNS), np.zeros(1, ICMP_ERRORS), np.zeros(1, ALERTS)
    room = np.zeros((1, NAME_BYTES), np.uint8)
    read_dns(*places, stop, chosen, dns, room)
    read_icmp(*places, stop, chosen, icmp)
    read_alerts(*places, stop, chosen, alerts)

    name = domain_name(room[0, : dns["length"][0]].tobytes())
    assert name.isascii()
    assert name.isprintable()
    assert icmp["family"][0] in {0, 4, 6}
    assert alerts["level"][0] <= 2
    assert dns["state"][0] == QUESTION or not dns["length"][0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(message=st.one_of(st.binary(min_size=1, max_size=400), st.binary(min_size=1).map(lambda b: b * 20)),
       at=st.integers(0, 400))  # fmt: skip
def test_hostile_names_end(message, at):
    """Wherever a name begins."""
    found = named(message, at)

    assert found is None or found[0] <= len(message)
