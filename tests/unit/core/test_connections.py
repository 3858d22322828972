"""The table of connections, held against paths on which every packet's fate is known."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.offline import analyse_files
from tests.support.pathsim.cases import Case, Devices, Point, Traffic, make
from tests.support.pathsim.tcp import Stack
from tests.support.wire import ACK, FIN, PSH, RST, SYN, Packet, write_pcap

US, MS, S = 10**3, 10**6, 10**9
POINT = Point(reports=True)
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
UP, DOWN = True, False
"""From the client, from the server."""
CLIENT, SERVER = ("192.0.2.1", 40_000), ("198.51.100.2", 443)


def by_ends(made):
    """Return what passed the first point, or came to it, by connection."""
    found = defaultdict(list)
    for p in made.sent:
        if p.protocol == 6 and p.crossed:
            found[p.client, p.server].append(p)
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(
    seed=st.integers(0, 2**32), loss=st.sampled_from((0.0, 0.02)), ending=st.sampled_from(("fin", "reset", "none")),
    nat=st.sampled_from((None, 1)), ids=st.sampled_from(("counter", "random")),
)  # fmt: skip
def test_every_connection_is_one_row(seed, loss, ending, nat, ids):
    """As many packets each way as came past any point, its losses, its end, and its addresses behind a translator."""
    case = Case(
        seed=seed, points=3, loss=(0.0, loss, loss, 0.0), captures=(POINT,) * 3, stack=Stack(ids=ids),
        devices=Devices(nat=nat), traffic=Traffic(connections=3, turns=4, turn_bytes=9_000, ending=ending),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch))
        result = analyse_files(Path(scratch), made.files)
    truth = by_ends(made)
    rows = {(c.flow.src, c.flow.sport): c for c in result.connections if c.flow.protocol == "tcp"}

    assert result.connections_in_all == len(result.connections)
    assert len(rows) == len(truth)
    for (client, server), sent in truth.items():
        row = rows[client]
        assert (row.flow.dst, row.flow.dport) == server
        assert (row.client.packets, row.server.packets) == (
            sum(p.forward for p in sent), sum(not p.forward for p in sent),
        )  # fmt: skip
        assert row.client.vanished + row.server.vanished <= sum(p.lost_on in {1, 2} for p in sent)
        assert row.client.bytes == reach(sent, forward=True)
        assert row.server.bytes == reach(sent, forward=False)
        assert row.opened == "handshake"
        assert (row.closed == "reset") == any(p.flags & RST for p in sent)
        if ending == "fin" and all(any(p.flags & FIN and p.forward == w for p in sent) for w in (True, False)):
            assert row.closed == "fin"
        assert bool(row.elsewhere) == (nat is not None)


def reach(sent, *, forward):
    """Return how many bytes the data of one direction spans, as far as it was seen."""
    data = [p for p in sent if p.forward == forward and p.payload]
    if not data:
        return 0
    base = data[0].seq
    places = [(p.seq - base + 2**31) % 2**32 - 2**31 for p in data]
    return max(a + len(p.payload) for a, p in zip(places, data, strict=True)) - min(places)


def captured(folder, packets, crossing_ns=4 * MS):
    """Write (sent at, from the client, packet) as a point at the client and one *crossing_ns* away saw them."""
    near, far = [], []
    for at, forward, packet in packets:
        here, there = (near, far) if forward else (far, near)
        here.append((at, packet.bytes()))
        there.append((at + crossing_ns, packet.hop().bytes()))
    files = {"near": write_pcap(folder / "n.pcap", sorted(near)), "far": write_pcap(folder / "f.pcap", sorted(far))}
    return analyse_files(folder, files)


def packet(forward, number, seq, ack, flags=ACK, payload=b"", port=CLIENT[1]):
    ends = (CLIENT[0], SERVER[0], port, SERVER[1]) if forward else (SERVER[0], CLIENT[0], SERVER[1], port)
    return Packet(*ends, ip_id=number, seq=seq, ack=ack, flags=flags, payload=payload)


def background():
    """Yield another connection by which the clocks are found."""
    for k in range(60):
        yield 1 * S + k * 20 * MS, UP, packet(UP, 500 + k, 7_000 + k, 9_000, PSH | ACK, b"x", port=50_000)
        yield 1 * S + k * 20 * MS + 10 * MS, DOWN, packet(DOWN, 700 + k, 9_000, 7_001 + k, port=50_000)


def opening(start, isn=100, first=1):
    """Yield a handshake: the server takes 3 ms, the client 1 ms, the way between the points 4 ms."""
    yield start, UP, packet(UP, first, isn, 0, SYN)
    yield start + 7 * MS, DOWN, packet(DOWN, first, 900, isn + 1, SYN | ACK)
    yield start + 12 * MS, UP, packet(UP, first + 1, isn + 1, 901)


def of_port(result, port=CLIENT[1]):
    return [c for c in result.connections if c.flow.sport == port]


def test_the_opening_is_timed_at_each_point(tmp_path):
    """Round trips beyond either point; their difference is the segment's, whatever the clocks say."""
    (row,) = of_port(captured(tmp_path, [*background(), *opening(S)]))

    times = {h.point: (h.server_ns, h.client_ns) for h in row.handshake}
    assert times == {"near": (11 * MS, 1 * MS), "far": (3 * MS, 9 * MS)}
    assert row.flow.src == CLIENT[0]


