"""Hold what happened to clients against what the playbook expects: no precursor, connections that come about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orchestrator.core.precursor_findings import against, in_words, unproved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from orchestrator.model.connection import Connection
    from orchestrator.model.playbook import Expectation
    from orchestrator.model.precursor import Precursor, Precursors

    Judged = tuple[Literal["pass", "fail", "undecidable"], str]

ENOUGH_CASES = 8
"""So many show what precedes four failures of five in nine runs of ten (ALGORITHMS D.6)."""


class Clients(Protocol):
    """What of an analysis is looked at."""

    connections: list[Connection]
    connections_in_all: int
    precursors: Precursors


def precursor(expectation: Expectation, clients: Clients) -> Judged:
    """Judge ``precursor: {absent: EVENT}``: a pass needs failures enough to have shown one, or none at all."""
    found = clients.precursors
    if not clients.connections:
        return "undecidable", "no connection was seen"
    if not found.failures_in_all:
        return "pass", f"nothing failed on {clients.connections_in_all:,} connections, so nothing preceded it"
    rows = [r for r in found.rows if _is_meant(r, expectation)]
    for row in rows:
        if row.verdict == "supported":
            return "fail", f"{in_words(row)}; {against(row)}"
    for row in rows:
        if row.always:
            return "undecidable", f"{in_words(row)}; {against(row)}{unproved(row)}"
    said = (
        f"{found.compared:,} of {found.failures_in_all:,} failures can be compared with other times and other clients"
    )
    if found.compared < ENOUGH_CASES:
        return "undecidable", f"{said}: too few, below {ENOUGH_CASES} a precursor may be missed"
    return "pass", f"{said}; of {found.tests:,} things met before them none is supported as a precursor"


def _is_meant(row: Precursor, expectation: Expectation) -> bool:
    event, target = expectation.settings.get("absent"), expectation.settings.get("target")
    return event in {"any", row.event} and (target is None or row.target in {None, target})


def connections(expectation: Expectation, clients: Clients) -> Judged:
    """Judge ``connection: {success: SHARE}`` by counting; whose answer was not seen may be either."""
    wanted = expectation.settings.get("to")
    mine = [c for c in clients.connections if c.flow.protocol == "tcp" and _leads_to(c, wanted)]
    opened = sum(c.opened == "handshake" for c in mine)
    failed = sum(c.opened in {"unanswered", "refused"} for c in mine)
    open_count = sum(c.opened == "unseen" for c in mine)
    total = opened + failed + open_count
    where = f" to {wanted}" if wanted else ""
    if not total:
        return "undecidable", f"no attempt to connect{where} was seen"
    said = f"{opened:,} of {total:,} attempts{where} succeeded, {failed:,} failed, {open_count:,} could not be decided"
    if clients.connections_in_all > len(clients.connections):
        return "undecidable", f"{said}; of {clients.connections_in_all:,} connections that is only a part"
    share = expectation.limits["success"]
    if opened >= share * total:
        return "pass", said
    return ("fail", said) if opened + open_count < share * total else ("undecidable", said)


def _leads_to(connection: Connection, wanted: object) -> bool:
    """Say whether a connection leads to an address, or to an address and port, under any name that a point knows."""
    flows = [connection.flow, *(flow for _, flow in connection.elsewhere)]
    return wanted is None or any(wanted in _names(flow.dst, flow.dport) for flow in flows)


def _names(host: str, port: int) -> Sequence[str]:
    return (host, f"{host}:{port}", f"[{host}]:{port}")
