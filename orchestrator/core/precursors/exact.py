"""Exact test, odds ratio and false discovery rate over matched sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.precursor import Odds

if TYPE_CHECKING:
    from collections.abc import Sequence

NORMAL = 1.959964
MOST_LOGARITHM = 700.0
"""Of a number that still is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One matched set seen as one thing met or not."""

    case: bool
    exposed: int
    """Controls that met it."""
    controls: int


def exact_p(sets: Sequence[Exposure]) -> float | None:
    """Return the chance of so many exposed cases or more if it did not matter which window is the case's.

    None where no set has a control. Given how many windows of a set are exposed, the case is one of them with that
    share, independently of other sets: the sum is Poisson-binomial, worked out by convolution.
    """
    compared = [s for s in sets if s.controls]
    if not compared:
        return None
    seen = sum(s.case for s in compared)
    chances = [(s.case + s.exposed) / (s.controls + 1) for s in compared]
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, (1 - chance, chance))
    return float(min(1.0, distribution[seen:].sum()))


def odds_ratio(sets: Sequence[Exposure]) -> Odds | None:
    """Return the odds ratio over matched sets, None where no set has a control.

    One more set, in which all four cells are one, stands for the half that is added to either kind of discordant
    pairs: without it, an event that no control met would have no interval.
    """
    cells = [(s.case, s.exposed, not s.case, s.controls - s.exposed) for s in sets if s.controls]
    if not cells:
        return None
    a, c, b, d = np.array([*cells, (1, 1, 1, 1)], np.float64).T
    n = a + b + c + d
    r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
    sum_r, sum_s = r.sum(), s.sum()
    variance = (
        (p * r).sum() / (2 * sum_r**2) + (p * s + q * r).sum() / (2 * sum_r * sum_s) + (q * s).sum() / (2 * sum_s**2)
    )
    middle, half = math.log(sum_r / sum_s), NORMAL * math.sqrt(variance)
    low, high = math.exp(max(middle - half, -MOST_LOGARITHM)), math.exp(min(middle + half, MOST_LOGARITHM))
    return Odds(ratio=math.exp(middle), low=low, high=high)


def false_discovery(p: Sequence[float]) -> list[float]:
    """Return the q of each p (Benjamini and Hochberg)."""
    if not p:
        return []
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    ranks = np.arange(len(values), 0, -1)
    scaled = np.minimum.accumulate(values[order] * len(values) / ranks)
    found = np.empty(len(values))
    found[order] = np.minimum(scaled, 1.0)
    return [float(q) for q in found]
