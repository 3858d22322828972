"""Why data was sent again: invented paths on which the fate of every copy is known."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from tests.support.offline import analyse_files, segment
from tests.support.pathsim.cases import Case, Point, Traffic, make
from tests.support.pathsim.faults import Chance
from tests.support.pathsim.taps import Clock
from tests.support.pathsim.tcp import Stack

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
POINT = Point(reports=True)
NEARLY = 30_000
"""Nanoseconds by which drift, once estimated, may bend a difference."""


def resent(made):
    """Return (copy, the copy before it) of all data that was sent again and passed the first point both times."""
    streams, found = {}, []
    for p in made.sent:
        if p.protocol != 6 or not (p.payload or p.flags & 3) or not p.crossed:
            continue
        stream = streams.setdefault((p.client, p.server, p.forward), [])
        length = len(p.payload) + (1 if p.flags & 3 else 0)
        for seq, size, other in reversed(stream):
            if (p.seq - seq + 2**31) % 2**32 - 2**31 < size and (seq - p.seq + 2**31) % 2**32 - 2**31 < length:
                found.append((p, other))
                break
        stream.append((p.seq, length, p))
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(
    seed=st.integers(0, 2**32), loss=st.tuples(*[st.sampled_from((0.0, 0.02, 0.1))] * 4),
    ids=st.sampled_from(("counter", "zero")), offset=st.integers(-(10**10), 10**10),
)  # fmt: skip
def test_each_resend_is_counted_where_the_copy_before_it_died(seed, loss, ids, offset):
    """By segment and direction, and the rest behind the last point, needless, or for a lost acknowledgement."""
    case = Case(
        seed=seed, points=3, loss=(*loss, 0.0), stack=Stack(ids=ids),
        captures=(POINT, Point(clock=Clock(offset, 30), reports=True), POINT), traffic=Traffic(3, 6, 20_000),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch))
        result = analyse_files(Path(scratch), made.files)
    pairs = resent(made)
    for forward in (True, False):
        mine = [(p, o) for p, o in pairs if p.forward == forward]
        rows = [r for r in result.segments if (r.direction == "forward") == forward and not r.span]
        counted = 0
        for row in rows:
            if row.inferred:
                continue
            on = max(int(row.near[1]), int(row.far[1]))
            truth = sum(o.lost_on == on for _, o in mine)
            died = row.resends.died + row.resends.died_probable
            assert truth - row.undecided <= died <= truth
            counted += died
        outer = next(r.resends for r in rows if r.inferred and r.far is None)
        acks = sum(r.resends.ack_died for r in result.segments if (r.direction == "forward") != forward)
        assert counted + outer.behind + outer.needless + outer.probes + outer.undecided + acks == len(mine)
        arrived = {(o.client, o.seq) for _, o in mine if o.lost_on is None}  # then a dead second copy hurts nobody
        beyond = sum(o.lost_on == (3 if forward else 0) and (o.client, o.seq) not in arrived for _, o in mine)
        assert outer.behind + outer.probes >= beyond


@settings(max_examples=20, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_a_lost_acknowledgement_is_no_lost_data(seed):
    """Only packets towards the client die: nothing that the client sends again had been lost."""
    case = Case(seed=seed, points=2, loss=(0.0,) * 5, captures=(POINT, POINT), traffic=Traffic(4, 6, 1_200))
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch), {(1, False): Chance(0.3)})
        result = analyse_files(Path(scratch), made.files)
    again = [p for p, _ in resent(made) if p.forward]
    there, back, behind = (segment(result, *ends) for ends in (("p0", "p1"), ("p1", "p0"), ("p1", None)))
    assume(again)
    assert (there.resends.died, there.resends.died_probable, behind.resends.behind) == (0, 0, 0)
    assert back.resends.ack_died >= 0.9 * len(again)


@settings(max_examples=20, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(seed=st.integers(0, 2**32), share=st.sampled_from((0.01, 0.05)))
def test_a_stall_is_the_time_to_the_copy_that_got_through(seed, share):
    """Both seen where they enter the path, of data that vanished and came again."""
    case = Case(
        seed=seed, points=2, loss=(0.0, share, 0.0, 0.0, 0.0), captures=(POINT, POINT), traffic=Traffic(3, 6, 20_000),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch))
        result = analyse_files(Path(scratch), made.files)
    truth = {}
    for copy, other in reversed(resent(made)):
        if other.lost_on is not None:
            got_through = copy if copy.lost_on is None else truth.get(copy.uid, (None,))[0]
            truth[other.uid] = (got_through, other)
    stalled = 0
    for entry in result.vanished:
        uid = made.records[entry.last_seen][entry.frame - 1].uids[0]
        through, lost = truth.get(uid, (None, None))
        if entry.stall_ns is not None:
            stalled += 1
            assert through is not None
            assert entry.stall_ns == pytest.approx(through.crossed[0] - lost.crossed[0], abs=NEARLY)
    data = [v for v in result.vanished if v.kind == "data" and v.recovered]
    assert stalled >= len(data)
