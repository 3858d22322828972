"""Comments on the frames that somebody will look for: they begin with a tag, by which a display filter finds them.

`frame.comment contains "#VANISHED"`. Tags: #VANISHED where a packet was seen last, #RST-ORIGIN where a reset was seen
first, #DUPLICATE on repeats of a packet at one point, #UNSEEN before a point whose capture missed a packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.pcap.merge_kernels import find_repeats, find_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets
    from orchestrator.model.finding import Reset, Vanished

VANISHED, RESET, DUPLICATE, UNSEEN = "#VANISHED", "#RST-ORIGIN", "#DUPLICATE", "#UNSEEN"
MOST_REMARKS = 10_000
"""Of duplicates, and of packets that a capture missed, at one point: every comment is one more entry in a list."""


class Remarks:
    """Comments by row; several on one row are joined."""

    def __init__(self, points: Sequence[str], starts: Sequence[int], token: NDArray[np.int64]) -> None:
        """Begin without any.

        Args: starts, by point its first row, and the number of rows; token int64[:] by row, -1 none.
        """
        self.by_row: dict[int, str] = {}
        self._names = points
        self._numbers = {name: number for number, name in enumerate(points)}
        self._starts = starts
        self._token = token
        self._words = (int(token.max(initial=-1)) >> 6) + 1

    def vanished(self, entries: Sequence[Vanished]) -> NDArray[np.int64]:
        """Note where each packet that vanished was seen last; return the rows."""
        rows = [self._row(entry.last_seen, entry.frame) for entry in entries]
        for row, entry in zip(rows, entries, strict=True):
            later = ", sent again later" if entry.recovered else ""
            later += ", a later acknowledgement arrived" if entry.superseded else ""
            self._add(row, f"{VANISHED} {entry.verdict}: last seen here, not at {entry.first_missing}{later}")
        return np.array(rows, np.int64)

    def resets(self, entries: Sequence[Reset]) -> NDArray[np.int64]:
        """Note where each reset was seen first; return the rows."""
        rows = [self._row(e.first_seen, dict(e.frames)[e.first_seen][0]) for e in entries]
        for row, entry in zip(rows, entries, strict=True):
            born = f"not seen at {entry.born_after}" if entry.born_after else "no point before could tell"
            self._add(row, f"{RESET} first seen here, {born}; origin {entry.origin}, {entry.cause}")
        return np.array(rows, np.int64)

    def duplicates_and_unseen(
        self, packets: Packets, time_ns: NDArray[np.int64], lossy: Sequence[bool], paths: Sequence[Sequence[int]]
    ) -> None:
        """Note repeats at every point, and packets that a *lossy* capture missed between two that have them.

        Args: time_ns int64[:] by row, corrected; lossy by point, whether its capture is known to miss packets; paths
        of point numbers.
        """
        seen = np.zeros((len(self._names), self._words), np.uint64)
        for point in range(len(self._names)):
            self._note_duplicates(point, seen[point])
        for point in np.flatnonzero(lossy).tolist():
            rows = [np.empty(0, np.int64)]
            for before, later in _around(point, paths):
                missed = seen[before] & ~seen[point] & np.bitwise_or.reduce(seen[later], axis=0)
                rows.append(self._find(before, missed))
            found = np.concatenate(rows)
            found = found[np.argsort(time_ns[found], kind="stable")]  # seen on both sides: where it was first
            self._note_unseen(point, found[np.unique(self._token[found], return_index=True)[1]], packets)

    def _note_duplicates(self, point: int, seen: NDArray[np.uint64]) -> None:
        start, stop = self._starts[point], self._starts[point + 1]
        repeats = np.empty(MOST_REMARKS, np.int64)
        found = repeats[: find_repeats(self._token, start, stop, seen, repeats)]
        if not len(found):
            return
        wanted = np.zeros(self._words, np.uint64)
        number = self._token[found]
        np.bitwise_or.at(wanted, number >> 6, np.uint64(1) << (number & 63).astype(np.uint64))
        rows = self._find(point, wanted)
        firsts, places = np.unique(self._token[rows], return_index=True)
        originals = rows[places[np.searchsorted(firsts, number)]]
        for row, original in zip(found.tolist(), originals.tolist(), strict=True):
            self._add(row, f"{DUPLICATE} of frame {original - start + 1} of {self._names[point]}")

    def _note_unseen(self, point: int, rows: NDArray[np.int64], packets: Packets) -> None:
        """Note that *point* missed *rows*; only of flows that it saw at all, for others may take another way."""
        here = packets.flow[self._starts[point] : self._starts[point + 1]]
        flows = np.unique(packets.flow[rows])
        known = flows[np.isin(flows, here)]
        for row in rows[np.isin(packets.flow[rows], known)][:MOST_REMARKS].tolist():
            self._add(row, f"{UNSEEN} at {self._names[point]}, whose capture missed it: seen again further on")

    def _find(self, point: int, wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the rows of *point* whose token is *wanted*."""
        start, stop = self._starts[point], self._starts[point + 1]
        rows = np.empty(0, np.int64)
        count = find_rows(self._token, start, stop, wanted, rows)
        rows = np.empty(count, np.int64)
        find_rows(self._token, start, stop, wanted, rows)
        return rows

    def _row(self, point: str, frame: int) -> int:
        return self._starts[self._numbers[point]] + frame - 1

    def _add(self, row: int, text: str) -> None:
        self.by_row[row] = f"{self.by_row[row]}\n{text}" if row in self.by_row else text


def _around(point: int, paths: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[int]]]:
    """Yield (neighbour before *point*, points behind it) for both ways; only what no path reaches without *point*."""
    pairs: dict[int, set[int]] = {}
    for given in paths:
        for path in (given, given[::-1]):
            if point in path[1:-1]:
                at = list(path).index(point)
                pairs.setdefault(path[at - 1], set()).update(path[at + 1 :])
    for before, behind in pairs.items():
        later = [p for p in sorted(behind) if not any(before in x and p in x and point not in x for x in paths)]
        if later:
            yield before, later
