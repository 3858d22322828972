"""Numbers in the clear: what is missing was lost before the point that misses it, unless anything else explains it."""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.numbered import MAKERS, START_NS, STEP_NS, capture, stream
from tests.support.offline import analyse_files, segment
from tests.support.pathsim.cases import Case, Point, Traffic, make
from tests.support.pathsim.taps import Clock
from tests.support.shells import ip4, udp
from tests.support.wire import Packet, write_pcap

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
EDGE = 30
"""Places at both ends that decide nothing: they may be missing because the capture began or ended."""


def only(result):
    (series,) = result.series
    (point,) = series.points
    return point


@st.composite
def journeys(draw, lossless):
    """Draw (kind, first number, count, lost, late, twice); losses keep away from the ends."""
    kind = draw(st.sampled_from(sorted(MAKERS)))
    bits = MAKERS[kind][1]
    begin = draw(st.sampled_from((0, 1, 1000, 2**bits - 70, 2 ** (bits - 1) - 50)))
    count = draw(st.integers(200, 400))
    inner = st.integers(EDGE + 60, count - EDGE - 60)
    lost = set() if lossless else draw(st.sets(inner, max_size=25))
    late = draw(st.dictionaries(st.integers(0, count - 1), st.integers(1, 6), max_size=40))
    twice = draw(st.sets(st.integers(0, count - 1), max_size=20)) - lost
    return kind, begin, count, lost, late, twice