def test_the_longest_silence(tmp_path):
    """How long, and when it began."""
    late = (3 * S, UP, packet(UP, 5, 101, 901, PSH | ACK, b"hello"))
    (row,) = of_port(captured(tmp_path, [*background(), *opening(S), late]))

    assert (row.idle_ns, row.idle_at_ns) == (3 * S - (S + 12 * MS), S + 12 * MS)
    assert (row.closed, row.closed_by) == ("open", "unknown")
    assert (row.client.bytes, row.server.bytes) == (5, 0)


@pytest.mark.parametrize(
    ("ends", "closed", "by"),
    [
        ([(UP, FIN | ACK, 901)], "half", "client"),
        ([(DOWN, FIN | ACK, 101), (UP, FIN | ACK, 902)], "fin", "server"),
        ([(UP, FIN | ACK, 901), (DOWN, FIN | ACK, 102)], "fin", "client"),
        ([(UP, FIN | ACK, 901), (DOWN, FIN | ACK, 101)], "fin", "unknown"),
        ([(DOWN, RST | ACK, 101)], "reset", "server"),
        ([(UP, FIN | ACK, 901), (DOWN, RST, 0)], "reset", "server"),
    ],
)
def test_who_ended_it(tmp_path, ends, closed, by):
    """The FIN that the other one acknowledges, and nobody's where both were on the way; or the reset."""
    last = [
        (2 * S + k * MS, forward, packet(forward, 20 + k, 101 if forward else 901, ack, flags))
        for k, (forward, flags, ack) in enumerate(ends)
    ]
    (row,) = of_port(captured(tmp_path, [*background(), *opening(S), *last]))

    assert (row.closed, row.closed_by) == (closed, by)
    assert (row.origin is not None) == (closed == "reset")


def test_a_reset_that_a_device_made_is_nobody_s(tmp_path):
    """It names the server, and the point there did not see it."""
    forged = packet(DOWN, 0, 901, 101, RST | ACK)
    sent = [*background(), *opening(S)]
    near, far = [], []
    for at, forward, one in sent:
        here, there = (near, far) if forward else (far, near)
        here.append((at, one.bytes()))
        there.append((at + 4 * MS, one.hop().bytes()))
    near.append((S + 500 * MS, forged.bytes()))
    files = {"near": write_pcap(tmp_path / "n", sorted(near)), "far": write_pcap(tmp_path / "f", sorted(far))}
    (row,) = of_port(analyse_files(tmp_path, files))

    assert (row.closed, row.origin, row.closed_by) == ("reset", "network", "unknown")


