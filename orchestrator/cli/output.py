"""Print results: JSON for programs, and text from captures and files that cannot steer a terminal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Control characters, and invisible ones that reorder or hide text."""


def escape(text: str) -> str:
    r"""Return *text* with everything that could steer a terminal written as ``\x1b`` or ``\u202e``."""
    return _UNSAFE.sub(_written_out, text)


def print_json(value: object) -> None:
    """Print *value* as JSON on stdout."""
    # ASCII only: what a name contains reaches the terminal as an escape, never as a control character.
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def print_lines(lines: Iterable[str]) -> None:
    """Print *lines*, which may quote names from files, on stdout."""
    for line in lines:
        click.echo(escape(line))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return *rows* as lines with aligned columns; the first row is the heading."""
    safe = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in safe]


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  # the reach of two hex digits
