"""Heartbeats are recognised by their step, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.core.analyses.heartbeats import find_heartbeat

MS, S = 10**6, 10**9


def exchanges(starts, size=40):
    """Return times and sizes of a question and an answer 20 ms later at each start."""
    at = np.sort(np.concatenate((starts, starts + 20 * MS)).astype(np.int64))
    return at, np.full(len(at), size)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32), count=st.integers(8, 60), period=st.integers(500 * MS, 60 * S),
    jitter=st.floats(0, 0.03),
)  # fmt: skip
def test_steps_with_jitter_are_a_heartbeat(seed, count, period, jitter):
    """The period to within the jitter, and every beat counted."""
    noise = np.random.default_rng(seed).uniform(-jitter, jitter, count) * period
    found = find_heartbeat(*exchanges(np.arange(count) * period + noise + S))

    assert found is not None
    assert (found.beats, found.missed) == (count, 0)
    assert found.period_ns == pytest.approx(period, rel=2 * jitter + 0.001)


def test_a_beat_that_did_not_come_is_counted():
    """Two in a row, somewhere in the middle."""
    starts = np.array([k * 5 * S for k in range(30) if k not in {11, 12}])
    found = find_heartbeat(*exchanges(starts))

    assert (found.period_ns, found.beats, found.missed) == (5 * S, 28, 2)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), count=st.integers(8, 200))
def test_what_people_do_is_none(seed, count):
    """Pauses without memory."""
    starts = np.cumsum(np.random.default_rng(seed).exponential(3 * S, count) + 200 * MS)

    assert find_heartbeat(*exchanges(starts)) is None


def test_large_exchanges_in_step_are_a_job_and_no_heartbeat():
    """Every five seconds 100 kB."""
    assert find_heartbeat(*exchanges(np.arange(40) * 5 * S, size=50_000)) is None


def test_a_heartbeat_between_other_exchanges_is_found():
    """The longest run of small ones decides."""
    beats, sizes = exchanges(np.arange(20) * 5 * S + 100 * S)
    busy = np.arange(50) * 700 * MS
    found = find_heartbeat(np.concatenate((busy, beats)), np.concatenate((np.full(50, 9_000), sizes)))

    assert (found.period_ns, found.beats) == (5 * S, 20)


def test_chance_is_in_step_in_fewer_than_one_of_ten_thousand():
    """Of twenty thousand connections of eight exchanges each."""
    random = np.random.default_rng(1)
    found = [
        find_heartbeat(*exchanges(np.cumsum(random.exponential(3 * S, 8) + 200 * MS))) is not None
        for _ in range(20_000)
    ]

    assert sum(found) < 2
