"""The captures of one point as one table, whatever number of files they are in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import Packets
from orchestrator.pcap.reader import DIGEST_BYTES, CaptureFile, read_capture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    def drops(self) -> int | None:
        """Drops that the files themselves report."""
        known = [f.drops for f in self.files if f.drops is not None]
        return sum(known) if known else None


def index_points(points: Sequence[Sequence[Path]]) -> list[PointIndex]:
    """Return the index of every point, all with the same payload digest.

    Where some point kept fewer payload bytes than the digest takes, the digest takes that fewer everywhere: the same
    packet must have the same identity.  The first chunk of every file nearly always shows how many; where a later one
    kept fewer still, everything is read again.
    """
    digest_bytes = _shortest_at_start(points)
    while True:
        indexes = _read_all(points, digest_bytes)
        shortest = min((_shortest_kept(i.packets) for i in indexes), default=DIGEST_BYTES)
        if shortest == digest_bytes:
            return indexes
        digest_bytes = shortest


def _shortest_at_start(points: Sequence[Sequence[Path]]) -> int:
    """Return the fewest payload bytes kept in the first chunk of any file, as the digest will take them."""
    starts = (read_capture(path, only_first_chunk=True)[0] for files in points for path in files)
    return min((_shortest_kept(packets) for packets in starts), default=DIGEST_BYTES)


def _read_all(points: Sequence[Sequence[Path]], digest_bytes: int) -> list[PointIndex]:
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [[pool.submit(read_capture, path, digest_bytes) for path in files] for files in points]
        return [_joined([job.result() for job in jobs_of_point]) for jobs_of_point in jobs]


def _joined(parts: list[tuple[Packets, CaptureFile]]) -> PointIndex:
    """Put the files of one point in order of time: the names of a ring do not tell it."""
    parts = sorted(parts, key=lambda p: int(p[0].time_ns[0]) if len(p[0]) else 0)
    packets = Packets.concatenate([p for p, _ in parts]) if parts else Packets.allocate(0)
    return PointIndex(packets, tuple(f for _, f in parts), tuple(len(p) for p, _ in parts))


def _shortest_kept(packets: Packets) -> int:
    """Return the fewest payload bytes kept of a packet whose payload would have filled the digest."""
    wanted = np.minimum(packets.payload, DIGEST_BYTES)
    short = (packets.family > 0) & (packets.kept < wanted)
    return int(packets.kept[short].min()) if short.any() else DIGEST_BYTES
