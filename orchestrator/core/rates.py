"""Loss ratios with intervals that hold under bursts (ALGORITHMS C.3): the unit is the episode, not the packet."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.measures import FEW_EPISODES, LossRate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EPISODE_GAP = 5
"""Losses with fewer packets than this between them are one episode."""
TAIL = 0.025
"""Half of what a 95 % interval leaves out."""
RULE_OF_THREE = 3.0
BLOCKS, FEWEST_IN_BLOCK = 50, 20
MOST_SUMMED = 3_000
"""Events up to which Poisson probabilities are summed."""
NORMAL = 1.959964
STUDENT_49 = 2.0096
"""95 % quantile of Student's t with 49 degrees of freedom, both sides."""


def loss_rate(lost_ranks: NDArray[np.int64], eligible: int) -> LossRate | None:
    """Return the loss ratio of *eligible* packets; *lost_ranks* are positions of the lost ones in sending order."""
    if eligible <= 0:
        return None
    lost = len(lost_ranks)
    if lost == 0:
        return LossRate(rate=0.0, low=0.0, high=min(1.0, RULE_OF_THREE / eligible), episodes=0, eligible=eligible)
    ranks = np.sort(lost_ranks)
    starts = episode_starts(ranks)
    sizes = np.diff(np.append(starts, lost))
    episodes = len(starts)
    low, high = garwood(episodes)
    spread = math.sqrt(1.0 + (float(np.std(sizes)) / float(np.mean(sizes))) ** 2)
    mean = float(np.mean(sizes))
    rate = lost / eligible
    bounds = [rate - spread * (episodes - low) * mean / eligible, rate + spread * (high - episodes) * mean / eligible]
    if episodes >= FEW_EPISODES and eligible >= BLOCKS * FEWEST_IN_BLOCK:
        wider = _by_blocks(ranks, eligible)
        bounds = [min(bounds[0], wider[0]), max(bounds[1], wider[1])]
    return LossRate(
        rate=rate, low=max(0.0, bounds[0]), high=min(1.0, bounds[1]), episodes=episodes, lost=lost, eligible=eligible
    )


def _by_blocks(ranks: NDArray[np.int64], eligible: int) -> tuple[float, float]:
    """Return Wilson's interval for as many independent packets as the variance between blocks leaves.

    Episodes may come in crowds themselves; the wider of both intervals covers what it promises (tests/unit/core).
    """
    counts = np.bincount(np.minimum(ranks * BLOCKS // eligible, BLOCKS - 1), minlength=BLOCKS)
    rate, in_block = len(ranks) / eligible, eligible / BLOCKS
    if rate >= 1.0:
        return 1.0, 1.0
    effect = max(1.0, float(np.var(counts, ddof=1)) / (in_block * rate * (1.0 - rate)))
    count = eligible / effect
    scale = 1.0 + STUDENT_49**2 / count
    middle = (rate + STUDENT_49**2 / (2 * count)) / scale
    half = STUDENT_49 / scale * math.sqrt(rate * (1.0 - rate) / count + STUDENT_49**2 / (4 * count**2))
    return middle - half, middle + half


def episode_starts(ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places in *ranks*, positions of losses in order, at which an episode begins."""
    return np.flatnonzero(np.concatenate((np.ones(min(1, len(ranks)), np.bool_), np.diff(ranks) > EPISODE_GAP)))


def garwood(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson mean after *count* events (Garwood, 1936)."""
    if count > MOST_SUMMED:  # Wilson and Hilferty (1931): right to a millionth here
        return _cubed(count, -NORMAL), _cubed(count + 1, NORMAL)
    low = 0.0 if count == 0 else _solve(lambda mean: 1.0 - _poisson_below(count - 1, mean), TAIL, count)
    return low, _solve(lambda mean: 1.0 - _poisson_below(count, mean), 1.0 - TAIL, count)


def _cubed(count: int, normal: float) -> float:
    return count * (1.0 - 1.0 / (9 * count) + normal / (3 * math.sqrt(count))) ** 3


def _poisson_below(count: int, mean: float) -> float:
    """Return P(X <= count) for a Poisson mean, by summing logarithms."""
    if mean <= 0:
        return 1.0
    logs = np.arange(count + 1) * math.log(mean) - mean - _log_factorials(count)
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


@functools.lru_cache(maxsize=4)
def _log_factorials(count: int) -> NDArray[np.float64]:
    """Return the logarithms of 0! to *count*!."""
    return np.array([math.lgamma(k + 1) for k in range(count + 1)])


def _solve(rising: Callable[[float], float], target: float, count: int) -> float:
    """Return where the function *rising* reaches *target*."""
    low, high = 0.0, 10.0 + 4.0 * count
    for _ in range(80):
        middle = (low + high) / 2
        if middle in (low, high):  # neighbouring doubles: nothing can change any more
            break
        if rising(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
