"""Collect what went wrong for clients, flow by flow, whether or not anything failed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections_kernels import AGAIN, CARRIES
from orchestrator.core.analyses.named import events
from orchestrator.core.analyses.stalls import SHORTEST_NS
from orchestrator.model.precursor import Encounter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.parted import Parted
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.core.analyses.stalls import Stalls
    from orchestrator.core.analyses.unanswered import Attempt
    from orchestrator.core.precursors.ends import Ends
    from orchestrator.model.connection import Connection
    from orchestrator.model.names import Names
    from orchestrator.model.precursor import Met

RESENT, RESENT_WITHIN_NS = 3, 1_000_000_000
"""So many packets of one connection sent again within that time are a burst."""
REJECTED_WITHIN_NS = 3_000_000_000
"""An attempt of which an error of ICMP tells so soon is told by that error alone."""
MOST_ON_CONNECTIONS = 50_000
"""Of one kind, the first of them."""


def of_messages(names: Names) -> list[Encounter]:
    """Return what DNS, ICMP and TLS tell in the clear."""
    return [
        Encounter(
            client=e.client, time_ns=e.time_ns, kind=e.kind, target=e.target, flow=e.flow, point=e.point, frame=e.frame
        )
        for e in events(names)
    ]


def of_attempts(
    attempts: Sequence[Attempt], refused: Sequence[Attempt], told: Sequence[Encounter]
) -> Iterator[Encounter]:
    """Yield attempts without an answer, but those of which *told* holds an error, and refused ones."""
    errors: dict[tuple[str, str], list[int]] = {}
    for one in told:
        if one.kind in {"icmp-prohibited", "icmp-unreachable"}:
            errors.setdefault((one.client, one.target), []).append(one.time_ns)
    for attempt in attempts:
        times = errors.get((attempt.client, attempt.target), ())
        if not any(attempt.first_ns <= t <= attempt.last_ns + REJECTED_WITHIN_NS for t in times):
            yield _attempt(attempt, "syn-unanswered")
    for attempt in refused:
        yield _attempt(attempt, "syn-refused")


def _attempt(attempt: Attempt, kind: Met) -> Encounter:
    return Encounter(
        client=attempt.client, time_ns=attempt.first_ns, kind=kind, target=attempt.target, point=attempt.last_seen,
        frame=attempt.frame,
    )  # fmt: skip


def of_heartbeats(connections: Sequence[Connection]) -> Iterator[Encounter]:
    """Yield beats that did not come."""
    for one in connections:
        for time in one.heartbeat.missed_at_ns if one.heartbeat is not None else ():
            yield Encounter(
                client=one.flow.src, time_ns=time, kind="heartbeat-missed", target=f"{one.flow.dst}:{one.flow.dport}",
                flow=one.flow,
            )  # fmt: skip


def on_connections(scene: Scene, parted: Parted, stalls: Stalls, ends: Ends) -> Iterator[Encounter]:
    """Yield closed windows, silences and bursts of data sent again, of all connections."""
    for n, time in _sided(stalls.closed >= SHORTEST_NS, stalls.closed_at):
        yield _on(scene, ends, n, time, "zero-window")
    for n, time in _sided(stalls.stalled, stalls.since):
        yield _on(scene, ends, n, time, "stall")
    for place in _resent(parted).tolist():
        token = int(parted.token[place])
        row = int(scene.tokens.first_row[token])
        point = int(np.argmax(scene.tokens.row[token] >= 0))
        n, time = int(parted.number[place]), int(parted.time_ns[place])
        yield _on(scene, ends, n, time, "retransmissions", scene.names[point], int(scene.frames[row]))


def _sided(which: NDArray[np.bool_], times: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return connection and time of *which*, by connection and side."""
    numbers, sides = np.nonzero(which)
    kept = slice(MOST_ON_CONNECTIONS)
    return list(zip(numbers[kept].tolist(), times[numbers, sides][kept].tolist(), strict=True))


def _on(scene: Scene, ends: Ends, n: int, time_ns: int, kind: Met, point: str = "", frame: int = 0) -> Encounter:
    flow = ends.flow(scene.packets, n)
    return Encounter(
        client=flow.src, time_ns=time_ns, kind=kind, target=f"{flow.dst}:{flow.dport}", flow=flow, point=point,
        frame=frame,
    )  # fmt: skip


def _resent(parted: Parted) -> NDArray[np.int64]:
    """Return the place at which each burst of resent data begins."""
    wanted = AGAIN | CARRIES
    again = parted.order[(parted.deed[parted.order] & wanted) == wanted]
    if len(again) < RESENT:
        return np.empty(0, np.int64)
    number, time = parted.number[again], parted.time_ns[again]
    ahead = RESENT - 1
    close = (number[ahead:] == number[:-ahead]) & (time[ahead:] - time[:-ahead] <= RESENT_WITHIN_NS)
    starts = np.flatnonzero(close)
    if not len(starts):
        return np.empty(0, np.int64)
    anew = (np.diff(number[starts]) != 0) | (np.diff(time[starts]) > RESENT_WITHIN_NS)
    return np.asarray(again[starts[np.concatenate(([True], anew))]][:MOST_ON_CONNECTIONS])
