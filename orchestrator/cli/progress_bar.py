"""How far a long step is: a bar on a terminal, a line now and then elsewhere, nothing for what is done in a second."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

QUIET_S = 1.0
REDRAW_S = 0.1
LINE_S = 10.0
WIDTH = 30


class ProgressBar:
    """Call it with (done, total); use as a context, so that the bar is gone before results are printed."""

    def __init__(self, label: str, now: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._now = now
        self._begun = now()
        self._live = sys.stderr.isatty()
        self._next = self._begun + (QUIET_S if self._live else LINE_S)
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show that *done* of *total* is done."""
        now = self._now()
        if now < self._next:
            return
        self._next = now + (REDRAW_S if self._live else LINE_S)
        share = done / max(total, 1)
        left = (now - self._begun) * (1 - share) / share if share else 0.0
        text = f"{self._label}  {share:4.0%}  {done:,} of {total:,}  {left:.0f} s left"
        if self._live:
            full = round(WIDTH * share)
            click.echo(f"\r\x1b[K[{'█' * full}{'·' * (WIDTH - full)}] {text}", err=True, nl=False)
            self._shown = True
        else:
            click.echo(text, err=True)

    def __enter__(self) -> Self:
        """Return the bar."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bar off the terminal."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
