"""Capture and recapture: loss and capture misses of invented histories and paths, told apart."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.core.analyses.survival import jolly_seber
from tests.support.offline import analyse_files, segment
from tests.support.pathsim.cases import Case, Point, Traffic, make

CAPTURE = (0.999, 0.93, 0.95, 0.999)
LOSS = (0.01, 0.0, 0.02)


def histories(seed, count):
    """Return how many of *count* packets have each history; an acknowledgement is the last occasion."""
    source = np.random.default_rng(seed)
    alive = np.ones(count, bool)
    history = np.zeros(count, np.int64)
    for place, caught in enumerate(CAPTURE):
        history |= (alive & (source.random(count) < caught)).astype(np.int64) << place
        if place < len(LOSS):
            alive &= source.random(count) >= LOSS[place]
    history |= alive.astype(np.int64) << len(CAPTURE)
    return np.bincount(history, minlength=2 << len(CAPTURE))


def test_survival_and_capture_are_found_where_subtraction_fails():
    """The mean of 200 runs is right to 0.03 points; mere subtraction takes 7 % of misses for loss."""
    counts = np.stack([histories(seed, 20_000) for seed in range(200)])
    survival, capture = jolly_seber(counts, 5)
    assert 1 - survival[:, :3].mean(axis=0) == pytest.approx(LOSS, abs=3e-4)
    assert capture[:, 1:4].mean(axis=0) == pytest.approx(CAPTURE[1:], abs=1e-3)
    seen = [counts[:, (np.arange(32) >> k) & 1 > 0].sum() for k in (0, 1)]
    assert 1 - seen[1] / seen[0] > 0.07


def test_rates_of_lossy_captures_come_out_right(tmp_path):
    """A middle point that misses a quarter: its capture probability and the loss of both segments, with intervals."""
    case = Case(
        seed=11, points=3, loss=(0.0, 0.03, 0.01, 0.0, 0.0),
        captures=(Point(reports=True), Point(miss=0.25, reports=True), Point(reports=True)),
        traffic=Traffic(8, 8, 90_000),
    )  # fmt: skip
    made = make(case, tmp_path)
    result = analyse_files(tmp_path, made.files)
    data = [p for p in made.sent if p.protocol == 6 and p.payload and p.forward]
    passed = [sum(len(p.crossed) > k for p in data) for k in range(3)]
    for near, far in ((0, 1), (1, 2)):
        found = segment(result, f"p{near}", f"p{far}").survival
        truth = 1 - passed[far] / passed[near]
        assert found.low <= truth <= found.high
        assert found.loss == pytest.approx(truth, abs=0.01)
        assert found.high - found.low < 0.05
    assert segment(result, "p0", "p1").survival.far_capture == pytest.approx(0.75, abs=0.04)


def test_sound_captures_need_no_estimate(tmp_path):
    """Where nothing was missed, the counts are the answer."""
    made = make(Case(seed=3, points=3, captures=(Point(reports=True),) * 3, traffic=Traffic(4, 6, 40_000)), tmp_path)
    result = analyse_files(tmp_path, made.files)
    assert [r.survival for r in result.segments] == [None] * len(result.segments)
