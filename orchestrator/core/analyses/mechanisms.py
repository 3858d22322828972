"""Why packets vanish on a segment: only where the data can tell, else "not distinguishable" (ALGORITHMS C.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.mechanism_tests import queueing, spread_over_flows, token_bucket
from orchestrator.model.measures import Mechanism, Statistic

if TYPE_CHECKING:
    from orchestrator.core.analyses.mechanism_tests import Bucket, Queueing, Spread
    from orchestrator.core.analyses.sample import Sample
    from orchestrator.model.measures import Cause

FEWEST = 5
"""Losses below which nothing is tried."""
FEWEST_LOSSES, FEWEST_EPISODES = 20, 5
ENOUGH_TO_FIT = 10
"""Episodes: with fewer, some token bucket fits anything."""
ENOUGH_TO_CALL_RANDOM = 20
"""Episodes: with fewer, the test of the delay could not see a queue either."""
MOST_PACKETS = 100_000
"""Looked at by the tests that compare packets, from the first loss on."""
NEARLY_ALL = 0.9
LARGE_PAYLOAD = 1_000
"""Bytes; a hole for large packets begins below the MTU of Ethernet, less a tunnel or two."""
BESIDE = 10
"""Packets that must pass beside the lost ones, so that not everything was down."""
OUTAGE_PACKETS, OUTAGE_NS = 10, 100_000_000
FULL, OFTEN_FULL, CEILING = 0.9, 0.75, 0.8
EVEN, NEARLY_EVEN = 0.15, 0.25
"""How far from one half an AUC may lie to count as no relation."""
BUCKET_FITS, BUCKET_FAILS = 0.95, 0.8
UNLIKELY, LIKELY, OPEN, TOO_UNEVEN = 0.05, 0.01, 0.2, 1.5
FEWEST_BAD, FEWEST_GOOD, CONTRAST = 2, 3, 0.1
FEWEST_EXPECTED = 8.0
"""Losses that the good flows must have been spared, or some flows are free of them by chance."""
FEWEST_FLOWS = 5


def find_mechanism(sample: Sample) -> Mechanism | None:
    """Return why packets of *sample* vanish; None where hardly any do."""
    if int(sample.lost.sum()) < FEWEST:
        return None
    return _black_hole(sample) or _policy(sample) or _outage(sample) or _by_statistics(sample)


def _made(sample: Sample, cause: Cause, detail: str, *statistics: Statistic, **more: object) -> Mechanism:
    return Mechanism(
        cause=cause, losses=int(sample.lost.sum()), episodes=len(sample.begins), detail=detail, statistics=statistics,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _black_hole(sample: Sample) -> Mechanism | None:
    """Everything above one size is lost, nothing below it, and small packets of the same flows pass meanwhile."""
    gone = sample.gone
    passed = ~sample.lost
    smallest = int(sample.payload[gone].min())
    largest = int(sample.payload[passed].max()) if passed.any() else smallest
    between = passed[gone[0] : gone[-1] + 1] & np.isin(sample.way[gone[0] : gone[-1] + 1], sample.way[gone])
    beside = int(between.sum())
    if smallest <= largest or smallest < LARGE_PAYLOAD or beside < FEWEST:
        return None
    return _made(
        sample, "mtu-black-hole",
        f"all {len(gone):,} packets with {smallest:,} bytes of payload or more are lost and none of"
        f" {int(passed.sum()):,} with {largest:,} or less, {beside:,} of them of the same flows meanwhile",
        Statistic(name="smallest_lost_bytes", value=smallest, of=len(gone)),
        Statistic(name="largest_passed_bytes", value=largest, of=int(passed.sum())),
        against=("no ICMP message about the size was looked for behind the segment",),
    )  # fmt: skip


def _policy(sample: Sample) -> Mechanism | None:
    """All that goes to some services vanishes, while other packets of the same hosts pass."""
    gone = sample.gone
    passed = np.flatnonzero(~sample.lost)
    ways = int(sample.way.max()) + 1
    alive = np.zeros(ways, np.bool_)
    alive[sample.way[passed]] = True
    if alive[sample.way[gone]].mean() > 1 - NEARLY_ALL:
        return None
    services, count = np.unique(sample.service[gone], return_counts=True)
    closed = services[(count >= FEWEST) & ~np.isin(services, sample.service[passed])]
    stopped = gone[np.isin(sample.service[gone], closed)]
    if len(stopped) < NEARLY_ALL * len(gone) or not len(stopped):
        return None
    meanwhile = passed[(passed > stopped[0]) & (passed < stopped[-1])]
    beside = int(np.isin(sample.host[meanwhile], sample.host[stopped]).sum())
    if beside < BESIDE:
        return None
    flows = len(np.unique(sample.way[stopped]))
    against: tuple[str, ...] = ("a route that leads these packets elsewhere",)
    if flows < 2 * len(closed):
        against += ("few flows: a dead member of a bundle would look the same",)
    return _made(
        sample, "policy-drop",
        f"all {len(stopped):,} packets of {flows:,} flow{'s' if flows != 1 else ''} to {len(closed):,}"
        f" service{'s' if len(closed) != 1 else ''} are lost, while {beside:,} others of the same hosts pass",
        Statistic(name="passed_of_class", value=0.0, of=len(stopped)),
        Statistic(name="passed_beside", value=beside, of=len(meanwhile)), against=against,
    )  # fmt: skip


def _outage(sample: Sample) -> Mechanism | None:
    """Nothing at all passes for a while, and there is hardly a loss at any other time."""
    gone = sample.gone
    breaks = np.flatnonzero(np.diff(gone) > 1) + 1
    runs = [
        run for run in np.split(gone, breaks)
        if len(run) >= OUTAGE_PACKETS and sample.sent_ns[run[-1]] - sample.sent_ns[run[0]] >= OUTAGE_NS
        and len(np.unique(sample.way[run])) > 1
    ]  # fmt: skip
    inside = sum(len(run) for run in runs)
    if not runs or inside < NEARLY_ALL * len(gone):
        return None
    longest = max(runs, key=lambda run: int(sample.sent_ns[run[-1]] - sample.sent_ns[run[0]]))
    before, after = max(int(longest[0]) - 1, 0), min(int(longest[-1]) + 1, len(sample) - 1)
    interval = int(sample.sent_ns[before]), int(sample.sent_ns[after])
    flows = len(np.unique(sample.way[longest]))
    return _made(
        sample, "outage",
        f"nothing passes for {(interval[1] - interval[0]) / 1e6:,.0f} ms: {len(longest):,} packets of {flows:,} flows"
        " are lost in a row" + (f", and {len(runs) - 1:,} more such gaps" if len(runs) > 1 else ""),
        Statistic(name="longest_run", value=len(longest), of=len(gone)),
        Statistic(name="inside_gaps", value=inside / len(gone), of=len(gone)), interval_ns=interval,
        against=("a pause of the far capture that its counters do not show",),
    )  # fmt: skip


def _by_statistics(sample: Sample) -> Mechanism:
    """Compare losses with what passed: delay before them, load before them, whose they were."""
    losses, episodes = int(sample.lost.sum()), len(sample.begins)
    if losses < FEWEST_LOSSES or episodes < FEWEST_EPISODES:
        detail = f"{losses:,} losses in {episodes:,} episode{'s' if episodes != 1 else ''} are too few to tell"
        return _made(sample, "not-distinguishable", detail)
    shown = sample.part(max(0, int(sample.gone[0]) - 1_000), MOST_PACKETS)
    queue, bucket, spread = queueing(shown), token_bucket(shown), spread_over_flows(shown)
    cause, detail, against = _decided(shown, queue, bucket, spread)
    return _made(
        sample, cause, detail,
        Statistic(name="delay_auc", value=queue.auc, of=queue.episodes),
        Statistic(name="delay_plateau", value=queue.plateau, of=queue.episodes),
        Statistic(name="bucket_auc", value=bucket.auc, of=len(shown.begins)),
        Statistic(name="flows_p", value=spread.p, of=spread.flows),
        Statistic(name="flows_p_first", value=spread.p_first, of=spread.flows),
        Statistic(name="flows_dispersion", value=spread.dispersion, of=spread.flows),
        Statistic(name="large_over_small", value=_large_over_small(shown), of=len(shown)),
        Statistic(name="burst_mean", value=losses / episodes, of=episodes), against=against,
    )  # fmt: skip


def _decided(shown: Sample, queue: Queueing, bucket: Bucket, spread: Spread) -> tuple[Cause, str, tuple[str, ...]]:
    """Return the cause, what was seen, and what speaks against it."""
    episodes = len(shown.begins)
    tested = queue.episodes >= FEWEST_EPISODES
    no_queue = tested and abs(queue.auc - 0.5) < NEARLY_EVEN
    # where a queue is full most of the time, many that pass find it full as well: then the load must fit too
    at_ceiling = queue.auc > FULL or (queue.auc > OFTEN_FULL and bucket.auc > BUCKET_FITS)
    if tested and at_ceiling and queue.plateau > CEILING:
        return "congestion", _full_queue(queue, episodes), ()
    if no_queue and bucket.auc > BUCKET_FITS and episodes >= ENOUGH_TO_FIT:
        return "policer", _too_much(bucket, episodes), ("a very short queue, whose delay the capture's clock hides",)
    uneven = spread.p < UNLIKELY and spread.dispersion > TOO_UNEVEN
    if no_queue and bucket.auc < BUCKET_FITS and uneven and _is_apart(spread):
        return "bundle-member", _side_by_side(spread), ("a queue or a policy that treats these flows differently",)
    even = queue.episodes >= ENOUGH_TO_CALL_RANDOM and abs(queue.auc - 0.5) < EVEN
    alike = spread.p_first > LIKELY and not (spread.p < OPEN and _is_apart(spread))
    if even and bucket.auc < BUCKET_FAILS and alike:
        few = (f"{spread.flows:,} flow directions are too few to exclude one link of a bundle",)
        return "random", _unrelated(queue, bucket, episodes), few if spread.flows < FEWEST_FLOWS else ()
    return "not-distinguishable", "no mechanism fits what was measured before and beside the losses", ()


def _is_apart(spread: Spread) -> bool:
    """Say whether some flows lose and others, which would have lost as much, hardly do."""
    enough = spread.bad >= FEWEST_BAD and spread.flows - spread.bad >= FEWEST_GOOD
    spared = spread.good_expected >= FEWEST_EXPECTED and spread.good_rate <= CONTRAST * spread.bad_rate
    return enough and spared


def _full_queue(queue: Queueing, episodes: int) -> str:
    return (
        f"the last packet to pass before a loss was delayed longer than {queue.auc:.0%} of all others, mostly by"
        f" {queue.ceiling_ns / 1e6:.3g} ms, which is hardly ever exceeded ({queue.episodes:,} of {episodes:,} episodes)"
    )


def _too_much(bucket: Bucket, episodes: int) -> str:
    return (
        f"packets are lost when more than {bucket.burst / 1e3:,.3g} kB beyond {bucket.rate_bps / 1e6:,.3g} Mbit/s were"
        f" sent, and no queue delays those before ({episodes:,} episodes, AUC {bucket.auc:.2f})"
    )


def _side_by_side(spread: Spread) -> str:
    return (
        f"{spread.bad:,} of {spread.flows:,} flow directions lose {spread.bad_rate:.2%}, the others"
        f" {spread.good_rate:.2%}, though sent side by side (p = {spread.p:.3f})"
    )


def _unrelated(queue: Queueing, bucket: Bucket, episodes: int) -> str:
    return (
        f"losses depend on neither the delay (AUC {queue.auc:.2f}) nor the load (AUC {bucket.auc:.2f}) before them, nor"
        f" on the flow ({episodes:,} episodes)"
    )


def _large_over_small(sample: Sample) -> float:
    """Return the loss ratio of large packets over that of small ones; 0 where it cannot be told."""
    large = sample.payload > LARGE_PAYLOAD
    if not sample.lost[~large].any() or not large.any():
        return 0.0
    return float(sample.lost[large].mean() / sample.lost[~large].mean())
