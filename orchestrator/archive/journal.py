"""The run's journal: JSON lines, each holding the hash of the one before, so that a changed or missing line shows."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

GENESIS = "0" * 64
"""What the first line holds in place of a hash."""


class Journal:
    """Append-only record of what happened in a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def append(self, event: str, **fields: object) -> dict[str, Any]:
        """Write one event and return its line. Several processes may append: the file is locked meanwhile."""
        import fcntl  # noqa: PLC0415  # the one module that only Unix has

        with self._lock, self.path.open("a+b") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            last = _last_line(out.fileno(), out.seek(0, os.SEEK_END))
            previous = hashlib.sha256(last).hexdigest() if last else GENESIS
            line = {"time_ns": time.time_ns(), "event": event, **fields, "previous": previous}
            out.write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        return line

    def read(self) -> list[dict[str, Any]]:
        """Return all whole lines."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    def find_break(self) -> int | None:
        """Return the number (from 1) of the first line that does not follow from the one before, None when all do."""
        previous = GENESIS
        content = self.path.read_bytes() if self.path.exists() else b""
        lines = content.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                follows = json.loads(line).get("previous") == previous
            except (ValueError, AttributeError):
                follows = False
            if not follows:
                return number
            previous = hashlib.sha256(line).hexdigest()
        return len(lines) if lines[-1] else None


def _last_line(descriptor: int, size: int) -> bytes:
    """Return the last whole line of a file, b"" when it has none."""
    tail = b""
    while size > 0:
        step = min(size, 65_536)
        size -= step
        tail = os.pread(descriptor, step, size) + tail
        whole = tail[:-1] if tail.endswith(b"\n") else tail
        if b"\n" in whole:
            return whole.rsplit(b"\n", 1)[1]
    return tail[:-1] if tail.endswith(b"\n") else tail
