"""A bar is drawn for what takes long, and lines where nobody looks at a terminal."""

from __future__ import annotations

import time

import pytest

from orchestrator.cli.progress_bar import ProgressBar


def wait_for(told, said, timeout=5.0):
    """Wait until *told* returns text with *said* in it; return all that was told meanwhile."""
    text, end = "", time.monotonic() + timeout
    while said not in text and time.monotonic() < end:
        text += told()
        time.sleep(0.005)
    assert said in text
    return text


@pytest.fixture
def bar(monkeypatch):
    """Make a bar that does not wait a second, on a terminal or not."""

    def make(*, terminal: bool) -> ProgressBar:
        monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
        return ProgressBar("merging", "reading", quiet_s=0.02, line_s=0.02)

    return make


def test_a_terminal_sees_one_line_that_goes_away(bar, capsys):
    """First what comes before, then how far it is; results stand on a clean line."""
    with bar(terminal=True) as shown:
        text = wait_for(lambda: capsys.readouterr().err, "] reading, 0 s")
        shown(25, 100)
        text += wait_for(lambda: capsys.readouterr().err, "] merging   25%  25 of 100")
    text += capsys.readouterr().err

    assert "\n" not in text
    assert text.startswith("\r\x1b[K[")
    assert text.endswith("\r\x1b[K")


def test_a_log_gets_lines(bar, capsys):
    """Without anything that steers a terminal."""
    with bar(terminal=False) as shown:
        shown(25, 100)
        text = wait_for(lambda: capsys.readouterr().err, "merging   25%  25 of 100\n")

    assert "\x1b" not in text
    assert "\r" not in text


def test_what_is_done_at_once_shows_nothing(monkeypatch, capsys):
    """Most merges take less than a second."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar("merging", "reading") as shown:
        shown(100, 100)

    assert capsys.readouterr().err == ""


def test_the_time_left_is_told_by_the_rate_since_counting_began(bar):
    """What came before took as long as it took and says nothing of the rest."""
    shown = bar(terminal=True)
    shown(25, 100)
    began = time.monotonic()

    assert shown.text(began + 30).endswith("25 of 100  90 s left")
    assert shown.text(began + 0.1).endswith("25 of 100")
