"""A bar is drawn for what takes long, and only on a terminal."""

from __future__ import annotations

import pytest

from orchestrator.cli.progress_bar import ProgressBar


@pytest.mark.parametrize(("terminal", "expected"), [(True, [1.0, 1.1, 2.0]), (False, [10.0])])
def test_a_bar_appears_after_a_second_and_lines_after_ten(terminal, expected, monkeypatch, capsys):
    """What is done at once needs no bar; a log needs few lines."""
    clock = iter([0.0, 0.5, 1.0, 1.05, 1.1, 2.0, 9.0, 10.0])
    told = []
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    bar = ProgressBar("merging", lambda: told.append(next(clock)) or told[-1])
    shown = []
    with bar:
        for _ in range(6 if terminal else 7):
            bar(20, 100)
            if said := capsys.readouterr().err:
                shown.append((told[-1], said))
                assert "merging   20%  20 of 100" in said
    if terminal:
        assert [at for at, _ in shown][:3] == expected
        assert capsys.readouterr().err == "\r\x1b[K"
    else:
        assert [at for at, _ in shown] == expected
        assert "\x1b" not in shown[0][1]
