"""What the resets and connections of a run say about one another: ends cut together, waits and silences alike."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.reset_causes import Company, name_cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.analyses.idle import Silences
    from orchestrator.core.analyses.resets import Located
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.connection import Connection
    from orchestrator.model.finding import Reset

TOGETHER_NS = 1_000_000_000
"""Resets of one connection or at one place closer than this are one event."""
STRUCK_NS = 2_000_000_000
"""Connections whose table was lost meet a reset each at its next packet."""
SHORTEST_WAIT_NS = 500_000_000
WAITS_ALIKE = 0.05
"""By how much waits for an answer may differ and be called the same."""


def name_causes(
    scene: Scene, located: Sequence[Located], silences: Silences, connections: Sequence[Connection]
) -> list[Reset]:
    """Return the resets, each with the cause that it and the others leave."""
    pairs = _both_ends(scene, located)
    waits = _waits(located)
    found = []
    for one in located:
        company = Company(
            both_ends=one.token in pairs, trigger_passed=_trigger_passed(scene, one),
            waits_alike=waits.get(one.token, 0), behind=_behind(one.reset, connections),
        )  # fmt: skip
        if one.birth.origin == "network":
            company = _with_silences(company, scene, one, located, silences)
            company = _with_struck(company, scene, one, located, connections)
        reset = _joined(scene, one, pairs)
        cause = name_cause(one.signs, reset.origin, reset.side, company)
        found.append(
            replace(
                reset, cause=cause.name, supports=cause.supports, against=cause.against, would_decide=cause.would_decide
            )
        )
    return found


def _both_ends(scene: Scene, located: Sequence[Located]) -> dict[int, Located]:
    """Return by token the reset in the other end's name that was made on the way at the same time."""
    made = defaultdict(list)
    for one in located:
        if one.birth.origin == "network":
            made[int(scene.tokens.flow[one.token])].append(one)
    found = {}
    for group in made.values():
        for one in group:
            for other in group:
                turned = scene.tokens.bit[one.token] != scene.tokens.bit[other.token]
                if turned and abs(one.reset.time_ns - other.reset.time_ns) <= TOGETHER_NS:
                    found[one.token] = other
    return found


def _joined(scene: Scene, one: Located, pairs: dict[int, Located]) -> Reset:
    """Return a reset with the place that it and the one to the other end share: one device made both."""
    other = pairs.get(one.token)
    if other is None or one.birth.after is None or other.birth.after is None:
        return one.reset
    here, there = {one.birth.after, one.birth.before}, {other.birth.after, other.birth.before}
    line = [p for p in one.birth.line if p in here | there]
    said = (*one.reset.evidence, "its connection was reset in the other end's name at the same time")
    if here == there:
        return replace(one.reset, evidence=said)
    after = scene.names[line[0]]
    said = (*said, "one device made both, and not every point saw them: born somewhere between all of these points")
    return replace(one.reset, born_after=after, evidence=said)


def _trigger_passed(scene: Scene, one: Located) -> bool | None:
    """Say whether what a reset answers reached the silent point behind which it was made."""
    if one.signs.trigger is None or one.birth.after is None:
        return None
    token = np.flatnonzero(scene.tokens.row[:, one.birth.before] == one.signs.trigger)
    if not len(token):
        return None
    if scene.tokens.row[token[0], one.birth.after] >= 0:
        return True
    return None if scene.verdicts.certified[token[0]] else False


def _waits(located: Sequence[Located]) -> dict[int, int]:
    """Return by token how many resets of clients of one service came after the same wait for an answer."""
    groups: dict[tuple[str, int], list[Located]] = defaultdict(list)
    for one in located:
        waited = one.signs.asked_ns or 0
        if one.reset.origin == "endpoint" and one.reset.side == "client" and waited >= SHORTEST_WAIT_NS:
            groups[one.reset.flow.dst, one.reset.flow.dport].append(one)
    found = {}
    for group in groups.values():
        for one in group:
            waited = one.signs.asked_ns or 0
            found[one.token] = sum(abs((o.signs.asked_ns or 0) - waited) <= WAITS_ALIKE * waited for o in group)
    return found


def _with_silences(
    company: Company, scene: Scene, one: Located, located: Sequence[Located], silences: Silences
) -> Company:
    """Compare the silence before a reset with those before others made at its place and with those survived."""
    if not one.signs.silence_ns:
        return company
    place = {one.birth.after, one.birth.before}
    killed: dict[int, int] = {}
    for other in located:
        if other.birth.origin == "network" and {other.birth.after, other.birth.before} == place:
            flow = int(scene.tokens.flow[other.token])
            killed[flow] = max(killed.get(flow, 0), other.signs.silence_ns)
    lengths = np.array([ns for ns in killed.values() if ns], np.int64)
    survived = silences.survived_at(one.birth.before)
    longest = int(survived.max()) if len(survived) else 0
    if longest >= int(lengths.min()):
        return replace(company, longest_survived_ns=longest)
    return replace(
        company, killed=len(lengths), survived=len(survived), longest_survived_ns=longest,
        shortest_killed_ns=int(lengths.min()),
    )  # fmt: skip


def _with_struck(
    company: Company, scene: Scene, one: Located, located: Sequence[Located], connections: Sequence[Connection]
) -> Company:
    """Count other connections that were cut at the same place and time, and look for new ones let through since."""
    mine = int(scene.tokens.flow[one.token])
    near = [
        o for o in located
        if o.birth.origin == "network" and o.birth.after == one.birth.after and o.birth.before == one.birth.before
        and abs(o.reset.time_ns - one.reset.time_ns) <= STRUCK_NS and int(scene.tokens.flow[o.token]) != mine
    ]  # fmt: skip
    servers = {(o.reset.flow.src, o.reset.flow.sport) for o in (one, *near)} | {
        (o.reset.flow.dst, o.reset.flow.dport) for o in (one, *near)
    }
    reopened = any(
        c.opened == "handshake" and c.first_ns > one.reset.time_ns and (c.flow.dst, c.flow.dport) in servers
        for c in connections
    )
    return replace(company, struck=len({int(scene.tokens.flow[o.token]) for o in near}), reopened=reopened)


def _behind(reset: Reset, connections: Sequence[Connection]) -> str:
    """Say what a server that reset its client had itself met, as a client of another, just before."""
    if reset.origin != "endpoint" or reset.side != "server":
        return ""
    for other in connections:
        ended = other.closed == "reset" or other.opened in {"unanswered", "refused"}
        lately = 0 <= reset.time_ns - other.last_ns <= TOGETHER_NS
        if other.flow.src == reset.flow.src and other.flow.dst != reset.flow.dst and ended and lately:
            how = other.opened if other.opened in {"unanswered", "refused"} else f"reset by its {other.closed_by}"
            return f"its own connection to {other.flow.dst}:{other.flow.dport} was {how} just before"
    return ""
