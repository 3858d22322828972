"""Hash what makes a packet that packet, row by row."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel
from orchestrator.model.hash_kernels import SHIFT, mix

WHOLE, BRIEF, NOTHING = 2, 1, 0
"""How much payload takes part: the digest over 64 bytes, the one over 16, none."""


@kernel
def identify(protocol, flags, fragment, window, seq, ack, tsval, tsecr, payload, digest, brief, level, out):
    """Write the identity of every row: the fields that routers and translators leave alone.

    Args: columns of model.columns.Packets by row, level uint8[:] one of WHOLE, BRIEF, NOTHING; output out uint64[:].
    TCP is told by its sequence numbers, whatever was kept of the payload; everything else by payload.
    """
    for row in range(out.size):
        kind = np.int64(protocol[row])
        state = mix(np.uint64(kind), np.uint64(payload[row]))
        if fragment[row] != 0:
            state = mix(state, np.uint64(fragment[row]) | np.uint64(1 << 20))
        elif kind == 6:
            state = mix(state, (np.uint64(seq[row]) << SHIFT) | np.uint64(ack[row]))
            state = mix(state, (np.uint64(flags[row]) << np.uint64(16)) | np.uint64(window[row]))
            state = mix(state, (np.uint64(tsval[row]) << SHIFT) | np.uint64(tsecr[row]))
            out[row] = state
            continue
        else:
            state = mix(state, (np.uint64(flags[row]) << SHIFT) | np.uint64(seq[row]))
        if level[row] == WHOLE:
            state = mix(state, digest[row])
        elif level[row] == BRIEF:
            state = mix(state, np.uint64(brief[row]))
        out[row] = state
