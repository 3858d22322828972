"""Statistics that tell mechanisms of loss apart (ALGORITHMS C.5). None of them needs aligned clocks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.mechanism_kernels import bucket_levels
from orchestrator.core.analyses.sample import HEADER_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.sample import Sample

RECENT_NS = 100_000_000
"""A survivor longer ago tells nothing of the queue at the loss."""
MOST_COMPARED = 5_000
COARSE, CANDIDATES, FINE, REFINEMENTS = 90, 5, 14, 2
SLOWEST, SPAN_OF_RATES = 0.2, 1_000.0
"""Rates begin at this share of the average that passed, which one bucket full may have raised."""
LAGS, BIN = (2, 8, 32), 0.03
"""Losses between which rates are taken, and the width in which they are alike."""
FIRST_EPISODES, GROWTH = 30, 4
"""A rate is sought over so many episodes first: the longer the sample, the narrower the right rate."""
BLOCK = 200
"""Packets within which losses may be exchanged between flows."""
LARGE = 600
"""Bytes of payload: losses are exchanged among large and among small packets only, for bits break by the thousand."""
PERMUTATIONS = 499
MOST_DEALT = 1_000
FEWEST_OF_FLOW = 20
SEED = 5481


def auc(cases: NDArray[np.generic], others: NDArray[np.generic]) -> float:
    """Return the chance that one of *cases* exceeds one of *others*, ties half (Mann and Whitney)."""
    if not len(cases) or not len(others):
        return 0.5
    ordered = np.sort(others)
    below = np.searchsorted(ordered, cases, "left") + np.searchsorted(ordered, cases, "right")
    return float(below.mean() / (2 * len(ordered)))


def thinned(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return at most MOST_COMPARED of *values*, evenly chosen."""
    return values[:: -(-len(values) // MOST_COMPARED)] if len(values) > MOST_COMPARED else values


@dataclass(frozen=True, slots=True)
class Queueing:
    """Delay of the last packet to pass before each episode, against that of all that passed."""

    auc: float
    plateau: float
    """Median of theirs over the 99.9 % quantile of all: near 1 where a queue is full."""
    ceiling_ns: int
    episodes: int


def queueing(sample: Sample) -> Queueing:
    """Compare the delay just before losses with the delay at other times."""
    known = np.flatnonzero(sample.excess_ns >= 0)
    begins = sample.begins
    before = np.searchsorted(known, begins) - 1
    usable = before >= 0
    last = known[before[usable]]
    last = last[sample.sent_ns[begins[usable]] - sample.sent_ns[last] <= RECENT_NS]
    everything = sample.excess_ns[known]
    if not len(last):
        return Queueing(0.5, 0.0, 0, 0)
    ceiling = float(np.quantile(everything, 0.999))
    middle = float(np.median(sample.excess_ns[last]))
    return Queueing(
        auc(sample.excess_ns[last], thinned(everything)), middle / ceiling if ceiling else 0.0, int(middle), len(last)
    )


@dataclass(frozen=True, slots=True)
class Bucket:
    """The token bucket that explains the losses best."""

    auc: float
    """Of its level at losses against its level at packets that passed."""
    rate_bps: float
    burst: int
    """Bytes."""


def token_bucket(sample: Sample) -> Bucket:
    """Look for the rate at which what passed fills a bucket just before each loss, and at no other time."""
    begins = sample.begins
    if not len(begins) or sample.lost.all():
        return Bucket(0.5, 0.0, 0)
    episodes = min(FIRST_EPISODES, len(begins))
    part = sample.part(0, int(begins[episodes - 1]) + 1)
    elapsed = max(int(part.sent_ns[-1] - part.sent_ns[0]), 1)
    slowest = SLOWEST * float(_bytes(part)[~part.lost].sum()) / elapsed
    if slowest <= 0:
        return Bucket(0.5, 0.0, 0)
    candidates = _peaks(_fits(part, np.geomspace(slowest, slowest * SPAN_OF_RATES, COARSE)))
    candidates += [(0.5, rate) for rate in _rates_between_losses(part)]
    step = SPAN_OF_RATES ** (1 / (COARSE - 1))
    while True:
        for _ in range(REFINEMENTS):
            rates = [np.geomspace(rate / step, rate * step, FINE) for _, rate in candidates]
            candidates = [_peaks(_fits(part, around))[0] for around in rates]
            step **= 2 / (FINE - 1)
        candidates = sorted(candidates, reverse=True)[:1]
        if len(part) == len(sample):
            break
        episodes *= GROWTH
        part = sample.part(0, int(begins[episodes - 1]) + 1 if episodes < len(begins) else len(sample))
        step **= GROWTH
    fit, rate = candidates[0]
    level = np.empty(len(sample))
    bucket_levels(sample.sent_ns, _bytes(sample), sample.lost, rate, level)
    return Bucket(fit, rate * 8e9, int(np.quantile(level[~sample.lost], 0.999)))


def _bytes(sample: Sample) -> NDArray[np.int64]:
    return sample.payload + HEADER_BYTES


def _rates_between_losses(sample: Sample) -> list[float]:
    """Return the rates at which most often as much passed between two losses as a bucket lets pass that stays dry."""
    passed = np.cumsum(np.where(sample.lost, 0, _bytes(sample)))
    gone = sample.gone
    found = []
    for lag in LAGS:
        size = passed[gone[lag:]] - passed[gone[:-lag]]
        elapsed = sample.sent_ns[gone[lag:]] - sample.sent_ns[gone[:-lag]]
        usable = (size > 0) & (elapsed > 0)
        found.append(np.log(size[usable] / elapsed[usable]))
    if not sum(map(len, found)):
        return []
    bins, count = np.unique(np.round(np.concatenate(found) / BIN), return_counts=True)
    best = bins[np.argsort(-count, kind="stable")[:CANDIDATES]]
    return [float(rate) for rate in np.exp(best * BIN)]


def _fits(sample: Sample, rates: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return by rate (how well its bucket tells losses from what passed, rate)."""
    begins, passed, size = sample.begins, thinned(np.flatnonzero(~sample.lost)), _bytes(sample)
    level = np.empty(len(sample))
    found = []
    for rate in rates.tolist():
        bucket_levels(sample.sent_ns, size, sample.lost, rate, level)
        found.append((auc(level[begins], level[passed]), rate))
    return found


def _peaks(fits: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the middle of each plateau that is higher than its surroundings, the best first, at most CANDIDATES."""
    plateaus = [list(group) for _, group in groupby(fits, key=lambda fit: fit[0])]
    heights = [-1.0, *(group[0][0] for group in plateaus), -1.0]
    found = [group[len(group) // 2] for k, group in enumerate(plateaus) if heights[k] < heights[k + 1] > heights[k + 2]]
    return sorted(found, reverse=True)[:CANDIDATES]


@dataclass(frozen=True, slots=True)
class Spread:
    """How losses spread over flows."""

    p: float
    """Chance of so uneven a spread, were losses dealt out among packets sent at the same time."""
    p_first: float
    """The same of the first loss of each episode alone: right under bursts too, but blunter."""
    dispersion: float
    flows: int
    """Flows with enough packets to tell."""
    bad: int
    bad_rate: float
    good_rate: float
    good_expected: float
    """Losses that the good flows would have had."""


def spread_over_flows(sample: Sample) -> Spread:
    """Ask whether some flows lose and others do not, though they are sent side by side.

    One loss an episode and flow counts, and is exchanged among packets of like size sent at the same time, so that
    neither bursts nor lengths make flows look different.
    """
    ways, flow = np.unique(sample.way, return_inverse=True)
    total = np.bincount(flow, minlength=len(ways))
    lost = np.bincount(flow[sample.lost], minlength=len(ways))
    told = np.flatnonzero(total >= FEWEST_OF_FLOW)
    bad, bad_rate, good_rate = _two_kinds(lost[told], total[told])
    good = told[np.argsort(-lost[told] / total[told], kind="stable")][bad:]
    p, dispersion, expected = _unevenness(sample, flow, len(ways), _once_an_episode(sample, flow))
    p_first, _, _ = _unevenness(sample, flow, len(ways), sample.begins)
    return Spread(p, p_first, dispersion, len(told), bad, bad_rate, good_rate, float(expected[good].sum()))


def _unevenness(
    sample: Sample, flow: NDArray[np.int64], flows: int, losses: NDArray[np.int64]
) -> tuple[float, float, NDArray[np.float64]]:
    """Return (chance of so uneven a spread of *losses*, how much more uneven than usual, expected losses by flow)."""
    losses = losses[:: -(-len(losses) // MOST_DEALT)] if len(losses) else losses
    stratum = (np.arange(len(sample)) // BLOCK) * 2 + (sample.payload > LARGE)
    order = np.argsort(stratum, kind="stable")
    low = np.searchsorted(stratum[order], stratum[losses])
    high = np.searchsorted(stratum[order], stratum[losses], "right")
    source = np.random.default_rng(SEED)
    drawn = low + (source.random((PERMUTATIONS, len(losses))) * (high - low)).astype(np.int64)
    dealt = np.arange(PERMUTATIONS)[:, None] * flows + flow[order[drawn]]
    table = np.bincount(dealt.ravel(), minlength=PERMUTATIONS * flows).reshape(PERMUTATIONS, flows)
    expected = table.mean(axis=0)
    usable = expected > 0
    seen = np.bincount(flow[losses], minlength=flows)
    by_chance = ((table[:, usable] - expected[usable]) ** 2 / expected[usable]).sum(axis=1)
    ours = float(((seen[usable] - expected[usable]) ** 2 / expected[usable]).sum())
    usual = float(by_chance.mean())
    p = (1 + int((by_chance >= ours).sum())) / (PERMUTATIONS + 1)
    return p, ours / usual if usual else 0.0, np.asarray(expected, np.float64)


def _once_an_episode(sample: Sample, flow: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of the first loss of each flow in each episode."""
    gone = sample.gone
    episode = np.searchsorted(sample.begins, gone, "right")
    _, first = np.unique(episode * (int(flow.max()) + 1) + flow[gone], return_index=True)
    return gone[first]


def _two_kinds(lost: NDArray[np.int64], total: NDArray[np.int64]) -> tuple[int, float, float]:
    """Split flows into a bad and a good kind where two loss ratios fit best; return (bad flows, ratio, ratio)."""
    if len(total) < 2:  # noqa: PLR2004  # two kinds need two flows
        return 0, 0.0, 0.0
    order = np.argsort(-lost / total, kind="stable")
    upto_lost, upto = np.cumsum(lost[order])[:-1], np.cumsum(total[order])[:-1]
    rest_lost, rest = lost.sum() - upto_lost, total.sum() - upto
    fit = _likelihood(upto_lost, upto) + _likelihood(rest_lost, rest)
    best = int(np.argmax(fit))
    return best + 1, float(upto_lost[best] / upto[best]), float(rest_lost[best] / rest[best])


def _likelihood(lost: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the logarithm of the binomial likelihood at its best."""
    share = lost / total
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(lost > 0, lost * np.log(share), 0.0)
        found = found + np.where(lost < total, (total - lost) * np.log1p(-share), 0.0)
    return np.asarray(found, np.float64)