@settings(max_examples=40, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(journey=journeys(lossless=True))
def test_a_series_without_loss_never_shows_one(journey):
    """Whatever overtakes or comes twice, and wherever the counter wraps."""
    kind, begin, count, lost, late, twice = journey
    with tempfile.TemporaryDirectory() as scratch:
        path = capture(Path(scratch) / "a.pcap", kind, stream(begin, count, lost, late, twice))
        result = analyse_files(Path(scratch), {"gateway": path})
    point = only(result)
    assert (point.lost, point.undecided, point.elsewhere) == (0, 0, 0)
    assert (point.received, point.duplicated) == (count, len(twice))
    assert not [f for f in result.findings if f.kind == "series"]


@settings(max_examples=40, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(journey=journeys(lossless=False))
def test_known_losses_are_found_exactly(journey):
    """Each once, however many packets come late or twice."""
    kind, begin, count, lost, late, twice = journey
    with tempfile.TemporaryDirectory() as scratch:
        path = capture(Path(scratch) / "a.pcap", kind, stream(begin, count, lost, late, twice))
        result = analyse_files(Path(scratch), {"gateway": path})
    point = only(result)
    assert (point.lost, point.undecided) == (len(lost), 0)
    assert point.received == count - len(lost)
    assert result.vanished == ()
    assert len([f for f in result.findings if f.kind == "series"]) == (1 if lost else 0)


@pytest.mark.parametrize("late", [{}, {100: 3}, {100: 3, 101: 3, 200: 1}], ids=["none", "one", "three"])
def test_packets_that_come_late_are_counted_as_reordered(tmp_path, late):
    """Those that arrive behind a later number."""
    path = capture(tmp_path / "a.pcap", "esp", stream(5, 300, set(), late, set()))
    assert only(analyse_files(tmp_path, {"gateway": path})).reordered == len(late)


def test_result_and_report_say_it(tmp_path):
    """Direction, denominator, and that it is an inference; the outer segment carries it."""
    arrivals = stream(5, 300, {100, 101, 150}, {}, set())
    path = capture(tmp_path / "a.pcap", "wireguard", arrivals)
    result = analyse_files(tmp_path, {"gateway": path})
    document = json.loads((tmp_path / "run" / "result.json").read_text())
    (entry,) = document["series"]
    assert (entry["kind"], entry["direction"], entry["vanished"]) == ("wireguard", "forward", [])
    assert entry["points"][0]["lost"] == 3
    assert segment(result, None, "gateway").series.lost == 3
    outer = next(s for s in document["segments"] if s["from"] is None and s["to"] == "gateway")
    assert (outer["series"]["lost"], outer["holes"], outer["vanished"]) == (3, 0, 0)
    (finding,) = [f for f in document["findings"] if f["kind"] == "series"]
    assert "3 of 300 packets" in finding["statement"]
    assert finding["verdict"] == "supported"
    assert "3 by number" in (tmp_path / "run" / "report.txt").read_text()
    assert result.headline.network == "cannot-tell"


def test_what_the_next_point_misses_is_a_packet_like_others(tmp_path):
    """Lost before the first point: inferred. Lost between both: vanished there. Missed by the first: elsewhere."""
    first = stream(5, 600, {100, 300}, {}, set())
    second = [(t + 700_000, n) for t, n in first if n - 5 not in {200, 201, 202}]
    files = {
        "near": capture(tmp_path / "near.pcap", "esp", first),
        "far": capture(tmp_path / "far.pcap", "esp", second),
    }
    result = analyse_files(tmp_path, files)
    (series,) = result.series
    assert [(p.point, p.lost, p.elsewhere) for p in series.points] == [("near", 2, 0), ("far", 2, 3)]
    assert series.vanished == (("near", "far", 3),)
    (finding,) = [f for f in result.findings if f.kind == "series"]
    assert finding.segment == (None, "near")


@settings(max_examples=20, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(
    seed=st.integers(0, 2**32), loss=st.tuples(*[st.sampled_from((0.0, 0.03, 0.1))] * 4),
    offset=st.integers(-(10**10), 10**10), jitter_us=st.sampled_from((20, 3000)),
)  # fmt: skip
def test_calls_over_an_invented_path_lose_what_was_lost(seed, loss, offset, jitter_us):
    """Before the first point in the direction of travel as many as never came to it, but for the edges."""
    points = tuple(Point(clock=Clock(offset * k, 30 * k), reports=True) for k in range(3))
    case = Case(
        seed=seed, loss=(*loss, 0.0), jitter_us=jitter_us, captures=points, traffic=Traffic(1, 4, 12_000, "fin", 190),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch))
        result = analyse_files(Path(scratch), made.files)
    calls = [p for p in made.sent if p.protocol == 17]
    for row in result.segments:
        if row.inferred and row.near is None:
            forward = row.direction == "forward"
            gone = [not p.crossed for p in calls if p.forward == forward]
            inner = "".join("-" if g else "+" for g in gone).strip("-").count("-")
            assert inner - 3 <= row.series.lost <= inner
            assert row.series.lost + row.series.undecided == inner
    for series in result.series:
        ways = series.direction == "forward"
        there = sum(p.lost_on in {1, 2} for p in calls if p.forward == ways)
        assert sum(n for _, _, n in series.vanished) <= there


def test_a_restart_and_a_new_key_are_no_loss(tmp_path):
    """The same name counting from one again, and another name."""
    before = [(t, n) for t, n in stream(50_000_000, 200, set(), {}, set())]
    again = [(t + 10**9, n) for t, n in stream(1, 200, set(), {}, set())]
    path = capture(tmp_path / "a.pcap", "esp", before + again)
    point = only(analyse_files(tmp_path, {"gateway": path}))
    assert (point.received, point.lost, point.undecided) == (400, 0, 0)


@pytest.mark.parametrize("begin", [200_000, 1], ids=["skips-ahead", "falls-back"])
def test_a_sender_that_jumps_lost_nothing(tmp_path, begin):
    """A failover leaves numbers out, or counts from the start again: far more than its rate would have sent."""
    before = stream(100_000, 300, set(), {}, set())
    after = [(t + 300 * STEP_NS, n) for t, n in stream(begin, 300, set(), {}, set())]
    path = capture(tmp_path / "a.pcap", "esp", before + after)
    point = only(analyse_files(tmp_path, {"gateway": path}))
    assert (point.received, point.lost) == (600, 0)
    assert point.undecided > 90_000


def test_an_outage_is_as_long_as_its_numbers_say(tmp_path):
    """Thousands of packets missing at once, as many as the sender's rate makes in that time."""
    path = capture(tmp_path / "a.pcap", "esp", stream(5, 9000, set(range(3000, 6000)), {}, set()))
    assert only(analyse_files(tmp_path, {"gateway": path})).lost == 3000


def test_one_stray_number_changes_nothing(tmp_path):
    """A forged or damaged packet in the middle of a series: neither a loss nor the end of it."""
    arrivals = stream(5, 300, {200}, {}, set())
    arrivals = sorted([*arrivals, (START_NS + 100 * STEP_NS + 7, 4_000_000_000)])
    path = capture(tmp_path / "a.pcap", "esp", arrivals)
    assert only(analyse_files(tmp_path, {"gateway": path})).lost == 1


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param([k * 40_503 % 65536 for k in range(300)], id="random"),
        pytest.param([7] * 300, id="constant"),
        pytest.param([k * 3 for k in range(300)], id="counts-by-three"),
        pytest.param(list(range(10)), id="too-short"),
    ],
)
def test_bytes_that_only_look_like_rtp_are_no_series(tmp_path, numbers):
    """A guess until its numbers run."""
    path = capture(tmp_path / "a.pcap", "rtp", [(START_NS + k * STEP_NS, n) for k, n in enumerate(numbers)])
    result = analyse_files(tmp_path, {"gateway": path})
    assert result.series == ()
    assert not [f for f in result.findings if f.kind == "series"]


