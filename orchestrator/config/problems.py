"""Collect everything that is wrong with a file, then say it all at once.

A message reads ``file:line:column: path: what is wrong (did you mean 'x'?)``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.errors import InputError

Path = tuple[str | int, ...]
"""Keys and indices from the top of a document to a value."""

_NEAR_ENOUGH = 0.6
_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where something stands in a file, from 1."""

    line: int
    column: int


ON_COMMAND_LINE = Position(0, 0)
"""What a ``--set`` brought in stands in no file."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and where."""

    file: str
    position: Position
    where: str
    message: str

    def __str__(self) -> str:
        """Return the line that is shown."""
        place = f"{self.file}:{self.position.line}:{self.position.column}" if self.position.line else "--set"
        return f"{place}: {self.where}: {self.message}" if self.where else f"{place}: {self.message}"


def show_path(path: Path) -> str:
    """Return *path* as people write it: ``links[2].endpoints``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step.isprintable() and step and not set(step) & set(" .[]:'\"")
            text += ("." if text else "") + (step if plain else repr(step))
    return text


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of *known*, or nothing when none is near."""
    names = sorted(set(known))
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.casefold(), name)
    nearest = difflib.get_close_matches(wrong.casefold(), folded, n=1, cutoff=_NEAR_ENOUGH)
    return f" (did you mean {folded[nearest[0]]!r}?)" if nearest else ""


def raise_problems(problems: Iterable[Problem], error: type[InputError], hint: str) -> None:
    """Raise *error* holding every problem, sorted by file and line; return when there is none."""
    lines = [str(problem) for problem in sorted(set(problems))]
    if len(lines) > _MOST_SHOWN:
        lines[_MOST_SHOWN:] = [f"… and {len(lines) - _MOST_SHOWN} more"]
    if lines:
        raise error("\n".join(lines), hint=hint)
