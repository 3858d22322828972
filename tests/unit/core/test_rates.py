"""Intervals of loss: known tables, and the same digits whatever shortcuts the sums take."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.core.rates import garwood, loss_rate


def plainly(count: int, mean: float) -> float:
    """P(X <= count), every term summed."""
    if mean <= 0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
    top = max(logs)
    return min(1.0, math.exp(top) * math.fsum(math.exp(v - top) for v in logs))


def solved(function, target: float, count: int) -> float:
    low, high = 0.0, 10.0 + 4.0 * count
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < target else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.025, 5.572), (10, 4.795, 18.390), (100, 81.364, 121.627)]
)
def test_intervals_stand_in_tables(count, low, high):
    """Garwood (1936), 95 %."""
    assert garwood(count) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


@pytest.mark.parametrize("count", [1, 7, 300, 2460])
def test_shortcuts_change_no_digit(count):
    """What is left out of a sum is zero, and a search ends where nothing can change any more."""
    low = solved(lambda mean: 1.0 - plainly(count - 1, mean), 0.025, count)
    high = solved(lambda mean: 1.0 - plainly(count, mean), 0.975, count)
    assert garwood(count) == (low, high)


def test_many_events_need_no_sums():
    """Above 3,000 a closed form serves: the same to a hundred-thousandth."""
    count = 3_001
    low = solved(lambda mean: 1.0 - plainly(count - 1, mean), 0.025, count)
    high = solved(lambda mean: 1.0 - plainly(count, mean), 0.975, count)
    assert garwood(count) == pytest.approx((low, high), rel=1e-5)


def lost_places(seed, count, rate, burst):
    """Return places of losses: independent, or in bursts of that mean length in which eight of ten are lost."""
    source = np.random.default_rng(seed)
    if burst == 1:
        return np.flatnonzero(source.random(count) < rate)
    lost, place = np.zeros(count, bool), 0
    while place < count:
        place += int(source.geometric(rate / burst / (0.8 - rate)))
        length = int(source.geometric(1 / burst))
        lost[place : place + length] = source.random(len(lost[place : place + length])) < 0.8
        place += length
    return np.flatnonzero(lost)


def coverage(seeds, count, rate, burst):
    """Return (share of intervals that hold the true rate, share of runs with too few episodes for one)."""
    found = [loss_rate(lost_places(seed, count, rate, burst), count) for seed in range(seeds)]
    told = [f for f in found if not f.few and f.episodes]
    return sum(f.low <= rate <= f.high for f in told) / len(told), 1 - len(told) / seeds


@pytest.mark.parametrize("burst", [1, 5, 30])
def test_intervals_cover_what_they_promise_under_bursts(burst):
    """Plain Wilson covers 20 % at bursts of 30."""
    covered, few = coverage(150, 50_000, 0.01, burst)
    assert covered >= 0.9
    assert few == 0


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("count", "rate", "burst"),
    [
        (50_000, 0.01, 1), (50_000, 0.01, 5), (50_000, 0.01, 30), (50_000, 0.001, 10), (5_000, 0.01, 5),
        (200_000, 0.01, 30),
    ],
)  # fmt: skip
def test_intervals_cover_by_night(count, rate, burst):
    """A thousand runs each: never below 92 %."""
    assert coverage(1_000, count, rate, burst)[0] >= 0.92


def test_few_episodes_are_flagged():
    """Four episodes: counts, and no rate that anybody should quote."""
    few, enough = (loss_rate(np.arange(k) * 100, 10_000) for k in (4, 5))
    assert (few.few, enough.few, loss_rate(np.arange(0), 10_000).few) == (True, False, False)
