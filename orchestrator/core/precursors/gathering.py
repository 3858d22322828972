"""From an analysis to what precedes its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections import MOST_CONNECTIONS
from orchestrator.core.analyses.resets import MOST_RESETS
from orchestrator.core.analyses.unanswered import find_refused
from orchestrator.core.precursors.encounters import of_attempts, of_heartbeats, of_messages, on_connections
from orchestrator.core.precursors.ends import activity_of, find_ends
from orchestrator.core.precursors.failed import Connections, fell_silent, in_vain, sort_resets
from orchestrator.core.precursors.judging import Cases, cases_of, judge
from orchestrator.core.precursors.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.parted import Parted
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.core.analyses.stalls import Stalls
    from orchestrator.core.analysis import Analysis
    from orchestrator.core.verdicts import PointFacts
    from orchestrator.model.precursor import Precursors

NOTHING = Cases(sets=(), failures=())


def find_precursors(found: Analysis, scene: Scene, parted: Parted, stalls: Stalls) -> tuple[Cases, Precursors]:
    """Return the failures of *found* with their controls, and what precedes them."""
    watch = watch_run(found, scene, parted, stalls)
    cases = NOTHING if watch is None else cases_of(watch)
    return cases, judge([cases])


def watch_run(found: Analysis, scene: Scene, parted: Parted, stalls: Stalls) -> Watch | None:
    """Return what a run shows of its clients; None where nothing failed, which saves the rest."""
    failures, met = sort_resets(found.resets, Connections(found.connections))
    failures += fell_silent(found.connections)
    failures = failures or list(in_vain(found.attempts))
    if not failures:
        return None
    ends = find_ends(scene, parted)
    activity, vantage = activity_of(scene, parted, ends)
    told = of_messages(found.names)
    refused = find_refused(scene.packets, scene.tokens, scene.routes, scene.verdicts, scene.names, scene.frames)
    met += [*told, *of_attempts(found.attempts, refused, told), *of_heartbeats(found.connections)]
    met += on_connections(scene, parted, stalls, ends)
    spans, points = _spans(scene.facts)
    return Watch(
        failures=tuple(failures), encounters=tuple(met), activity=activity, spans_ns=spans, points=points,
        vantage=vantage, incomplete=_incomplete(found, scene),
    )  # fmt: skip


def _spans(facts: Sequence[PointFacts]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (from when to when, the point) of every time in which a point captured without a gap."""
    spans = [(*span, number) for number, fact in enumerate(facts) for span in _without_gaps(fact)]
    table = np.array(spans, np.int64).reshape(-1, 3)
    return table[:, :2], table[:, 2]


def _without_gaps(fact: PointFacts) -> list[tuple[int, int]]:
    if fact.end_ns < fact.start_ns:
        return []
    edges = [fact.start_ns, *fact.gaps_ns.reshape(-1).tolist(), fact.end_ns]
    return [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low <= high]


def _incomplete(found: Analysis, scene: Scene) -> tuple[str, ...]:
    """Say what is known in part."""
    reasons = []
    if found.connections_in_all > MOST_CONNECTIONS:
        reasons.append(
            f"heartbeats and silences of {len(found.connections):,} of {found.connections_in_all:,} connections"
        )
    if len(found.resets) >= MOST_RESETS:
        reasons.append(f"the first {MOST_RESETS:,} resets")
    if found.names.dns_more_failed:
        reasons.append("the first questions to name servers that failed")
    loose = [n for n, f in zip(scene.names, scene.facts, strict=True) if f.packets and f.uncertainty_ns is None]
    if loose:
        reasons.append(f"what {', '.join(loose)} saw, for the clocks there are not bounded")
    return tuple(reasons)
