"""A file that a thread of its own writes in large pieces, while the next piece is put together.

It is written beside its name and renamed when it is whole.  Where the file system can, pieces pass by the page cache:
copying into it costs more than the disk, and it would push out the captures that are being read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orchestrator.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

PIECE_BYTES = 1 << 22
PIECES = 3
ALIGNMENT = 4096
"""Bytes; what a write that passes by the page cache must begin at and be a multiple of."""
SLOW_AFTER_BYTES = 1 << 26
SLOW_BYTES_A_SECOND = 400_000_000
"""A disk slower than this is left to the page cache, which does not make the writer wait."""
DIRECT: int = getattr(os, "O_DIRECT", 0)


class Sink:
    """A file in the making; use as a context, which renames it at the end or removes it after a failure."""

    def __init__(self, path: Path) -> None:
        """Create the file beside *path*.

        Raises:
            InputError: It cannot be created there.
        """
        self.path = path
        # A pipe or a device is written to as it is: a rename would put a file in the place of /dev/null.
        self._renamed = not path.exists() or path.is_file() or path.is_dir()
        self._beside = path.with_name(path.name + ".part") if self._renamed else path
        self._descriptor, self._direct = _create(self._beside) if self._renamed else (_open(path, 0), False)
        self._full: queue.Queue[tuple[NDArray[np.uint8], int] | None] = queue.Queue()
        self._free: queue.Queue[NDArray[np.uint8]] = queue.Queue()
        for _ in range(PIECES - 1):
            self._free.put(_piece(PIECE_BYTES))
        self._buffer = _piece(PIECE_BYTES)
        self._used = 0
        self._error: OSError | None = None
        self._written = 0
        self._writing_s = 0.0
        self._thread = threading.Thread(target=self._write_pieces, name="writer", daemon=True)
        self._thread.start()

    def room(self, size: int) -> tuple[NDArray[np.uint8], int]:
        """Return (buffer, place in it) where at least *size* bytes can be put; tell `filled` how many were.

        Raises:
            InputError: The file cannot be written any further.
        """
        if len(self._buffer) - self._used < size:
            self._hand_over(size)
        return self._buffer, self._used

    def filled(self, end: int) -> None:
        """Take the buffer to be filled up to *end*."""
        self._used = end

    def write(self, data: bytes) -> None:
        """Write a few bytes."""
        buffer, at = self.room(len(data))
        buffer[at : at + len(data)] = np.frombuffer(data, np.uint8)
        self.filled(at + len(data))

    def _hand_over(self, size: int) -> None:
        """Give the whole part of the buffer to the thread and go on in another with the rest."""
        whole = self._used - self._used % ALIGNMENT
        fresh = self._free.get()
        self._check()
        if len(fresh) < size + ALIGNMENT:
            fresh = _piece(size + ALIGNMENT)
        rest = self._used - whole
        fresh[:rest] = self._buffer[whole : self._used]
        self._full.put((self._buffer, whole))
        self._buffer, self._used = fresh, rest

    def _write_pieces(self) -> None:
        """Write what is handed over; after an error only take it, so that nobody waits."""
        while (item := self._full.get()) is not None:
            buffer, size = item
            if self._error is None:
                try:
                    self._write(buffer.data[:size])
                except OSError as error:
                    self._error = error
            self._free.put(buffer)

    def _write(self, data: memoryview[Any]) -> None:
        began = time.perf_counter()
        size = len(data)
        while data:
            try:
                done = os.write(self._descriptor, data)
            except OSError as error:
                if not self._direct or error.errno != errno.EINVAL:
                    raise
                self._use_page_cache()
                continue
            data = data[done:]
            if self._direct and done % ALIGNMENT:
                self._use_page_cache()
        self._written += size
        self._writing_s += time.perf_counter() - began
        slow = self._written < SLOW_BYTES_A_SECOND * self._writing_s
        if self._direct and slow and self._written >= SLOW_AFTER_BYTES:
            self._use_page_cache()

    def _use_page_cache(self) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~DIRECT)
        self._direct = False

    def _check(self) -> None:
        if self._error is not None:
            msg = f"{self.path}: {self._error.strerror}"
            raise InputError(msg, hint="Make room there, or write to another place with -o FILE.") from self._error

    def __enter__(self) -> Self:
        """Return the sink."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, or remove it where *error* ended the block.

        Raises:
            InputError: The rest could not be written.
        """
        try:
            self._full.put(None)
            self._thread.join()
            if error is None:
                self._finish()
        finally:
            os.close(self._descriptor)
            if self._renamed and (error is not None or self._error is not None):
                with contextlib.suppress(FileNotFoundError):
                    self._beside.unlink()

    def _finish(self) -> None:
        """Write the rest, which has any length, and rename."""
        if self._error is None:
            try:
                if self._direct:
                    self._use_page_cache()
                self._write(self._buffer.data[: self._used])
                if self._renamed:
                    self._beside.replace(self.path)
            except OSError as failure:
                self._error = failure
        self._check()


def _create(path: Path) -> tuple[int, bool]:
    """Create *path*; return (descriptor, whether writes pass by the page cache)."""
    flags = os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW  # the name can be guessed: nobody's link may lead elsewhere
    with contextlib.suppress(InputError):
        return _open(path, flags | DIRECT), DIRECT != 0
    return _open(path, flags), False


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
    except OSError as error:
        msg = f"{path.parent}: {error.strerror}"
        raise InputError(msg, hint="Name a file in a directory that exists and can be written to.") from error


def _piece(size: int) -> NDArray[np.uint8]:
    """Return a buffer that begins at a page and has at least *size* bytes, in whole pages."""
    return np.frombuffer(mmap.mmap(-1, size + -size % ALIGNMENT), np.uint8)
