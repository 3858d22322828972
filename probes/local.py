"""This machine as a host, for captures on the collector itself and inside its namespaces."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from probes.errors import TimeLimitError, ToolMissingError, TransferError, UnreachableError
from probes.transport import Completed, quote, tail_argv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHUNK_BYTES = 1 << 16
_SILENCE_S = 30.0
"""A transfer in which no byte arrives for so long is given up."""


class LocalTransport:
    """Runs commands as our own user; *prefix* goes in front, such as ``("ip", "netns", "exec", "blue")``."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._prefix = tuple(prefix)

    @property
    def place(self) -> str:
        """What messages call this host."""
        return "this machine" if not self._prefix else f"this machine ({quote(self._prefix)})"

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        """Run *argv* to its end.

        Raises:
            ToolMissingError: There is no such program.
            TimeLimitError: It did not end within *timeout_s*; it was killed.
        """
        with self._start(argv) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill_group(process)
                msg = f"{self.place}: {argv[0]} did not end within {timeout_s:g} s"
                raise TimeLimitError(msg, hint="Look at the load of this machine, then try again.") from error
        code = process.returncode
        return Completed(exit_code=code if code >= 0 else -1, stdout=stdout, stderr=stderr)

    def open_dialogue(self, argv: Sequence[str]) -> LocalDialogue:
        """Start *argv* and keep it.

        Raises:
            ToolMissingError: There is no such program.
        """
        return LocalDialogue(self._start(argv, stderr=subprocess.DEVNULL), self.place)

    def read_file(self, path: str, offset: int, sink: Callable[[bytes], None]) -> int:
        """Hand the bytes of *path* from *offset* on to *sink*; return how many there were.

        Raises:
            TransferError: The file cannot be read.
            TimeLimitError: No byte arrived for 30 s.
        """
        total = 0
        with self._start(tail_argv(path, offset), stderr=subprocess.DEVNULL) as process:
            while chunk := _read(process, _SILENCE_S, self.place, _CHUNK_BYTES):
                sink(chunk)
                total += len(chunk)
        if process.returncode:
            msg = f"{self.place}: {path} cannot be read"
            raise TransferError(msg, hint=f"Look at it: ls -l {path}")
        return total

    def close(self) -> None:
        """Do nothing; there is no connection."""

    def _start(self, argv: Sequence[str], stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        quote(argv)  # refuses what SSH would refuse too, so that both transports take the same commands
        try:
            return subprocess.Popen(
                [*self._prefix, *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # so that a deadline can end the children of a shell as well
            )
        except OSError as error:
            program = (*self._prefix, *argv)[0]
            msg = f"{self.place}: cannot start {program}: {error.strerror}"
            raise ToolMissingError(msg, hint=f"Install {program}, or add it to PATH.") from error


class LocalDialogue:
    """A child process that is spoken to line by line."""

    def __init__(self, process: subprocess.Popen[bytes], place: str) -> None:
        self._process = process
        self._place = place
        self._buffer = b""

    def send_line(self, line: str) -> None:
        """Send *line* and a newline.

        Raises:
            UnreachableError: The process has ended.
        """
        assert self._process.stdin is not None  # we asked for a pipe
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def read_line(self, timeout_s: float) -> str:
        """Return the next line without its newline.

        Raises:
            TimeLimitError: No whole line came in time.
            UnreachableError: The process has ended.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            chunk = _read(self._process, deadline - time.monotonic(), self._place, 4096)
            if not chunk:
                raise self._ended()
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode("utf-8", errors="replace")

    def close(self) -> None:
        """End the process and reap it."""
        _kill_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what is still buffered has no reader any more
                    pipe.close()
        self._process.wait()

    def _ended(self) -> UnreachableError:
        return UnreachableError(
            f"{self._place}: the command ended in mid-talk", hint="Try again.", code="dialogue-ended"
        )


def _read(process: subprocess.Popen[bytes], timeout_s: float, place: str, limit_bytes: int) -> bytes:
    """Return what the process says next, empty at its end; never waits longer than *timeout_s*."""
    assert process.stdout is not None  # we asked for a pipe
    poller = select.poll()
    poller.register(process.stdout, select.POLLIN | select.POLLHUP)
    if not poller.poll(max(0.0, timeout_s) * 1000):
        _kill_group(process)
        msg = f"{place}: no answer within {timeout_s:.1f} s"
        raise TimeLimitError(msg, hint="Look at the load of this machine, then try again.")
    return os.read(process.stdout.fileno(), limit_bytes)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