def test_a_reset_that_a_device_may_have_made_is_nobody_s(tmp_path):
    """It names the server, and comes with another TTL than the server's packets."""
    odd = (S + 500 * MS, DOWN, packet(DOWN, 0, 901, 101, RST | ACK).hop(3))
    (row,) = of_port(captured(tmp_path, [*background(), *opening(S), odd]))

    assert (row.closed, row.origin, row.closed_by) == ("reset", "unknown", "unknown")


def test_a_reset_before_the_answer_ends_an_attempt_alone(tmp_path):
    """The client resets what it does not know, asks again, and is answered."""
    early = (S - 100 * MS, UP, packet(UP, 90, 100, 0, RST))
    first = (S - 200 * MS, UP, packet(UP, 91, 100, 0, SYN))
    (row,) = of_port(captured(tmp_path, [*background(), first, early, *opening(S)]))

    assert (row.opened, row.closed) == ("handshake", "open")


def test_a_port_used_again_is_another_connection(tmp_path):
    """The SYN with another sequence number begins it; one that is sent again does not."""
    again = (S + 3 * MS, UP, packet(UP, 9, 100, 0, SYN))
    ended = (S + 100 * MS, DOWN, packet(DOWN, 30, 901, 101, RST | ACK))
    result = captured(tmp_path, [*background(), *opening(S), again, ended, *opening(2 * S, isn=77_000, first=40)])

    rows = of_port(result)
    assert [(r.opened, r.closed) for r in rows] == [("handshake", "reset"), ("handshake", "open")]
    assert [r.client.packets for r in rows] == [3, 2]
    assert {h.server_ns is None for h in rows[0].handshake} == {True}  # which SYN was answered is open
    assert {h.server_ns is None for h in rows[1].handshake} == {False}


def test_attempts_without_success(tmp_path):
    """Nothing came back, or a reset did."""
    silent = [(S + k * 500 * MS, UP, packet(UP, 1 + k, 100, 0, SYN)) for k in range(2)]
    closed = [
        (S + 5 * MS, UP, packet(UP, 80, 5, 0, SYN, port=41_000)),
        (S + 12 * MS, DOWN, packet(DOWN, 0, 0, 6, RST | ACK, port=41_000)),
    ]
    result = captured(tmp_path, [*background(), *silent, *closed])

    assert [(r.opened, r.closed) for r in of_port(result)] == [("unanswered", "open")]
    assert [(r.opened, r.closed, r.closed_by) for r in of_port(result, 41_000)] == [("refused", "reset", "server")]


@pytest.mark.parametrize("ending", [(), ((S + 900 * MS, UP, RST | ACK),)])
def test_a_client_that_goes_on_was_answered(tmp_path, ending):
    """Its server's packets pass no point: neither unanswered nor refused, and no finding says so."""
    mine = [p for p in opening(S) if p[1] == UP]
    mine += [(S + 50 * MS, UP, packet(UP, 7, 101, 901, PSH | ACK, b"x" * 100))]
    mine += [(at, way, packet(way, 8, 201, 901, flags)) for at, way, flags in ending]
    result = captured(tmp_path, [*background(), *mine])

    assert [r.opened for r in of_port(result)] == ["unseen"]
    assert not [f for f in result.findings if f.kind == "syn-unanswered" or "No answer" in f.statement]


def test_what_may_still_be_answered_is_not_called_unanswered(tmp_path):
    """The capture ends right behind the SYN."""
    last = (2 * S + 190 * MS, UP, packet(UP, 1, 100, 0, SYN))
    (row,) = of_port(captured(tmp_path, [*background(), last]))

    assert row.opened == "unseen"


def test_datagrams_have_a_row_too(tmp_path):
    """Packets and bytes each way; one way alone shows as such."""
    sent = [
        (S + k * 20 * MS, UP, Packet(CLIENT[0], SERVER[0], 5_000, 53, ip_id=900 + k, protocol=17, payload=b"q" * 30))
        for k in range(10)
    ]
    result = captured(tmp_path, [*background(), *sent])

    (row,) = [c for c in result.connections if c.flow.protocol == "udp"]
    assert (row.opened, row.client.packets, row.client.bytes, row.server.packets) == ("datagrams", 10, 300, 0)
    assert (row.flow.src, row.flow.dport) == (CLIENT[0], 53)
