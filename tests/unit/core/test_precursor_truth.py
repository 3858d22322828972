"""Precursors against traces of which the truth is known: nothing precedes, or one blocked service does.

Busy times bring failures and everything else: eight times as much of it, in stretches of five to twenty minutes, or
single minutes.
"""

from __future__ import annotations

import pytest

from orchestrator.core.precursors.judging import cases_of, judge
from orchestrator.core.precursors.likely import domain_of, likely
from tests.support.precursor_traces import BLOCKED, Recipe, trace

NULLS = {
    "busy hours": Recipe(cases=12),
    "busy hours, many failures": Recipe(cases=40),
    "busy hours, and clients that fail meet more of everything": Recipe(cases=40, restless=4.0),
    "busy minutes, and such clients": Recipe(cases=40, restless=4.0, stretches=(1, 1)),
    "much more busy hours, and such clients": Recipe(cases=40, restless=4.0, busy=20.0),
}
POWER = {(5, 0.8): 0.2, (8, 0.8): 0.85, (12, 0.8): 0.95, (12, 0.4): 0.25, (20, 0.4): 0.6}
"""Lowest share of traces in which the precursor must be found, by failures and by the share that it precedes."""


def supported(recipe, seed):
    return [r for r in judge([cases_of(trace(recipe, seed))]).rows if r.verdict == "supported"]


def false_reports(recipe, seeds):
    return sum(bool(supported(recipe, seed)) for seed in seeds)


@pytest.mark.parametrize(("about", "seeds"), [*zip(NULLS, (50, 20, 20, 20, 20), strict=True)])
def test_busy_hours_make_no_precursor(about, seeds):
    """Of one in twenty that would be allowed, hardly any reports one."""
    assert false_reports(NULLS[about], range(seeds)) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize("about", NULLS)
def test_busy_hours_make_no_precursor_in_five_hundred_traces(about):
    assert false_reports(NULLS[about], range(1000, 1500)) <= 10


@pytest.mark.parametrize(("cases", "exposure"), POWER)
def test_what_precedes_is_found(cases, exposure):
    """As often as the number of failures allows; and only it."""
    recipe, hits, others = Recipe(cases=cases, exposure=exposure), 0, 0
    for seed in range(40):
        found = supported(recipe, seed)
        hits += any(r.target == BLOCKED for r in found)
        others += any(r.event != "syn-unanswered" for r in found)

    assert hits >= POWER[cases, exposure] * 40
    assert others <= 2


@pytest.mark.parametrize("cases", [2, 3, 4])
def test_few_failures_point_nowhere_by_chance(cases):
    """The headline follows what preceded all of few failures: noise that restless clients meet must not do for that."""
    traces = (trace(Recipe(cases=cases, restless=4.0, hours=0.5), seed) for seed in range(100))
    found = [likely(judge([cases_of(t)])) for t in traces]

    assert sum(row is not None and bool(domain_of(row)) for row in found) <= 2
