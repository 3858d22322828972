"""How numbers become hashes, here and nowhere else: what readers and analysis name alike must be named alike."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(32)


@inlined
def mix(state, value):
    """Fold *value* into *state*; both uint64."""
    state = (state ^ value) * GOLDEN
    return state ^ (state >> SHIFT)


@inlined
def name_flow(src_hi, src_lo, sport, dst_hi, dst_lo, dport, protocol):
    """Return (hash of the unordered five-tuple, whether the source is its larger end) of one packet.

    Args: addresses as two uint64 halves, ports and protocol int64.
    """
    source = mix(mix(src_hi, src_lo), np.uint64(sport))
    target = mix(mix(dst_hi, dst_lo), np.uint64(dport))
    swapped = src_hi > dst_hi or (src_hi == dst_hi and (src_lo > dst_lo or (src_lo == dst_lo and sport > dport)))
    low = target if swapped else source
    high = source if swapped else target
    return mix(mix(low, high), np.uint64(protocol)), swapped
