"""The bytes of chosen frames, batch by batch: neighbours in a file are read at once, files stay open while in use."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from orchestrator.errors import EvidenceError
from orchestrator.pcap.merge_kernels import locate
from orchestrator.pcap.source import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets
    from orchestrator.pcap.source import CaptureSource

GAP_BYTES = 4096
"""Frames of one file that are nearer to each other than this are read at once, with what lies between."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The bytes of a batch of frames."""

    rows: NDArray[np.int64]
    data: NDArray[np.uint8]
    where: NDArray[np.int64]
    """Offset of each row's frame in ``data``."""
    file: NDArray[np.int64]
    """Number of each row's file."""


class FrameReader:
    """Files that hold the frames of a table, in the order of its rows."""

    def __init__(self, paths: Sequence[Path], ends: NDArray[np.int64], packets: Packets) -> None:
        """Note the files.

        Args: ends int64[:], by file the row behind its last.
        """
        self._paths = paths
        self._ends = ends
        self._packets = packets
        self._open: dict[int, tuple[CaptureSource, ExitStack]] = {}
        self._spare = [np.empty(0, np.uint8)] * 2  # one is being written from while the other is filled

    def load(self, rows: NDArray[np.int64]) -> Frames:
        """Return the frames of *rows*; they are there until the next but one call.

        Raises:
            EvidenceError: A file has become shorter than it was.
        """
        where, file, span, span_file, span_at, span_start, span_end = np.empty((7, len(rows)), np.int64)
        position, caplen = self._packets.position, self._packets.caplen
        spans, size = locate(
            rows, position, caplen, self._ends, GAP_BYTES, where, file, span, span_file, span_at, span_start, span_end
        )
        data = self._room(size)
        view = memoryview(data.data)
        columns = (c[:spans].tolist() for c in (span_file, span_at, span_start, span_end))
        for number, at, start, end in zip(*columns, strict=True):
            self._read(number, view[at : at + end - start], start)
        self._close_others(span_file[:spans].tolist())
        return Frames(rows, data, where, file)

    def _room(self, size: int) -> NDArray[np.uint8]:
        """Return the spare filled last but one, made large enough: fresh memory costs more than the read into it."""
        room = self._spare.pop(0)
        if len(room) < size:
            room = np.empty(size + size // 4, np.uint8)
        self._spare.append(room)
        return room

    def _read(self, number: int, view: memoryview, position: int) -> None:
        if number not in self._open:
            stack = ExitStack()
            self._open[number] = stack.enter_context(open_source(self._paths[number])), stack
        if self._open[number][0].read_into(view, position) < len(view):
            msg = f"{self._paths[number]}: became shorter while it was read"
            raise EvidenceError(msg, hint="Restore the file, or wait until it is whole, and start again.")

    def _close_others(self, numbers: Sequence[int]) -> None:
        """Close files that this batch did not need: a ring is many files, one after the other."""
        for number in set(self._open).difference(numbers):
            self._open.pop(number)[1].close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all files."""
        self._close_others(())
