"""Intervals of loss: known tables, and the same digits whatever shortcuts the sums take."""

from __future__ import annotations

import math

import pytest

from orchestrator.core.rates import garwood


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
