"""Invented networks: whatever is dropped is named, on its segment, and nothing else ever is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.pcap.reader import read_capture
from tests.support.offline import analyse_files, segment
from tests.support.streams import generate
from tests.support.wire import ACK, PSH, RST, SYN, Packet, write_pcap

START = 1_700_000_000 * 10**9
HOP_NS = 400_000
NAMES = ("a", "b", "c")


def datagrams(count, *, constant=False):
    """Datagrams client to server and back, every 3 ms; *constant* ones are identical and carry no IP identification."""
    for k in range(count):
        body = b"heartbeat-heartbeat" if constant else f"payload number {k:08d}".encode()
        number = 0 if constant else k + 1
        yield START + k * 3_000_000, True, Packet("10.0.0.1", "10.9.0.1", 4000, 5000, number, 64, body, 17)
        yield START + k * 3_000_000 + 1_400_000, False, Packet("10.9.0.1", "10.0.0.1", 5000, 4000, number, 64, body, 17)


def walk(packets, dropped=(), missed=(), clocks=((0, 0), (0, 0), (0, 0)), *, translate=False):
    """Carry packets over three points; *dropped* holds (number, segment), *missed* (number, point)."""
    seen = {name: [] for name in NAMES}
    for number, (time, forward, packet) in enumerate(packets):
        order = NAMES if forward else NAMES[::-1]
        for hop, name in enumerate(order):
            if (number, hop) in dropped:
                break
            shown = packet.hop(hop)
            if translate and name == "c":
                shown = (
                    replace(shown, src="203.0.113.7", sport=61000)
                    if forward
                    else replace(shown, dst="203.0.113.7", dport=61000)
                )
            if (number, name) not in missed:
                offset, ppm = clocks[NAMES.index(name)]
                true = time + hop * HOP_NS
                seen[name].append((true + offset + (true - START) * ppm // 1_000_000, shown.bytes()))
    return seen


def analysed(tmp_path, seen):
    return analyse_files(tmp_path, {n: write_pcap(tmp_path / f"{n}.pcap", sorted(r)) for n, r in seen.items()})


def accused(tmp_path, result):
    """(IP identification, source, last seen, first missing) of everything that is called vanished."""
    tables = {n: read_capture(tmp_path / f"{n}.pcap")[0] for n in NAMES}
    return {
        (
            int(tables[v.last_seen].ip_id[v.frame - 1]),
            int(tables[v.last_seen].ttl[v.frame - 1]) == 64 or v.flow.dport,
            v.last_seen,
            v.first_missing,
        )
        for v in result.vanished
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dropped=st.sets(st.tuples(st.integers(10, 109), st.integers(1, 2)), max_size=12),
    offsets=st.tuples(*[st.integers(-(10**13), 10**13)] * 3),
    drifts=st.tuples(*[st.integers(-300, 300)] * 3),
    translate=st.booleans(),
)
def test_what_is_dropped_is_named_exactly(tmp_path, dropped, offsets, drifts, translate):
    """Any losses, any clocks (hours apart, 300 ppm), translated or not: the accused set is the dropped set."""
    first = {}
    for number, hop in sorted(dropped):
        first.setdefault(number, hop)
    seen = walk(
        list(datagrams(60)), set(first.items()), clocks=tuple(zip(offsets, drifts, strict=True)), translate=translate
    )

    result = analysed(tmp_path, seen)

    expected = {"forward": [0, 0], "reverse": [0, 0]}
    for number, hop in first.items():
        expected["forward" if number % 2 == 0 else "reverse"][hop - 1] += 1
    got = {
        "forward": [segment(result, "a", "b"), segment(result, "b", "c")],
        "reverse": [segment(result, "c", "b"), segment(result, "b", "a")],
    }
    for direction, rows in got.items():
        assert [r.vanished + r.vanished_probable for r in rows] == expected[direction]
    assert len(result.vanished) == len(first)
    for row in result.segments:
        assert row.sent == row.delivered + row.vanished + row.vanished_probable + row.undecided


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dropped=st.sets(st.tuples(st.integers(10, 109), st.integers(1, 2)), max_size=8),
    missed=st.sets(st.tuples(st.integers(10, 109), st.sampled_from(NAMES)), max_size=30),
)
def test_a_capture_that_misses_packets_never_makes_a_loss(tmp_path, dropped, missed):
    """Points that miss packets lower what can be said; they never add an accusation outside the dropped set."""
    first = {}
    for number, hop in sorted(dropped):
        first.setdefault(number, hop)
    packets = list(datagrams(60))

    result = analysed(tmp_path, walk(packets, set(first.items()), missed))

    tables = {n: read_capture(tmp_path / f"{n}.pcap")[0] for n in NAMES}
    gone = {(int(packets[n][2].ip_id), packets[n][2].src) for n in first}
    for entry in result.vanished:
        assert (int(tables[entry.last_seen].ip_id[entry.frame - 1]), entry.flow.src) in gone | hidden(
            packets, missed, first
        )


def handshake():
    return [
        (START, True, Packet("10.0.0.1", "10.9.0.1", 4000, 80, 1, seq=100, flags=SYN)),
        (START + 10**6, False, Packet("10.9.0.1", "10.0.0.1", 80, 4000, 1, seq=500, ack=101, flags=SYN | ACK)),
    ]


def hidden(packets, missed, first):
    """Packets that the last point of their way missed: no point behind it can tell it from a loss."""
    found = set()
    for number, (_, forward, packet) in enumerate(packets):
        order = NAMES if forward else NAMES[::-1]
        if number not in first and (number, order[-1]) in missed:
            found.add((int(packet.ip_id), packet.src))
    return found


def test_identical_packets_are_counted_and_not_shifted(tmp_path):
    """One lost heartbeat of 60 identical ones is one loss, at its own time, not a chain of wrong pairs."""
    told_apart = [(t, f, replace(p, sport=p.sport + 1, dport=p.dport + 1)) for t, f, p in datagrams(60)]
    packets = sorted([*datagrams(60, constant=True), *told_apart], key=lambda p: p[0])
    lost = [n for n, p in enumerate(packets) if p[1] and p[2].ip_id == 0][25]

    result = analysed(tmp_path, walk(packets, {(lost, 1)}))

    assert segment(result, "a", "b").vanished_probable == 1
    assert [v.time_ns - START for v in result.vanished] == [25 * 3_000_000]


def test_identical_packets_alone_accuse_nobody(tmp_path):
    """With nothing to align the clocks by, a lost heartbeat among identical ones cannot be placed: no accusation."""
    result = analysed(tmp_path, walk(list(datagrams(60, constant=True)), {(50, 1)}))

    assert result.vanished == ()


def test_a_resent_segment_that_fills_a_hole_confirms_the_loss(tmp_path):
    """TCP: later data arrives, then the copy: confirmed even without drop counters."""
    packets = handshake()
    for k in range(20):
        packets.append(
            (
                START + (10 + 5 * k) * 10**6,
                True,
                Packet(
                    "10.0.0.1",
                    "10.9.0.1",
                    4000,
                    80,
                    2 + k,
                    seq=101 + 50 * k,
                    ack=501,
                    flags=PSH | ACK,
                    payload=b"x" * 50,
                ),
            )
        )
    packets.append(
        (
            START + 60 * 10**6,
            True,
            Packet("10.0.0.1", "10.9.0.1", 4000, 80, 40, seq=101 + 50 * 5, ack=501, flags=PSH | ACK, payload=b"x" * 50),
        )
    )
    packets.append((START + 130 * 10**6, False, Packet("10.9.0.1", "10.0.0.1", 80, 4000, 2, seq=501, ack=1101)))
    packets.sort(key=lambda p: p[0])
    lost = next(n for n, p in enumerate(packets) if p[2].ip_id == 7 and p[1])

    result = analysed(tmp_path, walk(packets, {(lost, 2)}))

    assert [(v.kind, v.last_seen, v.first_missing, v.verdict, v.recovered) for v in result.vanished] == [
        ("data", "b", "c", "confirmed", True)
    ]
    assert result.headline.network == "yes"


def test_acknowledged_data_that_a_point_missed_is_delivered(tmp_path):
    """The last point missed a segment whose bytes were acknowledged and never sent again: unseen, not lost."""
    packets = handshake()
    for k in range(12):
        packets.append(
            (
                START + (10 + 10 * k) * 10**6,
                True,
                Packet(
                    "10.0.0.1",
                    "10.9.0.1",
                    4000,
                    80,
                    2 + k,
                    seq=101 + 50 * k,
                    ack=501,
                    flags=PSH | ACK,
                    payload=b"x" * 50,
                ),
            )
        )
        packets.append(
            (
                START + (13 + 10 * k) * 10**6,
                False,
                Packet("10.9.0.1", "10.0.0.1", 80, 4000, 2 + k, seq=501, ack=101 + 50 * (k + 1)),
            )
        )
    number = next(n for n, p in enumerate(packets) if p[2].ip_id == 6 and p[1])

    result = analysed(tmp_path, walk(packets, missed={(number, "c")}))

    assert result.vanished == ()
    assert segment(result, "b", "c").unseen == 1
    assert result.points[2].quality == "degraded"


@pytest.mark.parametrize(
    ("seen_by", "after", "before", "origin"),
    [
        pytest.param(("a", "b", "c"), None, "a", "endpoint", id="client-aborts"),
        pytest.param(("b", "c"), "a", "b", "network", id="device-behind-a-resets-the-server"),
        pytest.param(("c",), "b", "c", "network", id="device-behind-b-resets-the-server"),
    ],
)
def test_a_reset_is_born_where_it_first_appears(tmp_path, seen_by, after, before, origin):
    """Each row is one story of a reset that claims to come from the client."""
    packets = list(datagrams(30))
    packets.append(
        (START + 40 * 10**6, True, Packet("10.0.0.1", "10.9.0.1", 4000, 80, 900, seq=5, ack=9, flags=RST | ACK))
    )
    packets[-1] = (*packets[-1][:2], packets[-1][2].hop(-NAMES.index(seen_by[0])))  # its maker begins with 64
    packets.sort(key=lambda p: p[0])
    number = next(n for n, p in enumerate(packets) if p[2].ip_id == 900)

    result = analysed(tmp_path, walk(packets, missed={(number, n) for n in NAMES if n not in seen_by}))

    assert [(r.born_after, r.born_before, r.origin) for r in result.resets] == [(after, before, origin)]
    assert result.vanished == ()


def test_one_capture_that_missed_a_reset_accuses_nobody(tmp_path):
    """It passed three routers like anything from its sender; only the sender's own capture lacks it."""
    packets = list(datagrams(30))
    packets.append(
        (START + 40 * 10**6, True, Packet("10.0.0.1", "10.9.0.1", 4000, 80, 900, seq=5, ack=9, flags=RST | ACK))
    )
    packets.sort(key=lambda p: p[0])
    number = next(n for n, p in enumerate(packets) if p[2].ip_id == 900)

    (reset,) = analysed(tmp_path, walk(packets, missed={(number, "a")})).resets

    assert (reset.origin, reset.born_after, reset.born_before) == ("unknown", None, "b")


