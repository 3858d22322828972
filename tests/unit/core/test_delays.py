"""Delay, its variation and reordering of a segment, held against the times and orders of invented paths."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.core.analyses import delays
from orchestrator.core.analyses.delays import measure_delay, quantiles
from orchestrator.core.verdicts import PointFacts
from tests.support.offline import analyse_files, segment
from tests.support.pathsim.cases import Case, Point, Traffic, make
from tests.support.pathsim.faults import Detour
from tests.support.pathsim.taps import Clock

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
QUIET = (0.0,) * 5
NEARLY = 30_000
"""Nanoseconds by which drift, once estimated, may still bend a delay."""


def crossings(made, near, far, *, forward):
    """Return the true times at two places of everything that passed both."""
    places = (near, far) if forward else (made.case.points - 1 - near, made.case.points - 1 - far)
    return np.array(
        [(p.crossed[places[0]], p.crossed[places[1]]) for p in made.sent
         if p.forward == forward and len(p.crossed) > max(places)], np.int64,
    ).reshape(-1, 2)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(
    seed=st.integers(0, 2**32), offset=st.integers(-(10**12), 10**12), drift=st.integers(-200, 200),
    jitter_us=st.sampled_from((20, 100, 900)),
)  # fmt: skip
def test_variation_and_round_trip_need_no_clock(seed, offset, drift, jitter_us):
    """Whatever the clocks say, PDV and round trip are the true ones; one-way values lie within their uncertainty."""
    case = Case(
        seed=seed, points=2, loss=QUIET, jitter_us=jitter_us,
        captures=(Point(), Point(clock=Clock(offset, drift))), traffic=Traffic(3, 5, 30_000, "fin", 120, 20),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch))
        result = analyse_files(Path(scratch), made.files)
    there, back = segment(result, "p0", "p1"), segment(result, "p1", "p0")
    # offsets cancel out; how far the clocks drift apart is known no better than jitter lets it be
    smallest, nearly = 0, max(NEARLY, jitter_us * 1000 // 12)
    for row, ends, forward in ((there, (0, 1), True), (back, (1, 0), False)):
        times = crossings(made, *ends, forward=forward)
        true = times[:, 1] - times[:, 0]
        low = int(true.min())
        smallest += low
        assert row.delay.samples == len(true)
        wanted = [np.quantile(true, q, method="inverted_cdf") - low for q in (0.5, 0.95, 0.99, 1)]
        assert row.delay.variation == pytest.approx(wanted, abs=nearly)
        assert abs(row.delay.p50 - np.median(true)) <= row.delay.uncertainty + NEARLY
    assert there.round_trip_ns == back.round_trip_ns == pytest.approx(smallest, abs=nearly)


@given(values=st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_buckets_tell_quantiles_within_half_a_percent(values):
    """The way large captures are counted, against sorting."""
    data = np.array(values, np.int64)
    exact = quantiles(data, (0.5, 0.95, 0.99, 0.999))
    most = delays.MOST_SORTED
    delays.MOST_SORTED = 0
    try:
        rough = quantiles(data, (0.5, 0.95, 0.99, 0.999))
    finally:
        delays.MOST_SORTED = most
    assert rough == pytest.approx(exact, rel=0.004, abs=1)


def facts(uncertainty_ns):
    return PointFacts(start_ns=0, end_ns=10**12, kernel_drops=0, packets=9, uncertainty_ns=uncertainty_ns)


@pytest.mark.parametrize(
    ("uncertainty", "agree", "doubt"),
    [
        (100, True, ""),
        (9_000, True, "below-uncertainty"),
        (None, True, "offset-unknown"),
        (5, False, "clocks-contradict"),
    ],
)
def test_a_delay_says_what_it_is_worth(uncertainty, agree, doubt):
    """One-way values only where the clocks carry them; nothing at all where the clocks contradict themselves."""
    delay = measure_delay(np.array([1_000, 2_000, 3_000]), facts(0), facts(uncertainty), clocks_agree=agree)
    assert (delay.doubt, delay.variation is None) == (doubt, doubt == "clocks-contradict")


def test_late_packets_are_counted_with_the_time_waited():
    """3 s, or ten times the 99.9 % quantile (RFC 7680)."""
    ordinary = np.arange(1_000_000, 1_000_000 + 5_000, dtype=np.int64)
    delay = measure_delay(np.append(ordinary, [2_999_000_000, 3_002_000_000]), facts(0), facts(0), clocks_agree=True)
    assert (delay.late, delay.waited) == (1, 3_000_000_000)


def overtaken(made, near, far, *, forward):
    """Return (how many packets later ones of their flow overtook by the margin, largest extent), by brute force."""
    first, second = (near, far) if forward else (made.case.points - 1 - near, made.case.points - 1 - far)
    flows = {}
    for p in made.sent:
        if p.forward == forward and len(p.crossed) > max(first, second):
            flows.setdefault((p.protocol, p.client, p.server), []).append((p.crossed[first], p.crossed[second]))
    count, most = 0, 0
    for times in flows.values():
        arrived = sorted(times, key=lambda t: t[1])
        for place, (sent, received) in enumerate(arrived):
            earlier = [k for k in range(place) if arrived[k][0] > sent]
            if earlier and received - arrived[earlier[0]][1] >= 50_000:
                count, most = count + 1, max(most, place - earlier[0])
    return count, most


@settings(max_examples=25, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(
    seed=st.integers(0, 2**32), on=st.integers(1, 2), forward=st.booleans(), share=st.sampled_from((0.0, 0.01, 0.2)),
    longer_us=st.sampled_from((30, 300, 3_000, 30_000)), drift=st.integers(-200, 200),
)  # fmt: skip
def test_reordering_is_counted_where_it_arises(seed, on, forward, share, longer_us, drift):
    """A detour on one of two segments: that one shows every overtaken packet, the others show none."""
    case = Case(
        seed=seed, loss=QUIET, jitter_us=5, captures=(Point(), Point(clock=Clock(10**9, drift)), Point()),
        traffic=Traffic(2, 5, 30_000, "fin", 100, 20),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch), {(on, forward): Detour(share, longer_us * 1_000)})
        result = analyse_files(Path(scratch), made.files)
    for row in result.segments:
        if row.inferred or row.span:
            continue
        ends = int(row.near[1]), int(row.far[1])
        count, most = overtaken(made, *ends, forward=row.direction == "forward")
        assert (row.reordered, row.reordering.extent_max) == (count, most)
        if count:
            assert 0 < row.reordering.late_p50_ns <= row.reordering.late_max_ns <= (longer_us + 900) * 1_000


@pytest.mark.parametrize("merges", ["tso", "gro", "both"])
def test_pieces_of_one_frame_do_not_overtake_each_other(tmp_path, merges):
    """Super-segments at the ends: their pieces carry one time, and none is reordered."""
    case = Case(
        points=2, loss=QUIET, captures=(Point(merges=merges), Point(merges=merges)),
        traffic=Traffic(2, 6, 60_000, "fin"),
    )  # fmt: skip
    made = make(case, tmp_path)
    result = analyse_files(tmp_path, made.files)
    assert overtaken(make(case, tmp_path, {(1, True): Detour(0.2, 3_000_000)}), 0, 1, forward=True)[0] > 10  # it can
    assert [r.reordered for r in result.segments] == [0] * len(result.segments)