def test_a_capture_that_drops_decides_nothing(tmp_path):
    """Kernel drops at the point: its gaps may be its own."""
    arrivals = stream(5, 300, {100, 101}, {}, set())
    make = MAKERS["esp"][0]
    path = tmp_path / "a.pcapng"
    path.write_bytes(_pcapng([(t, make(n)) for t, n in arrivals], drops=2))
    result = analyse_files(tmp_path, {"gateway": path})
    point = only(result)
    assert (point.lost, point.undecided, point.reason) == (0, 2, "lossy-capture")
    assert not [f for f in result.findings if f.kind == "series"]


def test_numbers_may_be_hidden_in_fragments(tmp_path):
    """A fragmented packet shows no number: gaps beside fragments between the same hosts tell nothing."""
    make = MAKERS["esp"][0]
    records = [(t, make(n)) for t, n in stream(5, 300, {100}, {}, set())]
    whole = ip4(50, struct.pack(">II", 0x1234, 105) + bytes(1400))
    piece = whole[:6] + struct.pack(">H", 0x2000) + whole[8:]
    records.append((START_NS + 100 * STEP_NS, piece))
    path = write_pcap(tmp_path / "a.pcap", sorted(records))
    point = only(analyse_files(tmp_path, {"gateway": path}))
    assert (point.lost, point.undecided, point.reason) == (0, 1, "ambiguous")


def test_frames_that_hold_several_packets_decide_nothing(tmp_path):
    """A host that joins datagrams shows the first number of each frame alone."""
    make = MAKERS["wireguard"][0]
    records = [(t, make(n)) for t, n in stream(5, 300, {100, 101, 102}, {}, set())]
    joined = udp(51_820, struct.pack("<IIQ", 4, 7, 305) + bytes(3000))
    path = write_pcap(tmp_path / "a.pcap", [*records, (START_NS + 300 * STEP_NS, joined)])
    point = only(analyse_files(tmp_path, {"gateway": path}))
    assert (point.lost, point.undecided, point.reason) == (0, 3, "ambiguous")


def test_gaps_at_the_edges_decide_nothing(tmp_path):
    """What is missing milliseconds after the capture began may have passed before it."""
    path = capture(tmp_path / "a.pcap", "esp", stream(5, 300, {2, 3, 297}, {}, set()))
    point = only(analyse_files(tmp_path, {"gateway": path}))
    assert (point.lost, point.undecided, point.reason) == (0, 3, "")


def test_traffic_without_numbers_has_no_series(tmp_path):
    """Nothing is made up."""
    path = write_pcap(tmp_path / "a.pcap", [(START_NS, Packet("10.0.0.1", "10.0.0.2", 1, 2, payload=b"x").bytes())])
    assert analyse_files(tmp_path, {"gateway": path}).series == ()


def _pcapng(records, drops):
    """Return a section with one interface that dropped packets."""
    out = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHIHHB3xII", 1, 32, 101, 0, 0, 9, 1, 9, 0, 32),
    ]
    for stamp, frame in records:
        body = frame + b"\0" * (-len(frame) % 4)
        length = 32 + len(body)
        head = struct.pack("<IIIIIII", 6, length, 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
        out.append(head + body + struct.pack("<I", length))
    counters = struct.pack("<HHQHHQI", 4, 8, len(records) + drops, 7, 8, drops, 0)
    size = 24 + len(counters)
    out.append(struct.pack("<IIIII", 5, size, 0, 0, 0) + counters + struct.pack("<I", size))
    return b"".join(out)
