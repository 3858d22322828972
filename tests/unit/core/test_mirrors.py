"""Gaps in the numbers of a mirror's shells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.core.mirrors import joined, mirror_gaps, touch
from orchestrator.model.columns import MARK_MIRROR_SEQUENCE, Packets


def mirrored(numbers, *, session=7):
    """Return a table of shells a millisecond apart."""
    table = Packets.allocate(len(numbers))
    table.mirror_sequence[:] = np.array(numbers, np.int64).astype(np.uint32)
    table.mirror_session[:] = session
    table.marks[:] = MARK_MIRROR_SEQUENCE
    table.time_ns[:] = np.arange(len(numbers)) * 1_000_000
    return table


@settings(max_examples=100, deadline=None)
@given(start=st.integers(0, 2**32 - 1), lost=st.sets(st.integers(1, 98), max_size=40))
def test_every_lost_shell_is_counted_and_timed(start, lost):
    """Whatever the first number, also where it wraps."""
    kept = [k for k in range(100) if k not in lost]

    gaps, missing = mirror_gaps(mirrored([start + k for k in kept]))

    assert missing == len(lost)
    assert len(gaps) == sum(b - a > 1 for a, b in pairwise(kept))


def test_numbers_that_two_mirrors_share_tell_nothing():
    """The same session from two switches: every number twice."""
    gaps, missing = mirror_gaps(mirrored([k // 2 * 3 for k in range(40)]))
    assert (len(gaps), missing) == (0, 0)


def test_shells_out_of_order_are_no_gap():
    """A capture card's queues may swap neighbours."""
    numbers = list(range(30))
    numbers[10], numbers[11] = 11, 10
    assert mirror_gaps(mirrored(numbers))[1] == 0


@pytest.mark.parametrize(
    ("low", "high", "inside"), [(0, 9, False), (5, 10, True), (12, 13, True), (21, 29, False), (31, 99, True)]
)
def test_a_span_of_time_touches_a_gap_or_not(low, high, inside):
    """Gaps that overlap are one."""
    gaps = joined(np.array([[30, 40], [10, 15], [12, 20]]))
    assert touch(gaps, np.array([low]), np.array([high])).tolist() == [inside]
