"""Relays and translations that nobody declared are named, and accuse nobody."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.changes import change_findings
from orchestrator.core.grounds import Grounds
from tests.support.offline import analyse_files
from tests.support.pathsim.cases import Case, Devices, Point, Traffic, make
from tests.support.pathsim.taps import Clock

NOTHING = {
    "points": (), "unsound": (), "absent": (), "silent": (), "segments": (), "vanished": (), "undecided": (),
    "resets": (), "bursts": (), "attempts": (), "window": None,
}  # fmt: skip


def test_a_relay_is_named_and_losses_behind_it_are_found(tmp_path):
    """Connections end between p0 and p1; packets are lost between p1 and p2."""
    case = Case(
        seed=5, points=3, loss=(0.0, 0.0, 0.05, 0.0), devices=Devices(relay=1), traffic=Traffic(turn_bytes=60_000)
    )
    made = make(case, tmp_path)

    result = analyse_files(tmp_path, made.files)

    assert [(f.segment, f.verdict) for f in result.findings if f.kind == "relay"] == [(("p0", "p1"), "supported")]
    assert {(v.last_seen, v.first_missing) for v in result.vanished} <= {("p1", "p2"), ("p2", "p1")}
    assert result.vanished


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        pytest.param((("fw", "10.0.0.0/24", "192.0.2.7"),), False, id="declared"),
        pytest.param((("fw", "192.0.2.7:443", "10.0.0.5:8443"),), False, id="declared-the-other-way-with-ports"),
        pytest.param((("fw", "10.1.0.0/24", "192.0.2.7"),), True, id="another-network"),
        pytest.param((), True, id="nothing"),
    ],
)
def test_a_translation_that_nobody_declared_is_named(declared, named):
    """The inventory is checked against what packets show."""
    seen = (("a", "b", "10.0.0.5", "192.0.2.7"),)
    found = change_findings(Grounds(**NOTHING, translations=seen, declared=declared, has_plan=True))
    assert [f.kind for f in found] == ["translation"] * named


def test_without_an_inventory_translations_are_news_to_nobody():
    """Foreign captures declare nothing."""
    seen = (("a", "b", "10.0.0.5", "192.0.2.7"),)
    assert change_findings(Grounds(**NOTHING, translations=seen)) == []


def test_a_clock_that_was_set_is_written_down(tmp_path):
    """Time and size of the step stand in result.json, and no delay suffers from it."""
    captures = (Point(), Point(clock=Clock(step_at_ns=300_000_000, step_ns=20_000_000)), Point())
    made = make(Case(seed=3, loss=(0.0,) * 4, captures=captures, traffic=Traffic(call=60)), tmp_path)

    result = analyse_files(tmp_path, made.files)

    written = json.loads((tmp_path / "run" / "result.json").read_text())
    (step,) = written["points"][1]["clock"]["steps"]
    assert abs(step["size_ns"] - 20_000_000) < 1_000_000
    assert result.vanished == ()
    assert all(s.delay is None or s.delay.max < 15_000_000 for s in result.segments)
