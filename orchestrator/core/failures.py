"""Sentences about connections that failed without a reset: black holes, silent idle timeouts, closed windows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from orchestrator.model.finding import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.grounds import Grounds
    from orchestrator.model.connection import Connection, Stall

FEWEST_KILLED = FEWEST_SURVIVED = 3
FEWEST_ONE_WAY = 5
"""Packets of a connection of which one direction alone is seen."""


def failure_findings(grounds: Grounds) -> list[Finding]:
    """Return one finding for each place where connections went silent, for closed windows and for one-way paths."""
    places: dict[tuple[str, str | None], list[Connection]] = defaultdict(list)
    for connection in grounds.connections:
        if connection.stall is not None:
            places[connection.stall.last_seen, connection.stall.first_missing].append(connection)
    found = [_black_hole(grounds, last, missing, rows) for (last, missing), rows in places.items()]
    return [*found, *_closed_windows(grounds), *_one_way(grounds)]


def _black_hole(grounds: Grounds, last: str, missing: str | None, rows: Sequence[Connection]) -> Finding:
    """Word what was sent again and again without an answer."""
    stalls = [c.stall for c in rows if c.stall is not None]
    longest = max(s.until_ns - s.since_ns for s in stalls)
    number = f"{len(rows):,} connection{'s' if len(rows) != 1 else ''} went silent"
    where = f"last seen at {last}, not at {missing} behind it" if missing else f"seen at {last}, the last on its way"
    statement = (
        f"{number}: data or FIN was sent again {sum(s.resent for s in stalls):,} times, for up to"
        f" {longest / 1e9:,.1f} s, and nothing of the other end was seen any more; {where}."
    )
    idle = _idle(grounds, last, stalls)
    first = rows[0]
    return Finding(
        id=f"black-hole-{last}-{missing or 'beyond'}", kind="black-hole", verdict="supported",
        statement=statement + idle, segment=(last, missing),
        evidence=(Evidence(point=last, frame=stalls[0].frame, filter=_filter(first)),),
        alternatives=(
            ("a filter or a route between these points",) if missing
            else ("the other host is gone", "its answers die before they reach a point", "a filter beyond that point")
        ),
        would_change_it=(f"a capture between {last} and {missing}",) if missing else (f"a capture beyond {last}",),
    )  # fmt: skip


def _idle(grounds: Grounds, point: str, stalls: Sequence[Stall]) -> str:
    """Say whether silences of one length and more preceded them, and no survived one was so long."""
    killed = [s.silent_before_ns for s in stalls if s.silent_before_ns]
    survived = grounds.survived_ns.get(point, ())
    if not killed:
        return ""
    longest = max(survived, default=0)
    said = f" {len(killed):,} of {len(stalls):,} had been idle before, for at least {min(killed) / 1e9:,.1f} s"
    if len(killed) < FEWEST_KILLED or len(survived) < FEWEST_SURVIVED or longest >= min(killed):
        return said + "."
    return (
        f"{said}; {len(survived):,} of {len(survived):,} shorter silences, up to {longest / 1e9:,.1f} s, were survived:"
        " an idle timeout that drops without a word."
    )


def _closed_windows(grounds: Grounds) -> list[Finding]:
    """One finding for each host that took no data for a while."""
    hosts: dict[str, list[Connection]] = defaultdict(list)
    for c in grounds.connections:
        if c.zero_window is not None:
            host = c.flow.src if c.zero_window.by == "client" else f"{c.flow.dst}:{c.flow.dport}"
            hosts[host].append(c)
    found = []
    for host, rows in sorted(hosts.items(), key=lambda h: -len(h[1])):
        longest = max(c.zero_window.longest_ns for c in rows if c.zero_window is not None)
        found.append(
            Finding(
                id=f"zero-window-{host}", kind="zero-window", verdict="supported",
                statement=f"{host} took no data on {len(rows):,} connection{'s' if len(rows) != 1 else ''}, for up to"
                f" {longest / 1e9:,.2f} s: its receive window was closed, so its application did not read.",
                alternatives=("a device on the way that writes windows in its name",),
                would_change_it=(f"load and log of the application on {host.rsplit(':', 1)[0]}",),
            )
        )  # fmt: skip
    return found


def _one_way(grounds: Grounds) -> list[Finding]:
    """Say of how many connections these points see one direction alone, though the other one exists."""
    rows = [
        c for c in grounds.connections
        if c.flow.protocol == "tcp" and c.opened in {"unseen", "mid-stream"}
        and min(c.client.packets, c.server.packets) == 0 and c.client.packets + c.server.packets >= FEWEST_ONE_WAY
    ]  # fmt: skip
    if not rows:
        return []
    return [
        Finding(
            id="one-way", kind="coverage", verdict="not-proved",
            statement=f"{len(rows):,} connections are seen in one direction only: the other takes a way that no point"
            " covers, or captures leave it out. Nothing is said of it.",
            would_change_it=("a point on the way back",),
        )
    ]  # fmt: skip


def _filter(connection: Connection) -> str:
    flow = connection.flow
    family = "ipv6" if ":" in flow.src else "ip"
    return f"{family}.addr=={flow.src} && {family}.addr=={flow.dst} && tcp.port=={flow.sport} && tcp.port=={flow.dport}"
