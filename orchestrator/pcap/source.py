"""The bytes of a capture file by offset, plain or compressed: the one place that opens captures for reading.

Plain files are read with pread, never mapped: a file that shrinks under a map kills the process.  A gzip or zstd file
is a stream of pieces: offsets are those of the decompressed bytes, and only the last few megabytes are kept, so going
forward is cheap and a longer step back begins the stream anew.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from orchestrator.errors import CaptureFileError
from orchestrator.pcap.decompress import DamagedStreamError, Raw, decompressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WritableBuffer: TypeAlias = bytearray | memoryview

KEPT_BYTES = 1 << 23
"""Decompressed bytes kept before the place read last: a writer in order of time steps back by less."""


class CaptureSource(Protocol):
    """A capture file as bytes by offset; the offsets are those of `Packets.position`."""

    defect: str | None
    """What is wrong with the compressed stream, once that was met."""

    def read_into(self, buffer: WritableBuffer, position: int) -> int:
        """Fill *buffer* with the bytes from *position* on; return how many there are, fewer only at the end."""

    def stored_bytes(self) -> int:
        """Return the bytes that the file takes on disk up to what was read so far."""

    def part_read(self, position: int) -> float:
        """Return which share of the file lies before *position*, which was read already."""


@contextmanager
def open_source(path: Path) -> Iterator[CaptureSource]:
    """Open the capture file *path* for the length of the block.

    Raises:
        CaptureFileError: There is no such file, or it is a directory.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise CaptureFileError(msg, hint="Check the path and the rights of the file.") from error
    try:
        pieces = decompressor(os.pread(descriptor, 4, 0))
        yield _Compressed(descriptor, pieces) if pieces else _Plain(descriptor)
    except IsADirectoryError as error:
        msg = f"{path}: is a directory"
        raise CaptureFileError(msg, hint="Name a capture file.") from error
    finally:
        os.close(descriptor)


class _Plain:
    """A file as it is."""

    defect: str | None = None

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._end = 0

    def read_into(self, buffer: WritableBuffer, position: int) -> int:
        """See CaptureSource."""
        got = 0
        with memoryview(buffer) as view:
            while got < len(view):  # a pipe or a network file system may give less than asked for
                step = os.preadv(self._descriptor, [view[got:]], position + got)
                if not step:
                    break
                got += step
        self._end = max(self._end, position + got)
        return got

    def stored_bytes(self) -> int:
        """See CaptureSource."""
        return self._end

    def part_read(self, position: int) -> float:
        """See CaptureSource."""
        return position / max(self._size, 1)


class _Compressed:
    """A stream of decompressed pieces, of which a window is kept."""

    def __init__(self, descriptor: int, pieces: Callable[[Raw], Iterator[bytes]]) -> None:
        self.defect: str | None = None
        self._descriptor = descriptor
        self._decompress = pieces
        self._size = os.fstat(descriptor).st_size
        self._begin()

    def _begin(self) -> None:
        self._raw = Raw(self._descriptor)
        self._pieces = self._decompress(self._raw)
        self._window = bytearray()
        self._start = 0

    def read_into(self, buffer: WritableBuffer, position: int) -> int:
        """See CaptureSource."""
        if position < self._start:
            self._begin()
        while self._end() < position + len(buffer) and (piece := self._next()):
            self._window += piece
            excess = min(position, self._end()) - KEPT_BYTES - self._start
            if excess > 0:
                del self._window[:excess]
                self._start += excess
        offset = position - self._start
        got = max(0, min(len(buffer), len(self._window) - offset))
        with memoryview(buffer) as view:
            view[:got] = self._window[offset : offset + got]
        return got

    def _end(self) -> int:
        return self._start + len(self._window)

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except DamagedStreamError as damage:
            self.defect = str(damage)
            return b""

    def stored_bytes(self) -> int:
        """See CaptureSource."""
        return self._raw.position

    def part_read(self, position: int) -> float:
        """See CaptureSource."""
        return min(1.0, self._raw.position / max(self._size, 1)) * position / max(self._end(), 1)
