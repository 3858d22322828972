"""How far a long step is: a bar on a terminal, a line now and then elsewhere, nothing for what is done in a second."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from types import TracebackType

QUIET_S = 1.0
REDRAW_S = 0.2
LINE_S = 10.0
WIDTH = 30
SURE_S = 0.5
"""Before this long a rate is a guess, and so would be the time left."""


class ProgressBar:
    """Call it with (done, total); use as a context, so that the bar is gone before results are printed.

    Before the first call it shows what comes first, and for how long that has been going on.
    """

    def __init__(self, label: str, first: str, *, quiet_s: float = QUIET_S, line_s: float = LINE_S) -> None:
        self._label = label
        self._preparing = first
        self._live = sys.stderr.isatty()
        self._quiet_s = quiet_s if self._live else line_s
        self._every_s = min(REDRAW_S, quiet_s) if self._live else line_s
        self._begun = time.monotonic()
        self._counting_since: float | None = None
        self._state = (0, 0)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._show_now_and_then, name="progress", daemon=True)

    def __call__(self, done: int, total: int) -> None:
        """Note that *done* of *total* is done."""
        if self._counting_since is None:
            self._counting_since = time.monotonic()
        self._state = (done, total)

    def text(self, now: float) -> str:
        """Return what is to be shown at *now*, seconds of the monotonic clock."""
        if self._counting_since is None:
            return f"{_bar(0.0)} {self._preparing}, {now - self._begun:.0f} s"
        done, total = self._state
        share = done / max(total, 1)
        elapsed = now - self._counting_since
        left = f"  {elapsed * (1 - share) / share:.0f} s left" if share and elapsed > SURE_S else ""
        return f"{_bar(share)} {self._label}  {share:4.0%}  {done:,} of {total:,}{left}"

    def _show_now_and_then(self) -> None:
        wait, shown = self._quiet_s, False
        while not self._end.wait(wait):
            text = self.text(time.monotonic())
            click.echo(f"\r\x1b[K{text}" if self._live else text, err=True, nl=not self._live)
            wait, shown = self._every_s, True
        if self._live and shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def __enter__(self) -> Self:
        """Begin to show it."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bar off the terminal."""
        self._end.set()
        self._thread.join()


def _bar(share: float) -> str:
    full = round(WIDTH * share)
    return f"[{'█' * full}{'·' * (WIDTH - full)}]"