def test_a_changed_packet_is_not_a_lost_one(tmp_path):
    """A device that rewrites the payload of a datagram makes it unknown, not vanished."""
    seen = walk(list(datagrams(40)))
    time, frame = seen["c"][20]
    seen["c"][20] = (time, frame[:-1] + b"!")

    result = analysed(tmp_path, seen)

    assert result.vanished == ()


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1])
def test_acknowledged_streams_with_drift(tmp_path, loss):
    """Thousands of TCP segments, clocks 7.25 s and 300 ppm apart: the accused set is the lost set."""
    truth = generate(tmp_path, 8000, loss=loss)

    result = analyse_files(tmp_path, {"a": tmp_path / "a.pcap", "b": tmp_path / "b.pcap"})

    packets, _ = read_capture(tmp_path / "a.pcap")
    assert {(v.flow.sport, int(packets.ip_id[v.frame - 1])) for v in result.vanished} == truth.lost
    assert abs(result.points[1].clock.drift - truth.drift) < 2e-6


def test_one_point_alone_tells_what_was_lost_before_it(tmp_path):
    """The gateway alone: nothing vanishes, and the holes are the lost ranges, each once."""
    truth = generate(tmp_path, 8000, loss=0.02)

    result = analyse_files(tmp_path, {"gateway": tmp_path / "b.pcap"})

    assert result.vanished == ()
    assert segment(result, None, "gateway").holes == len(truth.lost)
    assert result.headline.network == "cannot-tell"
