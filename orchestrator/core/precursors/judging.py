"""Test what was met before failures against what was met before controls, kinds first and targets behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.precursors.exact import Stratum, exact_p, false_discovery, odds_ratio
from orchestrator.core.precursors.matching import match
from orchestrator.model.precursor import Precursor, Precursors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.core.precursors.matching import MatchedSet, Windowed
    from orchestrator.core.precursors.watch import Watch
    from orchestrator.model.precursor import Encounter, Failed, Failure, Met

FEWEST_CASES, FEWEST_CLIENTS = 5, 2
SIGNIFICANT = 0.05
NULL = 0.05
"""Comparisons that must show nothing show something below it."""
MOST_FAILURES, MOST_ROWS, EXAMPLES = 1_000, 50, 3
"""Rows in all, and of one kind of thing met."""
Feature = tuple["Met", "str | None"]
"""A kind of thing met, and its target; None for any."""
Moments = Sequence["list[MatchedSet]"]
"""Sets of one kind of failure, those that fail at the same time together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The matched sets of one run, all that comparing several runs needs."""

    sets: tuple[MatchedSet, ...]
    failures: tuple[Failure, ...]
    before_ns: int = 0
    """How far back was looked, at most."""
    unfollowed: Counter[tuple[Failed, Met, str]] = field(default_factory=Counter)
    """By kind of failure, thing met and target: how often it was met and nothing failed behind it."""
    incomplete: tuple[str, ...] = ()


def cases_of(watch: Watch) -> Cases:
    """Return what *watch* has to say about its failures."""
    matched = match(watch)
    unfollowed: Counter[tuple[Failed, Met, str]] = Counter()
    for one in matched:
        unfollowed.update(watch.unfollowed(one.kind, one.before_ns))
    return Cases(
        sets=tuple(s for m in matched for s in m.sets), failures=tuple(f for m in matched for f in m.failures),
        before_ns=max((m.before_ns for m in matched), default=0), unfollowed=unfollowed, incomplete=watch.incomplete,
    )  # fmt: skip


def judge(runs: Sequence[Cases]) -> Precursors:
    """Return what precedes the failures of *runs*, one or several taken together.

    A failure is only ever compared with windows of its own run, so clocks and habits of others do not matter; a
    client that has one address in several runs is one client.
    """
    sets = _Strata(runs)
    failures = sorted((f for run in runs for f in run.failures), key=lambda f: (f.time_ns, f.client, f.kind))
    tested = [(kind, feature) for kind in sorted(sets.of) for feature in _features(sets.of[kind], whole=True)]
    q_of = _adjusted(sets, tested)
    rows: list[Precursor] = []
    for kind, (event, _) in tested:
        gate = q_of[kind, (event, None)]
        targets = [(kind, f) for f in _features(sets.of[kind], whole=False) if f[0] == event]
        within = _adjusted(sets, targets)
        met = sorted((t for t in targets if _is_met(sets.of[kind], t[1])), key=lambda t: within[t])
        found = [_row(sets, k, f, max(gate, within[k, f])) for k, f in met[:MOST_ROWS]]
        if not any(r.verdict == "supported" for r in found):
            whole = _row(sets, kind, (event, None), gate)
            found += [whole] if whole.verdict == "supported" else []
        rows += found
    rows.sort(key=lambda r: (r.verdict != "supported", r.p, -r.exposed_cases, r.event, r.target or ""))
    return Precursors(
        failures=tuple(failures[:MOST_FAILURES]), failures_in_all=len(failures), rows=tuple(rows[:MOST_ROWS]),
        before_ns=max((run.before_ns for run in runs), default=0), tests=len(tested),
        compared=max((sum(bool(s.itself and s.others) for m in ms for s in m) for ms in sets.of.values()), default=0),
        incomplete=tuple(dict.fromkeys(text for run in runs for text in run.incomplete)),
    )  # fmt: skip


class _Strata:
    """Matched sets by kind of failure, those that share controls together."""

    def __init__(self, runs: Sequence[Cases]) -> None:
        self.of: dict[Failed, list[list[MatchedSet]]] = {}
        self._unfollowed = sum((run.unfollowed for run in runs), Counter[tuple["Failed", "Met", str]]())
        for run in runs:
            moments: dict[tuple[Failed, int], list[MatchedSet]] = {}
            for one in run.sets:
                moments.setdefault((one.failure.kind, one.moment), []).append(one)
            for (kind, _), sets in moments.items():
                self.of.setdefault(kind, []).append(sets)

    def unfollowed(self, kind: Failed, feature: Feature) -> int:
        """Return how often *feature* was met without a failure of *kind* behind it."""
        event, target = feature
        return sum(n for (k, e, t), n in self._unfollowed.items() if (k, e) == (kind, event) and target in {None, t})


def _features(moments: Moments, *, whole: bool) -> list[Feature]:
    """Return what was met in any window: kinds of things, or these by target."""
    found: dict[Feature, None] = {}
    for one in _each(moments):
        for window in (one.case, *one.itself, *one.others):
            found.update(dict.fromkeys((event, None if whole else target) for event, target in window.seen))
    return sorted(found, key=lambda f: (f[0], f[1] or ""))


def _each(moments: Moments) -> list[MatchedSet]:
    return [one for sets in moments for one in sets]


def _adjusted(strata: _Strata, tested: Sequence[tuple[Failed, Feature]]) -> dict[tuple[Failed, Feature], float]:
    """Return the q of each of *tested*."""
    p = [_p(strata.of[kind], feature) for kind, feature in tested]
    return dict(zip(tested, false_discovery(p), strict=True))


def _met(window: Windowed, feature: Feature) -> tuple[int, Encounter] | None:
    """Return the latest that fits *feature*."""
    event, target = feature
    if target is not None:
        return window.seen.get((event, target))
    return min((m for (e, _), m in window.seen.items() if e == event), key=lambda m: m[0], default=None)


def _stratum(cases: Iterable[Windowed], controls: Iterable[Windowed], feature: Feature) -> Stratum:
    failing, well = ([_met(w, feature) is not None for w in windows] for windows in (cases, controls))
    return Stratum(
        exposed_cases=sum(failing), cases=len(failing), exposed_controls=sum(well), controls=len(well)
    )  # fmt: skip


def _both(moments: Moments, feature: Feature) -> tuple[float | None, float | None]:
    """Return the p of either comparison: with the same clients at other times, with others at the same time.

    What strikes at busy hours does not differ between clients of one hour, what one client always meets does not differ
    between its hours: a precursor must differ in both, so the larger p counts.
    """
    return (
        exact_p([_stratum([s.case], s.itself, feature) for s in _each(moments)]),
        exact_p([_stratum([s.case for s in m], [w for s in m for w in s.others], feature) for m in moments]),
    )


def _is_met(moments: Moments, feature: Feature) -> bool:
    """Say whether it came before any failure."""
    return any(_met(s.case, feature) is not None for s in _each(moments))


def _p(moments: Moments, feature: Feature) -> float:
    if not _is_met(moments, feature):
        return 1.0
    return max((p for p in _both(moments, feature) if p is not None), default=1.0)


def _row(strata: _Strata, kind: Failed, feature: Feature, q: float) -> Precursor:
    """Describe one thing met before failures of *kind*."""
    moments = strata.of[kind]
    mine = _each(moments)
    own, others = [w for s in mine for w in s.itself], [w for s in mine for w in s.others]
    own_exposed, others_exposed = (sum(_met(w, feature) is not None for w in ws) for ws in (own, others))
    exposed = [(s, met) for s in mine if (met := _met(s.case, feature)) is not None]
    clients = len({s.failure.client for s, _ in exposed})
    low, middle, high = _quartiles([lead for _, (lead, _) in exposed])
    confounded, unfollowed = _confounded(moments, feature) if exposed else (), strata.unfollowed(kind, feature)
    often = ("met more often without such a failure behind it",) if unfollowed > len(exposed) else ()
    reasons = (*_reasons(moments, feature, q, len(exposed), clients), *confounded, *often)
    whole = [_stratum([s.case for s in m], [w for s in m for w in (*s.itself, *s.others)], feature) for m in moments]
    return Precursor(
        failure=kind, event=feature[0], target=feature[1], cases=len(mine), exposed_cases=len(exposed),
        controls=len(own) + len(others), exposed_controls=own_exposed + others_exposed, own_controls=len(own),
        exposed_own_controls=own_exposed, p=_p(moments, feature), q=q, odds=odds_ratio(whole),
        lead_ns=middle, lead_low_ns=low, lead_high_ns=high, clients=clients,
        verdict="not-proved" if reasons else "supported", too_few=len(mine) < FEWEST_CASES,
        unfollowed=unfollowed, confounded=bool(confounded), reasons=reasons,
        examples=tuple(met for _, (_, met) in exposed[:EXAMPLES]),
    )  # fmt: skip


def _quartiles(leads: Sequence[int]) -> tuple[int, int, int]:
    if not leads:
        return 0, 0, 0
    low, middle, high = np.quantile(np.array(leads, np.int64), (0.25, 0.5, 0.75), method="nearest").tolist()
    return low, middle, high


def _reasons(moments: Moments, feature: Feature, q: float, exposed: int, clients: int) -> tuple[str, ...]:
    """Say why it is not supported, whatever else brings it about."""
    cases = len(_each(moments))
    if cases < FEWEST_CASES:
        return (f"too few cases: {cases}, and fewer than {FEWEST_CASES} tell nothing from chance",)
    found = []
    if exposed < FEWEST_CASES:
        found.append(f"too few cases that met it: {exposed}")
    if clients < FEWEST_CLIENTS:
        found.append("a single client met it")
    itself, others = _both(moments, feature)
    if itself is None:
        found.append("no other time of these clients to compare with")
    if others is None:
        found.append("no other client at these times to compare with")
    if q >= SIGNIFICANT:
        found.append("met in the controls too, or too seldom to tell it from chance")
    return tuple(found)


def _confounded(moments: Moments, feature: Feature) -> tuple[str, ...]:
    """Say which comparison differs that must not."""
    found = []
    later = [[s.later for s in m if s.later is not None] for m in moments]
    behind = exact_p([_stratum([c for c, _ in m], [w for _, ws in m for w in ws], feature) for m in later])
    if behind is not None and behind < NULL:
        found.append("met behind the failures as often: these clients meet it at such times, failing or not")
    healthy = exact_p([_stratum([well], times, feature) for s in _each(moments) for well, times in s.healthy])
    if healthy is not None and healthy < NULL:
        found.append("clients that did not fail met it at the same times: something else brings both")
    return tuple(found)
