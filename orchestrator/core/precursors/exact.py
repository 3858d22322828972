"""Exact test, odds ratio and false discovery rate over matched sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.precursor import Odds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NORMAL = 1.959964
MOST_LOGARITHM = 700.0
"""Of a number that still is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Windows that are alike but for what failed behind them, and how many of them met one thing."""

    exposed_cases: int
    cases: int
    exposed_controls: int
    controls: int

    @property
    def compares(self) -> bool:
        """Say whether there is something to compare with."""
        return self.cases > 0 and self.controls > 0


def exact_p(strata: Sequence[Stratum]) -> float | None:
    """Return the chance of so many exposed cases or more if it did not matter which windows are the cases'.

    None where no stratum compares. Given how many windows of a stratum are exposed, those of its cases are a draw from
    them (hypergeometric; with one case, its share); the sum over strata is worked out by convolution.
    """
    compared = [s for s in strata if s.compares]
    if not compared:
        return None
    distribution = np.ones(1)
    for stratum in compared:
        distribution = np.convolve(distribution, _draw(stratum))
    return float(min(1.0, distribution[sum(s.exposed_cases for s in compared) :].sum()))


def _draw(s: Stratum) -> NDArray[np.float64]:
    """Return the chance of each number of exposed cases."""
    exposed, total = s.exposed_cases + s.exposed_controls, s.cases + s.controls
    ways = [math.comb(exposed, k) * math.comb(total - exposed, s.cases - k) for k in range(s.cases + 1)]
    return np.array([way / math.comb(total, s.cases) for way in ways])


def odds_ratio(strata: Sequence[Stratum]) -> Odds | None:
    """Return the odds ratio over matched sets, None where none compares.

    One more stratum, in which all four cells are one, stands for the half that is added to either kind of discordant
    pairs: without it, an event that no control met would have no interval.
    """
    cells = [
        (s.exposed_cases, s.exposed_controls, s.cases - s.exposed_cases, s.controls - s.exposed_controls)
        for s in strata if s.compares
    ]  # fmt: skip
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
