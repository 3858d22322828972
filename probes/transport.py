"""The one seam between a probe and its host: run a command, talk to one, read a file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from probes.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that has ended."""

    exit_code: int
    """-1 where the command was ended by a signal or the host did not say."""
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output; what is not UTF-8 is replaced, since hosts are not to be trusted with our decoder."""
        return self.stdout.decode("utf-8", errors="replace")

    @property
    def error_text(self) -> str:
        """Standard error, decoded like `text`."""
        return self.stderr.decode("utf-8", errors="replace")


class Dialogue(Protocol):
    """A command that stays and is spoken to line by line."""

    def send_line(self, line: str) -> None:
        """Send *line* and a newline."""

    def read_line(self, timeout_s: float) -> str:
        """Return the next line without its newline."""

    def close(self) -> None:
        """End the command."""


class Transport(Protocol):
    """A way to a host. One caller at a time."""

    @property
    def place(self) -> str:
        """What messages call this host."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        """Run *argv* to its end."""

    def open_dialogue(self, argv: Sequence[str]) -> Dialogue:
        """Start *argv* and keep it."""

    def read_file(self, path: str, offset: int, sink: Callable[[bytes], None]) -> int:
        """Hand the bytes of *path* from *offset* on to *sink*; return how many there were."""

    def close(self) -> None:
        """Let go of the host."""


def quote(argv: Sequence[str]) -> str:
    """Return *argv* as one line that every POSIX shell reads back as *argv*: the only place that quotes.

    Raises:
        SpecError: The argv is empty, or holds what no command line can carry.
    """
    line = shlex.join(argv)
    try:
        line.encode()
    except UnicodeEncodeError as error:
        msg = f"no command line can carry {line[:80]!r}"
        raise SpecError(msg, hint="Remove what is not Unicode text.") from error
    if not argv or "\0" in line:
        msg = f"no command line can carry {line[:80]!r}"
        raise SpecError(msg, hint="A command has at least one word, and no NUL.")
    return line


def tail_argv(path: str, offset: int) -> list[str]:
    """Return the argv that prints *path* from byte *offset* on; ``--`` is left out since busybox lacks it."""
    return ["tail", "-c", f"+{offset + 1}", path] if offset else ["cat", path]
