"""The fill level of a token bucket that nobody sees."""

from __future__ import annotations

from orchestrator.jit import kernel


@kernel
def bucket_levels(sent, size, lost, rate, level):
    """Let every packet that passed fill a bucket that runs dry at *rate*.

    Args: sent int64[:] times in order, size int64[:] bytes, lost bool[:], rate float64 bytes a nanosecond; output level
    float64[:]: bytes in the bucket if the packet were added.
    """
    held = 0.0
    before = sent[0] if sent.size else 0
    for k in range(sent.size):
        held = max(0.0, held - (sent[k] - before) * rate)
        before = sent[k]
        level[k] = held + size[k]
        if not lost[k]:
            held = level[k]
