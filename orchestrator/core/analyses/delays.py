"""Delay of a segment: one-way where the clocks allow it, and what no clock offset touches (RFC 7679, RFC 5481)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.measures import Delay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.verdicts import PointFacts
    from orchestrator.model.measures import Doubt

MOST_SORTED = 1_000_000
"""Delays above which quantiles come from buckets: right to 0.4 % of the delay less its minimum."""
SHORTEST_WAIT_NS = 3_000_000_000
"""RFC 7680 asks for a waiting time after which a packet counts as lost; it is stated with the result."""
TIMES_P999 = 10
QUANTILES = (0.5, 0.95, 0.99, 0.999)
MANTISSA_BITS = 7
SHIFT = 52 - MANTISSA_BITS
ONE = 1023 << MANTISSA_BITS
"""Leading bits of the double 1.0."""


def measure_delay(
    delay_ns: NDArray[np.int64], near: PointFacts, far: PointFacts, *, clocks_agree: bool
) -> Delay | None:
    """Return the delay of a segment from its packets' *delay_ns*.

    Args: near, far tell how well the two clocks are known; clocks_agree is False where packets prove that some clock
    is not understood, so that no difference of two clocks can be defended.
    """
    if not len(delay_ns):
        return None
    low, high = int(delay_ns.min()), int(delay_ns.max())
    p50, p95, p99, p999 = (low + q for q in quantiles(delay_ns - low, QUANTILES))
    known = clocks_agree and near.uncertainty_ns is not None and far.uncertainty_ns is not None
    uncertainty = (near.uncertainty_ns or 0) + (far.uncertainty_ns or 0) if known else None
    waited = max(SHORTEST_WAIT_NS, TIMES_P999 * (p999 - low))
    late = int((delay_ns > low + waited).sum()) if high - low > waited else 0
    return Delay(
        min=low, p50=p50, p95=p95, p99=p99, p999=p999, max=high, uncertainty=uncertainty, samples=len(delay_ns),
        doubt=_doubt(p50, uncertainty, clocks_agree=clocks_agree), late=late, waited=waited,
    )  # fmt: skip


def _doubt(p50: int, uncertainty: int | None, *, clocks_agree: bool) -> Doubt:
    if not clocks_agree:
        return "clocks-contradict"
    if uncertainty is None:
        return "offset-unknown"
    return "below-uncertainty" if uncertainty > p50 else ""


def quantiles(excess: NDArray[np.int64], shares: Sequence[float]) -> list[int]:
    """Return the smallest values that at least each of *shares* of *excess*, none negative, do not exceed."""
    count = len(excess)
    ranks = [max(0, int(np.ceil(share * count)) - 1) for share in shares]
    if count <= MOST_SORTED:
        parted = np.partition(excess, sorted(set(ranks)))
        return [int(parted[rank]) for rank in ranks]
    # the exponent and leading bits of a double are a logarithmic scale that costs one shift
    bucket = np.maximum((excess.astype(np.float64).view(np.int64) >> SHIFT) - ONE + 1, 0)
    reached = np.cumsum(np.bincount(bucket))
    return [_middle(int(np.searchsorted(reached, rank, "right"))) for rank in ranks]


def _middle(bucket: int) -> int:
    """Return the middle of a bucket."""
    if bucket == 0:
        return 0
    exponent, mantissa = divmod(bucket - 1, 1 << MANTISSA_BITS)
    step = 2.0 ** (exponent - MANTISSA_BITS)
    low = 2.0**exponent + mantissa * step
    return int(low + max(step - 1, 0) / 2)
