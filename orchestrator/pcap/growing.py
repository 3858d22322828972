"""A table that grows while a file is read, for nobody knows beforehand how many packets it holds."""

from __future__ import annotations

from orchestrator.model.columns import Packets

FEWEST_ROWS = 1 << 18
"""Rows to begin with; what is never written costs no memory, for pages of zeros are not there until then."""
LARGEST_STEP = 8
"""How many times as large a table may become at once, however much a guess promises."""
HEADROOM = 1.05
"""The part already read rarely has exactly the average frame length."""


class GrowingTable:
    """Packets that are appended chunk by chunk, each copied at most once more in eight on average."""

    def __init__(self) -> None:
        self.count = 0
        self._room = Packets.allocate(0)

    def make_room(self, count: int, part_read: float) -> Packets:
        """Return a table of zeros from row ``count`` of this one on, with *count* more rows at least.

        Args: part_read is the share of the file that these rows and those before them come from.
        """
        needed = self.count + count
        if needed > len(self._room):
            expected = int(needed / max(part_read, 1e-9) * HEADROOM)
            rows = max(needed, min(expected, max(FEWEST_ROWS, LARGEST_STEP * needed)))
            larger = Packets.allocate(rows)
            for old, new in zip(self._room.blocks, larger.blocks, strict=True):
                new[:, : self.count] = old[:, : self.count]
            self._room = larger
        return self._room

    def finished(self) -> Packets:
        """Return the rows written; every column is contiguous."""
        return self._room.take(slice(0, self.count))
