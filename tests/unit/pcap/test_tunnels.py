"""Encapsulations are followed to the innermost IP header, and only where it is one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.model.columns import MARK_FRAGMENT, MARK_MIRROR_SEQUENCE, TUNNELS
from orchestrator.pcap.reader import read_capture
from tests.support.offline import analyse_files, segment
from tests.support.shells import checked, erspan, ethernet, geneve, gre, gtp, ip4, ip6, udp, vxlan
from tests.support.wire import Packet, write_pcap

IP = checked(Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=b"hello", seq=9, ack=8, tsval=55).bytes())
SIX = ip6(17, struct.pack(">HHHH", 1234, 80, 13, 0) + b"hello", src="fd00::1", dst="fd00::2")
FRAME, SIX_FRAME = ethernet(0x0800, IP), ethernet(0x86DD, SIX)
WIFI = b"\x08\x01" + bytes(22) + b"\xaa\xaa\x03\0\0\0\x08\0" + IP
COLUMNS = ("digest", "flow", "src_lo", "dst_lo", "sport", "dport", "ip_id", "seq", "ack", "payload", "tsval", "kept")


def capwap(body, flags):
    return udp(5247, struct.pack(">BBHI", 0, 2 << 3, flags, 0) + body)


SHELLS = [
    pytest.param(ip4(4, IP), "IP in IP", id="ipip"),
    pytest.param(ip6(4, IP), "IP in IP", id="4in6"),
    pytest.param(ip6(0, b"\x04\0\1\4\0\0\0\0" + IP), "IP in IP", id="4in6-behind-options"),
    pytest.param(ip4(4, IP, options=b"\1\1\1\0"), "IP in IP", id="ipip-with-ip-options"),
    pytest.param(gre(0x0800, IP), "GRE", id="gre"),
    pytest.param(gre(0x0800, IP, key=5, sequence=6, checksum=True), "GRE", id="gre-key-sequence-checksum"),
    pytest.param(gre(0x6558, FRAME, key=5), "GRE", id="gre-ethernet"),
    pytest.param(gre(0x8847, b"\0\0\x11\x40" + IP), "GRE", id="gre-mpls"),
    pytest.param(gre(0x883E, b"\0\0\0\0" + IP), "GRE", id="wccp-2"),
    pytest.param(gre(0x883E, IP), "GRE", id="wccp-1"),
    pytest.param(ip4(47, b"\x30\x81\x88\x0b\0\x40\0\1" + bytes(8) + b"\xff\x03\0\x21" + IP), "GRE", id="pptp"),
    pytest.param(ip4(137, b"\0\0\x11\x40" + IP), "MPLS in IP", id="mpls-in-ip"),
    pytest.param(udp(6635, b"\0\0\x11\x40" + IP), "MPLS in IP", id="mpls-in-udp"),
    pytest.param(vxlan(FRAME), "VXLAN", id="vxlan"),
    pytest.param(vxlan(FRAME, port=8472), "VXLAN", id="vxlan-linux"),
    pytest.param(vxlan(FRAME + bytes(6)), "VXLAN", id="vxlan-padded-frame"),
    pytest.param(vxlan(ethernet(0x8100, b"\0\x14\x08\0" + IP)), "VXLAN", id="vxlan-vlan"),
    pytest.param(udp(4790, b"\x0c\0\0\1\0\0\7\0" + IP), "VXLAN", id="vxlan-gpe-ip"),
    pytest.param(udp(4790, b"\x0c\0\0\3\0\0\7\0" + FRAME), "VXLAN", id="vxlan-gpe-ethernet"),
    pytest.param(udp(4790, b"\x0c\0\0\4\0\0\7\0\0\2\2\1" + bytes(4) + IP), "VXLAN", id="vxlan-gpe-nsh"),
    pytest.param(geneve(0x6558, FRAME), "GENEVE", id="geneve"),
    pytest.param(geneve(0x6558, FRAME, options=bytes(12)), "GENEVE", id="geneve-options"),
    pytest.param(geneve(0x0800, IP), "GENEVE", id="geneve-ip"),
    pytest.param(gtp(IP), "GTP-U", id="gtp"),
    pytest.param(gtp(IP, flags=0x32, optional=b"\0\1\0\0"), "GTP-U", id="gtp-sequence"),
    pytest.param(gtp(IP, flags=0x34, optional=b"\0\0\0\x85\1\0\1\0"), "GTP-U", id="gtp-extension"),
    pytest.param(ip4(115, struct.pack(">I", 7) + FRAME), "L2TP", id="l2tpv3"),
    pytest.param(ip4(115, struct.pack(">IQI", 7, 8, 0) + FRAME), "L2TP", id="l2tpv3-cookie-sublayer"),
    pytest.param(udp(1701, b"\0\2\0\1\0\2\xff\x03\0\x21" + IP), "L2TP", id="l2tpv2"),
    pytest.param(
        udp(1701, b"\x4a\2" + struct.pack(">HHHHHH", 24 + len(IP), 1, 2, 3, 4, 2) + b"xy\0\x21" + IP), "L2TP",
        id="l2tpv2-all-fields",
    ),
    pytest.param(capwap(FRAME, 0), "CAPWAP", id="capwap-ethernet"),
    pytest.param(capwap(WIFI, 0x0100), "CAPWAP", id="capwap-802.11"),
    pytest.param(erspan(1, 0, 0, FRAME), "ERSPAN", id="erspan-1"),
    pytest.param(erspan(2, 100, 5, FRAME), "ERSPAN", id="erspan-2"),
    pytest.param(erspan(3, 100, 5, FRAME), "ERSPAN", id="erspan-3"),
    pytest.param(erspan(3, 100, 5, FRAME, platform=True), "ERSPAN", id="erspan-3-platform"),
    pytest.param(udp(37008, b"\1\0\0\1\x0a\1\x55\0\1" + FRAME), "TZSP", id="tzsp"),
    pytest.param(udp(37008, b"\1\1\0\x12\1" + WIFI), "TZSP", id="tzsp-802.11"),
    pytest.param(vxlan(ethernet(0x0800, gre(0x0800, ip4(4, IP)))), "IP in IP", id="three-deep"),
    pytest.param(erspan(2, 100, 5, ethernet(0x0800, vxlan(FRAME))), "VXLAN", id="a-tunnel-in-a-mirror"),
]  # fmt: skip


def read(path, packet, **options):
    return read_capture(write_pcap(path, [(7, ethernet(0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet))], **options))


@pytest.mark.parametrize(("packet", "tunnel"), SHELLS)
def test_the_innermost_packet_is_what_counts(tmp_path, packet, tunnel):
    """The same columns as without any shell, and the name of the last one."""
    bare, _ = read(tmp_path / "bare.pcap", IP, link_type=1)
    packets, file = read(tmp_path / "a.pcap", packet, link_type=1)
    assert file.not_decoded == {}
    assert TUNNELS[packets.tunnel[0]] == tunnel
    for column in COLUMNS:
        assert getattr(packets, column)[0] == getattr(bare, column)[0], column


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ip4(41, SIX), id="6in4"),
        pytest.param(ip6(41, SIX), id="6in6"),
        pytest.param(gre(0x86DD, SIX), id="gre"),
        pytest.param(vxlan(SIX_FRAME), id="vxlan"),
        pytest.param(gtp(SIX), id="gtp"),
        pytest.param(udp(4790, b"\x0c\0\0\2\0\0\7\0" + SIX), id="vxlan-gpe"),
        pytest.param(udp(3544, SIX), id="teredo"),
        pytest.param(erspan(2, 1, 1, SIX_FRAME), id="erspan"),
    ],
)
def test_ipv6_inside(tmp_path, packet):
    """It has no checksum: its version and length speak for it."""
    bare, _ = read(tmp_path / "bare.pcap", SIX, link_type=1)
    packets, _ = read(tmp_path / "a.pcap", packet, link_type=1)
    assert packets.tunnel[0] > 0
    assert packets.family[0] == 6
    for column in ("digest", "flow", "src_hi", "src_lo", "dst_hi", "dst_lo", "sport", "payload"):
        assert getattr(packets, column)[0] == getattr(bare, column)[0], column


@pytest.mark.parametrize(("packet", "tunnel"), SHELLS)
def test_a_shell_cut_anywhere_never_yields_another_packet(tmp_path, packet, tunnel):
    """What is kept is the outer packet or the inner one, nothing that neither is."""
    frame = ethernet(0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet)
    path = tmp_path / "cut.pcap"
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)]
    out += [struct.pack("<IIII", 0, 0, k, len(frame)) + frame[:k] for k in range(len(frame))]
    path.write_bytes(b"".join(out))
    whole, _ = read(tmp_path / "a.pcap", packet, link_type=1)
    packets, _ = read_capture(path)
    inner = TUNNELS.index(tunnel) == packets.tunnel
    assert set(packets.src_lo[inner].tolist()) <= {whole.src_lo[0]}
    assert inner.any()


DAMAGED = checked(IP)[:10] + b"\xde\xad" + IP[12:]
LONGER = checked(IP[:2] + struct.pack(">H", 900) + IP[4:])


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(vxlan(ethernet(0x0800, DAMAGED)), id="vxlan-wrong-checksum"),
        pytest.param(udp(4789, bytes(8) + FRAME), id="vxlan-without-its-flag"),
        pytest.param(gtp(DAMAGED), id="gtp-wrong-checksum"),
        pytest.param(gtp(LONGER), id="gtp-inner-longer-than-outer"),
        pytest.param(gtp(SIX[:-2]), id="gtp-ipv6-does-not-fit"),
        pytest.param(gtp(SIX + b"x"), id="gtp-ipv6-does-not-fill"),
        pytest.param(udp(2152, b"\x30\1\0\0" + bytes(20)), id="gtp-echo"),
        pytest.param(geneve(0x0800, LONGER[:10] + b"\0\0" + LONGER[12:]), id="geneve-wrong"),
        pytest.param(udp(3544, b"\x60" + bytes(60)), id="teredo-wrong-length"),
        pytest.param(ip4(4, DAMAGED), id="ipip-wrong-checksum"),
        pytest.param(gre(0x0800, IP)[:20] + b"\x40\0\x08\0" + IP, id="gre-source-route"),
        pytest.param(ip4(115, bytes(4) + FRAME), id="l2tpv3-control"),
        pytest.param(udp(1701, b"\xc8\2" + bytes(40)), id="l2tpv2-control"),
        pytest.param(udp(53, b"\x08\0\0\0\0\0\7\0" + FRAME), id="another-port"),
        pytest.param(capwap(FRAME, 0x0080), id="capwap-fragment"),
        pytest.param(ip4(47, b"\0"), id="gre-cut"),
        pytest.param(vxlan(ethernet(0x0806, bytes(28))), id="arp-inside"),
    ],
)
def test_what_is_no_packet_inside_is_not_followed(tmp_path, packet):
    """An ordinary datagram to such a port stays what it is."""
    packets, _ = read(tmp_path / "a.pcap", packet, link_type=1)
    assert packets.tunnel.tolist() == [0]
    assert packets.src_lo.tolist() == [0xC0000201]
    assert packets.protocol.tolist() == [packet[9]]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([4789, 8472, 4790, 6081, 2152, 37008, 1701, 5247, 6635, 3544]), st.binary(max_size=200))
def test_random_datagrams_to_tunnel_ports_are_datagrams(tmp_path_factory, port, body):
    """A checksum and lengths that fit by chance are not to be expected here."""
    packets, _ = read(tmp_path_factory.mktemp("random") / "a.pcap", udp(port, body), link_type=1)
    assert packets.tunnel.tolist() == [0]
    assert packets.dport.tolist() == [port]


def test_fragments_of_a_shell_are_fragments(tmp_path):
    """Only a whole shell can be opened; its pieces are matched as pieces."""
    first = checked(gre(0x0800, IP)[:6] + b"\x20\0" + gre(0x0800, IP)[8:])
    packets, _ = read(tmp_path / "a.pcap", first, link_type=1)
    assert packets.tunnel.tolist() == [0]
    assert packets.marks[0] & MARK_FRAGMENT


def test_no_more_than_six_shells_are_opened(tmp_path):
    """Matryoshkas are hostile."""
    packet = IP
    for k in range(9):
        packet = ip4(4, packet, src=f"192.0.2.{100 + k}")
    packets, _ = read(tmp_path / "a.pcap", packet, link_type=1)
    assert packets.src_lo.tolist() == [0xC0000200 + 102]


def mirrored(path, packets):
    return read_capture(write_pcap(path, [(k, ethernet(0x0800, p)) for k, p in enumerate(packets)], link_type=1))[0]


def test_a_mirror_has_a_session_and_numbers_its_frames(tmp_path):
    """Sessions are sub-points; gaps in the numbers are what the mirror lost."""
    packets = mirrored(
        tmp_path / "a.pcap",
        [erspan(2, 0, 10, FRAME), erspan(2, 1023, 2**32 - 1, FRAME), erspan(3, 7, 12, FRAME), erspan(1, 0, 0, FRAME),
         udp(37008, b"\1\0\0\1\1" + FRAME), gre(0x0800, IP, sequence=4), IP],
    )  # fmt: skip
    assert packets.mirror_session.tolist() == [1, 1024, 8, 1, 1, 0, 0]
    assert packets.mirror_sequence.tolist() == [10, 2**32 - 1, 12, 0, 0, 0, 0]
    assert (packets.marks & MARK_MIRROR_SEQUENCE != 0).tolist() == [True, True, True, False, False, False, False]
    assert (packets.tunnel >= TUNNELS.index("ERSPAN")).tolist() == [True] * 5 + [False] * 2


def test_a_frame_that_the_mirror_cut_is_still_followed(tmp_path):
    """Switches copy the first bytes only: the checksum of the header is enough then."""
    long = checked(Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=bytes(1000), seq=9).bytes())
    packets = mirrored(
        tmp_path / "a.pcap", [erspan(2, 1, 1, ethernet(0x0800, long)[:100]), vxlan(ethernet(0x0800, long)[:100])]
    )
    assert packets.payload.tolist() == [1000, 1000]
    assert packets.kept.tolist() == [46, 46]
    assert packets.tunnel.tolist() == [TUNNELS.index("ERSPAN"), TUNNELS.index("VXLAN")]


def test_the_hash_of_the_link_is_that_of_the_mirrored_frame(tmp_path):
    """The way of a mirror's shell says nothing; that of a tunnel does."""
    other = b"\x02\0\0\0\0\x0c" + FRAME[6:]
    packets = mirrored(
        tmp_path / "a.pcap",
        [erspan(2, 1, 1, FRAME), erspan(2, 1, 2, FRAME), erspan(2, 1, 3, other), erspan(2, 2, 4, FRAME),
         ip4(4, IP), ip4(4, IP, src="192.0.2.9"), IP],
    )  # fmt: skip
    assert packets.link[0] == packets.link[1]
    assert len(set(packets.link.tolist())) == 6


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(vxlan, id="vxlan"),
        pytest.param(lambda f: erspan(2, 5, 9, f), id="erspan"),
        pytest.param(lambda f: gre(0x6558, f), id="gre"),
    ],
)
def test_a_point_inside_a_tunnel_is_compared_with_a_bare_one(tmp_path, wrap):
    """Everything is delivered but what was dropped: one datagram, named exactly."""
    questions = [Packet("10.0.0.1", "10.0.0.2", 4000, 53, k, 64, b"%d" % k, 17).bytes() for k in range(200)]
    flow = [checked(p) for p in questions]
    hop = [checked(p[:8] + bytes([p[8] - 1]) + p[9:]) for p in flow]
    near = [(k * 10**7, ethernet(0x0800, p)) for k, p in enumerate(flow)]
    far = [(k * 10**7 + 10**6, ethernet(0x0800, wrap(ethernet(0x0800, p)))) for k, p in enumerate(hop) if k != 77]
    files = {name: write_pcap(tmp_path / name, rows, link_type=1) for name, rows in (("near", near), ("far", far))}

    result = analyse_files(tmp_path, files)

    assert segment(result, "near", "far").delivered == 199
    assert [v.frame for v in result.vanished] == [78]
