"""Test what was met before failures against what was met before controls, kinds first and targets behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.precursors.exact import Exposure, exact_p, false_discovery, odds_ratio
from orchestrator.core.precursors.matching import match
from orchestrator.core.precursors.watch import BEFORE_NS, collapse
from orchestrator.model.precursor import Precursor, Precursors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.core.precursors.matching import MatchedSet, Windowed
    from orchestrator.core.precursors.watch import Watch
    from orchestrator.model.precursor import Encounter, Failed, Failure, Met

FEWEST_CASES, FEWEST_CLIENTS = 5, 2
SIGNIFICANT = 0.01
"""Where failing clients meet everything more often, and all of it falls into busy times, 0.05 would accuse wrongly in a
sixth of all traces (tests/unit/core/test_precursor_truth.py)."""
NULL = 0.05
"""Comparisons that must show nothing show something below it."""
MOST_FAILURES, MOST_ROWS, EXAMPLES = 1_000, 50, 3
Feature = tuple["Met", "str | None"]
"""A kind of thing met, and its target; None for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The matched sets of one run, all that comparing several runs needs."""

    sets: tuple[MatchedSet, ...]
    failures: tuple[Failure, ...]
    incomplete: tuple[str, ...] = ()


def cases_of(watch: Watch) -> Cases:
    """Return what *watch* has to say about its failures."""
    failures = sorted(collapse(watch.failures), key=lambda f: (f.time_ns, f.client))
    return Cases(sets=tuple(match(watch)), failures=tuple(failures), incomplete=watch.incomplete)


def judge(runs: Sequence[Cases]) -> Precursors:
    """Return what precedes the failures of *runs*, one or several taken together.

    A failure is only ever compared with windows of its own run, so clocks and habits of others do not matter; a
    client that has one address in several runs is one client.
    """
    sets = [s for run in runs for s in run.sets]
    failures = sorted((f for run in runs for f in run.failures), key=lambda f: f.time_ns)
    tested = [(kind, feature) for kind in _kinds(sets) for feature in _features(sets, kind, whole=True)]
    q_of = _adjusted(sets, tested)
    rows: list[Precursor] = []
    for kind, (event, _) in tested:
        gate = q_of[kind, (event, None)]
        targets = [(kind, f) for f in _features(sets, kind, whole=False) if f[0] == event]
        within = _adjusted(sets, targets)
        found = [_row(sets, k, f, max(gate, within[k, f])) for k, f in targets]
        if not any(r.verdict == "supported" for r in found):
            whole = _row(sets, kind, (event, None), gate)
            found += [whole] if whole.verdict == "supported" else []
        rows += [r for r in found if r.exposed_cases]
    rows.sort(key=lambda r: (r.verdict != "supported", r.p, -r.exposed_cases, r.event, r.target or ""))
    return Precursors(
        failures=tuple(failures[:MOST_FAILURES]), failures_in_all=len(failures), rows=tuple(rows[:MOST_ROWS]),
        before_ns=BEFORE_NS, tests=len(tested),
        compared=max((sum(bool(s.itself and s.others) for s in _of(sets, k)) for k in _kinds(sets)), default=0),
        incomplete=tuple(dict.fromkeys(text for run in runs for text in run.incomplete)),
    )  # fmt: skip


def _kinds(sets: Sequence[MatchedSet]) -> list[Failed]:
    return sorted({s.failure.kind for s in sets})


def _features(sets: Sequence[MatchedSet], kind: Failed, *, whole: bool) -> list[Feature]:
    """Return what was met in any window of the sets of *kind*: kinds of things, or these by target."""
    found: dict[Feature, None] = {}
    for one in sets:
        if one.failure.kind == kind:
            for window in (one.case, *one.itself, *one.others):
                found.update(dict.fromkeys((event, None if whole else target) for event, target in window.seen))
    return sorted(found, key=lambda f: (f[0], f[1] or ""))


def _adjusted(
    sets: Sequence[MatchedSet], tested: Sequence[tuple[Failed, Feature]]
) -> dict[tuple[Failed, Feature], float]:
    """Return the q of each of *tested*."""
    p = [_p(_of(sets, kind), feature) for kind, feature in tested]
    return dict(zip(tested, false_discovery(p), strict=True))


def _of(sets: Sequence[MatchedSet], kind: Failed) -> list[MatchedSet]:
    return [s for s in sets if s.failure.kind == kind]


def _met(window: Windowed, feature: Feature) -> tuple[int, Encounter] | None:
    """Return the latest that fits *feature*."""
    event, target = feature
    fits = [m for (e, t), m in window.seen.items() if e == event and target in {None, t}]
    return min(fits, key=lambda m: m[0], default=None)


def _exposure(case: Windowed, controls: Iterable[Windowed], feature: Feature) -> Exposure:
    exposed = [_met(c, feature) is not None for c in controls]
    return Exposure(case=_met(case, feature) is not None, exposed=sum(exposed), controls=len(exposed))


def _both(sets: Sequence[MatchedSet], feature: Feature) -> tuple[float | None, float | None]:
    """Return the p of either comparison: with the same clients at other times, with others at the same time.

    What strikes at busy hours does not differ between clients of one hour, what one client always meets does not differ
    between its hours: a precursor must differ in both, so the larger p counts.
    """
    return (
        exact_p([_exposure(s.case, s.itself, feature) for s in sets]),
        exact_p([_exposure(s.case, s.others, feature) for s in sets]),
    )


def _p(sets: Sequence[MatchedSet], feature: Feature) -> float:
    if not any(_met(s.case, feature) for s in sets):
        return 1.0
    return max((p for p in _both(sets, feature) if p is not None), default=1.0)


def _row(sets: Sequence[MatchedSet], kind: Failed, feature: Feature, q: float) -> Precursor:
    """Describe one thing met before failures of *kind*."""
    mine = _of(sets, kind)
    own = [_met(w, feature) is not None for s in mine for w in s.itself]
    others = [_met(w, feature) is not None for s in mine for w in s.others]
    exposed = [(s, met) for s in mine if (met := _met(s.case, feature)) is not None]
    clients = len({s.failure.client for s, _ in exposed})
    low, middle, high = _quartiles([lead for _, (lead, _) in exposed])
    reasons = _reasons(mine, feature, q, len(exposed), clients)
    return Precursor(
        failure=kind, event=feature[0], target=feature[1], cases=len(mine), exposed_cases=len(exposed),
        controls=len(own) + len(others), exposed_controls=sum(own) + sum(others), own_controls=len(own),
        exposed_own_controls=sum(own), p=_p(mine, feature), q=q,
        odds=odds_ratio([_exposure(s.case, (*s.itself, *s.others), feature) for s in mine]),
        lead_ns=middle, lead_low_ns=low, lead_high_ns=high, clients=clients,
        verdict="not-proved" if reasons else "supported", too_few=len(mine) < FEWEST_CASES, reasons=reasons,
        examples=tuple(met for _, (_, met) in exposed[:EXAMPLES]),
    )  # fmt: skip


def _quartiles(leads: Sequence[int]) -> tuple[int, int, int]:
    if not leads:
        return 0, 0, 0
    low, middle, high = np.quantile(np.array(leads, np.int64), (0.25, 0.5, 0.75), method="nearest").tolist()
    return low, middle, high


def _reasons(sets: Sequence[MatchedSet], feature: Feature, q: float, exposed: int, clients: int) -> tuple[str, ...]:
    """Say why it is not supported; nothing where it is."""
    if len(sets) < FEWEST_CASES:
        return (f"too few cases: {len(sets)}, and fewer than {FEWEST_CASES} tell nothing from chance",)
    found = []
    if exposed < FEWEST_CASES:
        found.append(f"too few cases that met it: {exposed}")
    if clients < FEWEST_CLIENTS:
        found.append("a single client met it")
    itself, others = _both(sets, feature)
    if itself is None:
        found.append("no other time of these clients to compare with")
    if others is None:
        found.append("no other client at these times to compare with")
    if q >= SIGNIFICANT:
        found.append("met in the controls too, or too seldom to tell it from chance")
    return tuple(found) or _confounded(sets, feature)


def _confounded(sets: Sequence[MatchedSet], feature: Feature) -> tuple[str, ...]:
    """Say which comparison differs that must not."""
    found = []
    later = exact_p([_exposure(*s.later, feature) for s in sets if s.later is not None])
    if later is not None and later < NULL:
        found.append("met behind the failures as often: these clients meet it at such times, failing or not")
    healthy = exact_p([_exposure(*s.healthy, feature) for s in sets if s.healthy is not None])
    if healthy is not None and healthy < NULL:
        found.append("clients that did not fail met it at the same times: something else brings both")
    return tuple(found)
