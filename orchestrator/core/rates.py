"""Loss ratios with intervals that hold under bursts (ALGORITHMS C.3): the unit is the episode, not the packet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.finding import LossRate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EPISODE_GAP = 5
"""Losses with fewer packets than this between them are one episode."""
TAIL = 0.025
"""Half of what a 95 % interval leaves out."""
RULE_OF_THREE = 3.0


def loss_rate(lost_ranks: NDArray[np.int64], eligible: int) -> LossRate | None:
    """Return the loss ratio of *eligible* packets; *lost_ranks* are positions of the lost ones in sending order."""
    if eligible <= 0:
        return None
    lost = len(lost_ranks)
    if lost == 0:
        return LossRate(rate=0.0, low=0.0, high=min(1.0, RULE_OF_THREE / eligible), episodes=0)
    ranks = np.sort(lost_ranks)
    starts = np.flatnonzero(np.concatenate(([True], np.diff(ranks) > EPISODE_GAP)))
    sizes = np.diff(np.append(starts, lost))
    episodes = len(starts)
    low, high = garwood(episodes)
    spread = math.sqrt(1.0 + (float(np.std(sizes)) / float(np.mean(sizes))) ** 2)
    mean = float(np.mean(sizes))
    rate = lost / eligible
    return LossRate(
        rate=rate,
        low=max(0.0, rate - spread * (episodes - low) * mean / eligible),
        high=min(1.0, rate + spread * (high - episodes) * mean / eligible),
        episodes=episodes,
    )


def garwood(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson mean after *count* events (Garwood, 1936)."""
    low = 0.0 if count == 0 else _solve(lambda mean: 1.0 - _poisson_below(count - 1, mean), TAIL, count)
    return low, _solve(lambda mean: 1.0 - _poisson_below(count, mean), 1.0 - TAIL, count)


def _poisson_below(count: int, mean: float) -> float:
    """Return P(X <= count) for a Poisson mean, by summing logarithms."""
    if mean <= 0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
    top = max(logs)
    return min(1.0, math.exp(top) * math.fsum(math.exp(v - top) for v in logs))


def _solve(rising: Callable[[float], float], target: float, count: int) -> float:
    """Return where the function *rising* reaches *target*."""
    low, high = 0.0, 10.0 + 4.0 * count
    for _ in range(80):
        middle = (low + high) / 2
        if rising(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
