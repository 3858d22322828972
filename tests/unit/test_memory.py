"""Memory that an analysis frees is kept while it lasts and given back at its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orchestrator.memory import freed_memory_kept

MEGABYTE = 1 << 20


def resident():
    """Return the bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def test_what_is_freed_is_kept_within_and_given_back_at_the_end():
    """Two hundred megabytes: the C library would give them back at once."""
    before = resident()
    with freed_memory_kept():
        table = np.ones(200 * MEGABYTE, np.uint8)
        del table
        within = resident() - before

    assert within > 150 * MEGABYTE
    assert resident() - before < 50 * MEGABYTE
