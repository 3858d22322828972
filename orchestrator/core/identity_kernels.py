"""Hash what makes a packet that packet, row by row."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(32)
WHOLE, BRIEF, NOTHING = 2, 1, 0
"""How much payload takes part: the digest over 64 bytes, the one over 16, none."""


@inlined
def fold(state, value):
    """Fold *value* into *state*; both uint64."""
    state = (state ^ value) * GOLDEN
    return state ^ (state >> SHIFT)


@kernel
def identify(protocol, flags, fragment, window, seq, ack, tsval, tsecr, payload, digest, brief, level, out):
    """Write the identity of every row: the fields that routers and translators leave alone.

    Args: columns of model.columns.Packets by row, level uint8[:] one of WHOLE, BRIEF, NOTHING; output out uint64[:].
    TCP is told by its sequence numbers, whatever was kept of the payload; everything else by payload.
    """
    for row in range(out.size):
        kind = np.int64(protocol[row])
        state = fold(np.uint64(kind), np.uint64(payload[row]))
        if fragment[row] != 0:
            state = fold(state, np.uint64(fragment[row]) | np.uint64(1 << 20))
        elif kind == 6:
            state = fold(state, (np.uint64(seq[row]) << SHIFT) | np.uint64(ack[row]))
            state = fold(state, (np.uint64(flags[row]) << np.uint64(16)) | np.uint64(window[row]))
            state = fold(state, (np.uint64(tsval[row]) << SHIFT) | np.uint64(tsecr[row]))
            out[row] = state
            continue
        else:
            state = fold(state, (np.uint64(flags[row]) << SHIFT) | np.uint64(seq[row]))
        if level[row] == WHOLE:
            state = fold(state, digest[row])
        elif level[row] == BRIEF:
            state = fold(state, np.uint64(brief[row]))
        out[row] = state
