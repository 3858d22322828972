"""Thin out what bounds a clock: of many packets close in time, the one with the least delay decides."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel


@kernel
def lowest_in_buckets(time, value, chosen):
    """Choose the place of the lowest value, of equal ones the first, in every part of the span of time.

    Args: time, value float64[:]; output chosen int64[:] of -1: one entry a part, and one for the very end.
    """
    if time.size == 0:
        return
    low, high = time[0], time[0]
    for k in range(time.size):
        low = min(low, time[k])
        high = max(high, time[k])
    scale = (chosen.size - 1) / (high - low) if high > low else 0.0
    for k in range(time.size):
        bucket = np.int64((time[k] - low) * scale)
        best = chosen[bucket]
        if best < 0 or value[k] < value[best]:
            chosen[bucket] = k
