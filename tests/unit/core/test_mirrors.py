"""Copies that a mirror lost are told from its numbers, and when they were made."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.core.mirrors import find_mirror_losses, joined, touch
from orchestrator.model.columns import MARK_MIRROR_SEQUENCE, Packets


def copies(*numbered, session=1):
    """Return copies of one session; *numbered* are (number, time)."""
    packets = Packets.allocate(len(numbered))
    packets.marks[:] = MARK_MIRROR_SEQUENCE
    packets.mirror_session[:] = session
    packets.mirror_sequence[:] = [n for n, _ in numbered]
    packets.time_ns[:] = [t for _, t in numbered]
    return packets


def losses(packets):
    """Return what is missing among *packets*, whose clock is steady."""
    return find_mirror_losses(packets, packets.time_ns)


def inner(losses):
    """Return the gaps between copies, without those before the first and behind the last."""
    return [tuple(g) for g in losses.gaps_ns.tolist() if abs(g[1] - g[0]) < 10**12]


@pytest.mark.parametrize(
    ("numbered", "lost", "gaps"),
    [
        pytest.param([(5, 10), (6, 20), (7, 30)], 0, [], id="none-lost"),
        pytest.param([(5, 10), (8, 20), (9, 30)], 2, [(10, 20)], id="two-in-a-row"),
        pytest.param([(5, 10), (7, 20), (6, 30), (8, 40)], 0, [], id="overtaken-is-not-lost"),
        pytest.param([(0xFFFFFFFE, 10), (0xFFFFFFFF, 20), (1, 30)], 1, [(20, 30)], id="numbers-wrap"),
        pytest.param([(900_000_000, 10), (0, 20), (1, 30)], 0, [], id="restart-is-not-lost"),
        pytest.param([(5, 10), (5, 11), (6, 20)], 0, [], id="twice-the-same"),
    ],
)
def test_holes_in_the_numbers(numbered, lost, gaps):
    """Each hole is counted and lies between the copies beside it."""
    found = losses(copies(*numbered))

    assert (found.received, found.lost) == (len(numbered), lost)
    assert inner(found) == gaps


def test_sessions_are_numbered_each_for_itself():
    """Two mirrors that send to one collector do not make holes in each other's numbers."""
    table = Packets.concatenate([copies((1, 10), (2, 30)), copies((70, 20), (72, 40), session=2)])

    found = losses(table)

    assert found.lost == 1
    assert inner(found) == [(20, 40)]


def test_silence_at_either_end_says_nothing():
    """What was copied before the first copies that came, or behind the last, may be lost; one copy is no clock."""
    gaps = joined(losses(copies(*((n, 20 * n) for n in range(1, 13)))).gaps_ns)
    times = np.array([10, 90, 130, 170, 250])

    assert touch(gaps, times, times).tolist() == [True, True, False, True, True]


def test_captures_without_a_mirror_have_no_gaps():
    """Where nothing is numbered, nothing is blind."""
    found = losses(Packets.allocate(3))

    assert (found.received, found.lost, len(found.gaps_ns)) == (0, 0, 0)
    assert not touch(found.gaps_ns, *np.zeros((2, 4), np.int64)).any()


def test_gaps_that_overlap_are_one():
    """A search over their ends then finds each."""
    gaps = np.array([(50, 60), (10, 30), (20, 40), (40, 45), (12, 15)])

    assert joined(gaps).tolist() == [[10, 45], [50, 60]]


@pytest.mark.parametrize(
    ("low", "high", "inside"), [(0, 9, False), (5, 10, True), (12, 13, True), (21, 29, False), (31, 99, True)]
)
def test_a_span_of_time_touches_a_gap_or_not(low, high, inside):
    """Spans and gaps include their ends."""
    gaps = joined(np.array([[30, 40], [10, 15], [12, 20]]))

    assert touch(gaps, np.array([low]), np.array([high])).tolist() == [inside]


def test_numbers_that_two_mirrors_share_tell_nothing():
    """The same session from two switches: every number twice."""
    found = losses(copies(*((k // 2 * 3, k * 10) for k in range(40))))

    assert found.lost == 0


@settings(max_examples=100, deadline=None)
@given(start=st.integers(0, 2**32 - 1), lost=st.sets(st.integers(1, 98), max_size=40))
def test_every_lost_copy_is_counted(start, lost):
    """Whatever the first number, also where it wraps."""
    kept = [k for k in range(100) if k not in lost]

    found = losses(copies(*(((start + k) & 0xFFFFFFFF, k * 1_000_000) for k in kept)))

    assert found.lost == len(lost)
    assert len(inner(found)) == sum(b - a > 1 for a, b in pairwise(kept))
