"""What counts as a failure of a client, and which resets are but something that it met.

A failure is something of the client's own that ended: connections that it had opened and reset itself, for that is what
an application that dies looks like; data of the client that nobody answered any more. Resets by servers are not: they
are the server's doing, and are laid beside failures as something met. Nor are resets of what had ended, had never
begun or was refused, and resets that a device made in the client's name. Attempts in vain are failures only of a run in
which no connection died: else each of them is rather what came before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.analyses.bursts import BURST_NS
from orchestrator.model.precursor import Encounter, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.core.analyses.unanswered import Attempt
    from orchestrator.model.connection import Connection
    from orchestrator.model.finding import FlowKey, Reset

NOTHING_ENDED = frozenset((
    "closed-port", "connection-refused", "firewall-reject", "data-after-close", "challenge-ack",
))  # fmt: skip
"""Causes of resets of what had ended, or never begun."""
YOUNG_NS = 1_000_000_000
"""A connection without data that was reset so early was not in use."""


class Connections:
    """Connections by the flows under which points know them."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._by_flow: dict[FlowKey, list[Connection]] = {}
        for one in connections:
            for key in {one.flow, *(key for _, key in one.elsewhere)}:
                self._by_flow.setdefault(key, []).append(one)

    def of(self, reset: Reset) -> tuple[Connection | None, bool]:
        """Return (the connection of *reset*, whether its claimed sender is the client); (None, as paths say) else."""
        for key, by_client in ((reset.flow, True), (reset.flow.turned(), False)):
            for one in self._by_flow.get(key, ()):
                if one.first_ns <= reset.time_ns <= one.last_ns:
                    return one, by_client
        return None, reset.side == "client"


def sort_resets(resets: Sequence[Reset], known: Connections) -> tuple[list[Failure], list[Encounter]]:
    """Return (what clients reset, resets that clients met): single ones of their own are both."""
    failed: list[Failure] = []
    met: list[Encounter] = []
    ended: set[tuple[FlowKey, int]] = set()
    for reset in resets:
        connection, by_client = known.of(reset)
        flow = reset.flow if by_client else reset.flow.turned()
        flow = flow if connection is None else connection.flow
        once = (flow, connection.first_ns if connection else 0)
        if not _ends_something(reset, connection) or once in ended:
            continue
        ended.add(once)
        point, frame = reset.first_seen, dict(reset.frames)[reset.first_seen][0]
        if by_client and reset.origin != "network":
            failed.append(
                Failure(
                    client=flow.src, time_ns=reset.time_ns, until_ns=reset.time_ns, kind="reset", flows=(flow,),
                    point=point, frame=frame,
                )
            )  # fmt: skip
        elif not by_client:
            met.append(
                Encounter(
                    client=flow.src, time_ns=reset.time_ns, kind="reset-received", target=f"{flow.dst}:{flow.dport}",
                    flow=flow, point=point, frame=frame,
                )
            )  # fmt: skip
    failures = _in_bursts(failed)
    return failures, [*met, *(_alone(f) for f in failures if f.kind == "reset")]


def _ends_something(reset: Reset, connection: Connection | None) -> bool:
    """Say whether a reset ended what was in use."""
    if reset.cause in NOTHING_ENDED:
        return False
    if connection is None:
        return reset.cause != "client-abort"
    if connection.opened in {"unanswered", "refused"} or connection.closed == "fin":
        return False
    return reset.cause != "client-abort" or reset.time_ns - connection.first_ns >= YOUNG_NS


def _in_bursts(failures: Sequence[Failure]) -> list[Failure]:
    """Take together what a client reset within BURST_NS."""
    groups: dict[str, list[list[Failure]]] = {}
    for one in sorted(failures, key=lambda f: f.time_ns):
        mine = groups.setdefault(one.client, [])
        if mine and one.time_ns - mine[-1][-1].time_ns <= BURST_NS:
            mine[-1].append(one)
        else:
            mine.append([one])
    return [_burst(group) for mine in groups.values() for group in mine]


def _burst(group: Sequence[Failure]) -> Failure:
    first = group[0]
    flows = tuple(dict.fromkeys(flow for one in group for flow in one.flows))
    return Failure(
        client=first.client, time_ns=first.time_ns, until_ns=group[-1].time_ns,
        kind="burst" if len(flows) > 1 else "reset", flows=flows, point=first.point, frame=first.frame,
    )  # fmt: skip


def _alone(failure: Failure) -> Encounter:
    """Return a single reset as something that the client met."""
    flow = failure.flows[0]
    return Encounter(
        client=failure.client, time_ns=failure.time_ns, kind="reset-sent", target=f"{flow.dst}:{flow.dport}", flow=flow,
        point=failure.point, frame=failure.frame,
    )  # fmt: skip


def fell_silent(connections: Sequence[Connection]) -> Iterator[Failure]:
    """Yield connections whose client sent data and heard nothing any more."""
    for one in connections:
        stall = one.stall
        if stall is not None and stall.by == "client" and stall.kind == "data":
            yield Failure(
                client=one.flow.src, time_ns=stall.since_ns, until_ns=stall.since_ns, kind="silent", flows=(one.flow,),
                point=stall.last_seen, frame=stall.frame,
            )  # fmt: skip


def in_vain(attempts: Sequence[Attempt]) -> Iterator[Failure]:
    """Yield attempts to open a connection that got no answer."""
    for one in attempts:
        yield Failure(
            client=one.client, time_ns=one.first_ns, until_ns=one.first_ns, kind="unanswered", point=one.last_seen,
            frame=one.frame,
        )  # fmt: skip
