"""The captures of one point as one table, whatever number of files they are in."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import CaptureFileError
from orchestrator.model.columns import Packets
from orchestrator.model.side_by_side import number_members
from orchestrator.pcap.capture_file import CaptureFile
from orchestrator.pcap.reader import read_capture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LONG_NS = 10 * 365 * 86_400 * 1_000_000_000
"""Where a gap has no end: longer than any capture."""
THREADS = 2
"""Kernels release the GIL; a thread a file keeps two cores busy."""


@dataclass(frozen=True, slots=True)
class PointIndex:
    """One point's packets, files in order of their first packet, rows in file order."""

    packets: Packets
    files: tuple[CaptureFile, ...]
    counts: tuple[int, ...]
    """Packets by file."""

    @property
    def defects(self) -> tuple[str, ...]:
        """What is damaged, one line each."""
        return tuple(f"{f.path.name}: {d}" for f in self.files for d in f.defects)

    @property
    def unreadable(self) -> CaptureFileError | None:
        """Why this point delivered nothing; None where at least one file could be read."""
        errors = [f.error for f in self.files]
        return None if None in errors else next((e for e in errors if e is not None), None)

    @property
    def gaps_ns(self) -> tuple[tuple[int, int], ...]:
        """Times, on the point's own clock, of which packets may be missing because a file is damaged or unreadable.

        A damaged file says nothing from its last packet to the beginning of the next file; where a file cannot be read
        at all, nobody knows when it was, so it may have been whenever no other file was; and where several interfaces
        captured side by side, nobody knows which file goes on where a damaged one ends.
        """
        if not any(f.cut or f.error for f in self.files):
            return ()
        by_file = self._spans
        spans = [s for s in by_file if s]
        if not spans:
            return ()
        lost = any(f.error or (f.cut and not s) for f, s in zip(self.files, by_file, strict=True))
        doubtful = [s[1] for f, s in zip(self.files, by_file, strict=True) if s and (f.cut or lost)]
        starts = [start for start, _ in spans]
        if max(number_members(spans)) > 0:
            begin = min(starts) - LONG_NS if lost else min(doubtful)
            return ((begin, begin + 2 * LONG_NS),)
        gaps = [(end, min((s for s in starts if s >= end), default=end + LONG_NS)) for end in doubtful]
        return ((min(starts) - LONG_NS, min(starts)), *gaps) if lost else tuple(gaps)

    @property
    def not_decoded(self) -> tuple[tuple[str, int], ...]:
        """Frames without IP by what they are, of all files, the most first."""
        counts: Counter[str] = Counter()
        for file in self.files:
            counts.update(file.not_decoded)
        return tuple(counts.most_common())

    @property
    def drops(self) -> int | None:
        """Drops that the files themselves report; of interfaces side by side, all must."""
        known = [f.drops for f in self.files if f.drops is not None]
        if len(known) < len(self.files) and max(number_members([s for s in self._spans if s]), default=0) > 0:
            return None
        return sum(known) if known else None

    @property
    def _spans(self) -> list[tuple[int, int] | None]:
        """First and last time by file, None of empty ones."""
        ends = np.cumsum(self.counts)
        times = [self.packets.time_ns[end - count : end] for end, count in zip(ends, self.counts, strict=True)]
        return [(int(t.min()), int(t.max())) if len(t) else None for t in times]


def index_points(points: Sequence[Sequence[Path]]) -> list[PointIndex]:
    """Return the index of every point; a file that cannot be read does not stop the others.

    All of them are views of one table, so that nothing is in memory twice.

    Raises:
        CaptureFileError: No point has a file that can be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [[pool.submit(_read, path) for path in files] for files in points]
        read = [_in_order([job.result() for job in jobs_of_point]) for jobs_of_point in jobs]
        del jobs
        files = [tuple(f for _, f in parts) for parts in read]
        counts = [tuple(p[0].shape[1] for p, _ in parts) for parts in read]
        whole = Packets.gathered([blocks for parts in read for blocks, _ in parts], pool.map)
    tables = whole.split([sum(c) for c in counts])
    indexes = [PointIndex(*index) for index in zip(tables, files, counts, strict=True)]
    failures = [index.unreadable for index in indexes]
    if failures and failures[0] is not None and None not in failures:
        raise failures[0]
    return indexes


def _read(path: Path) -> tuple[Packets, CaptureFile]:
    """Return what *path* holds, nothing where it is no capture."""
    try:
        return read_capture(path)
    except CaptureFileError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Packets.allocate(0), CaptureFile(path, defects=[reason], error=error)


def _in_order(parts: list[tuple[Packets, CaptureFile]]) -> list[tuple[list[NDArray[Any]], CaptureFile]]:
    """Return the files of one point in order of time, for the names of a ring do not tell it. Empty files come last."""
    parts = sorted(parts, key=lambda p: (not len(p[0]), int(p[0].time_ns[0]) if len(p[0]) else 0))
    return [(list(packets.blocks), file) for packets, file in parts]
