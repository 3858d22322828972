"""A host that is only a transcript: what was asked, what was answered. For tests and for hosts we do not own.

`RecordingTransport` makes transcripts from a real host, `ReplayTransport` plays them back in the same order.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from probes.errors import AgentError, UnreachableError
from probes.transport import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from probes.transport import Dialogue, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One command and its answer. Standard input is not kept: it is always the agent's own text."""

    argv: tuple[str, ...]
    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """Exchanges in the order in which they happened."""

    exchanges: tuple[Exchange, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a transcript from *path* (JSON: a list of exchanges)."""
        items = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(Exchange(**{**item, "argv": tuple(item["argv"])}) for item in items))

    def save(self, path: Path) -> None:
        """Write the transcript to *path*."""
        path.write_text(json.dumps([asdict(one) for one in self.exchanges], indent=1), encoding="utf-8")


class ReplayTransport:
    """Answers from a transcript and refuses any command that is not next in it."""

    def __init__(self, transcript: Transcript) -> None:
        self._left = list(transcript.exchanges)

    @property
    def place(self) -> str:
        """What messages call this host."""
        return "transcript"

    @property
    def is_finished(self) -> bool:
        """True when every exchange was asked for."""
        return not self._left

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        """Return the answer that the transcript holds for *argv*.

        Raises:
            AgentError: The transcript goes on with another command, or is at its end.
        """
        del stdin, timeout_s
        one = self._next(argv)
        return Completed(exit_code=one.exit_code, stdout=one.stdout.encode(), stderr=one.stderr.encode())

    def open_dialogue(self, argv: Sequence[str]) -> ReplayDialogue:
        """Return a dialogue that says the lines of the next exchange.

        Raises:
            AgentError: The transcript goes on with another command, or is at its end.
        """
        return ReplayDialogue(self._next(argv).stdout.splitlines())

    def read_file(self, path: str, offset: int, sink: Callable[[bytes], None]) -> int:
        """Hand the text of the exchange ``("read", path)`` to *sink*.

        Raises:
            AgentError: The transcript goes on with another command, or is at its end.
        """
        data = self._next(("read", path)).stdout.encode()[offset:]
        sink(data)
        return len(data)

    def close(self) -> None:
        """Do nothing; there is no connection."""

    def _next(self, argv: Sequence[str]) -> Exchange:
        if not self._left or self._left[0].argv != tuple(argv):
            expected = self._left[0].argv if self._left else "the end"
            msg = f"transcript: asked for {tuple(argv)!r}, but next is {expected!r}"
            raise AgentError(msg, hint="Record the transcript again.", code="transcript")
        return self._left.pop(0)


class ReplayDialogue:
    """Says the lines of a transcript, whatever it is told."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = list(lines)

    def send_line(self, line: str) -> None:
        """Take *line* and do nothing with it."""

    def read_line(self, timeout_s: float) -> str:
        """Return the next line.

        Raises:
            UnreachableError: There is none.
        """
        del timeout_s
        if not self._lines:
            msg = "transcript: the dialogue has no more lines"
            raise UnreachableError(msg, hint="Record the transcript again.", code="dialogue-ended")
        return self._lines.pop(0)

    def close(self) -> None:
        """Do nothing; there is no command."""


class RecordingTransport:
    """Passes commands on to a real host and keeps what was said. Dialogues and files pass unrecorded."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._exchanges: list[Exchange] = []

    @property
    def place(self) -> str:
        """What messages call this host."""
        return self._inner.place

    @property
    def transcript(self) -> Transcript:
        """What was said so far."""
        return Transcript(tuple(self._exchanges))

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        """Run *argv* on the host and keep the answer."""
        done = self._inner.run(argv, stdin=stdin, timeout_s=timeout_s)
        self._exchanges.append(
            Exchange(argv=tuple(argv), exit_code=done.exit_code, stdout=done.text, stderr=done.error_text)
        )
        return done

    def open_dialogue(self, argv: Sequence[str]) -> Dialogue:
        """Start *argv* on the host."""
        return self._inner.open_dialogue(argv)

    def read_file(self, path: str, offset: int, sink: Callable[[bytes], None]) -> int:
        """Read *path* on the host."""
        return self._inner.read_file(path, offset, sink)

    def close(self) -> None:
        """Let go of the host."""
        self._inner.close()
