"""The answer: is it the network, and where to look? Nothing is acquitted on what could not be decided."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.core.grounds import PROBABLY_BECAUSE, Grounds, lost_on, place
from orchestrator.core.precursor_findings import against, in_words, unproved
from orchestrator.core.precursors.likely import domain_of, likely
from orchestrator.model.finding import Headline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.model.finding import Finding, Reset, SegmentRow
    from orchestrator.model.precursor import Precursor

MOSTLY = 0.5
HIDES_A_LOSS = 0.005
"""Share of packets seen no further, for other reasons than the window's edges, behind which a loss may hide."""
DOUBTFUL = 0.1
"""Share of undecided packets on a segment above which nothing is acquitted."""
THIS_PATH = "this path: no"
ELSEWHERE = {
    "policy": "policy or an unreachable service on another path",
    "name-service": "the name service",
    "server": "a server on it that refuses connections",
}
DECIDES_FIRST = {"no-precursor": 0, "precursor": 1}
"""They ask for the one capture that decides."""
FEWEST_PACKETS = 10
"""Delivered on one segment and direction; fewer acquit nobody when there is no reset to explain."""


def headline(grounds: Grounds, measured: Sequence[SegmentRow], findings: Sequence[Finding]) -> Headline:
    """Return the answer."""
    lossy = [r for r in measured if any(f.kind == "loss" and f.segment == (r.near, r.far) for f in findings)]
    made = [r for r in grounds.resets if r.origin == "network"]
    answer, domain, statement = _answer(grounds, measured, lossy, made)
    shown = sorted((f for f in findings if f.verdict in {"proved", "supported"}), key=lambda f: f.kind != "precursor")
    because = tuple(f.id for f in shown)[:3]
    first = sorted(findings, key=lambda f: DECIDES_FIRST.get(f.kind, len(DECIDES_FIRST)))
    decide = tuple(dict.fromkeys(w for f in first for w in f.would_change_it))[:3]
    return Headline(
        network=answer, domain=domain, statement=statement, flows=grounds.flows, points=grounds.points,  # type: ignore[arg-type]
        window=grounds.window, because=because, would_decide_it=decide,
    )  # fmt: skip


def _answer(
    grounds: Grounds, measured: Sequence[SegmentRow], lossy: Sequence[SegmentRow], made: Sequence[Reset]
) -> tuple[str, str, str]:
    """Return (network, domain, statement)."""
    sure = [r for r in lossy if r.vanished]
    if sure:
        worst = max(sure, key=lost_on)
        only_opening = all(v.kind == "syn" for v in grounds.vanished if v.last_seen == worst.near)
        if only_opening and worst.delivered:
            return (
                "yes",
                "policy",
                f"connection attempts vanish on {place(worst)} while other packets pass: a filter or a route.",
            )
        count = f"{lost_on(worst):,} of {worst.sent:,} packets vanish on {place(worst)}, {worst.direction} direction."
        return "yes", "segment", count
    placed = [r for r in made if r.born_after is not None]
    if placed:
        first = placed[0]
        return "yes", "policy", f"resets are made in the network, between {first.born_after} and {first.born_before}."
    if lossy:
        worst = max(lossy, key=lost_on)
        return (
            "cannot-tell",
            "segment",
            f"packets probably vanish on {place(worst)}; not excluded: {' or '.join(PROBABLY_BECAUSE)}.",
        )
    if made:
        where = f"{len(made):,} resets seen at {made[0].born_before}"
        why = "have another TTL than their claimed sender's packets: probably made on the way, told by one point alone."
        return "cannot-tell", "policy", f"{where} {why}"
    return _not_the_network(grounds, measured)


def _not_the_network(grounds: Grounds, measured: Sequence[SegmentRow]) -> tuple[str, str, str]:  # noqa: PLR0911  # one return a case reads best
    """Return the answer where nothing accuses a segment."""
    carried = [r for r in measured if r.sent - _uncovered(grounds, r) > 0]
    sides = Counter(r.side for r in grounds.resets if r.origin == "endpoint")
    side = sides.most_common(1)[0][0] if sides else "unknown"
    domain: str = side if side in {"client", "server"} else "unknown"
    before = likely(grounds.precursors)
    domain = _pointed(grounds, before) or domain
    if not carried:
        if len(grounds.points) > 1:
            return "cannot-tell", "unknown", "no packet was seen at two points, so the path was not measured."
        where = grounds.points[0] if grounds.points else "no point"
        if side != "unknown":
            side_of = f"the resets come from the {side}s' side of {where}"
            return "cannot-tell", domain, f"{side_of}{_one_point(grounds)}; the path itself was not measured."
        return "cannot-tell", "unknown", f"only {where} was captured: the path itself was not measured."
    if doubt := _doubt(grounds, carried):
        return "cannot-tell", domain, doubt
    ends = f"{grounds.points[0]} ↔ {grounds.points[-1]}"
    if open_ends := _unexplained(grounds):
        return "cannot-tell", domain, f"nothing vanished between the points, but {open_ends}."
    if before is not None and _pointed(grounds, before):
        said = f"{in_words(before)}; {against(before)}{unproved(before)}"
        return "no", domain, f"{THIS_PATH}; likely domain: {ELSEWHERE[domain]}. Nothing vanished on {ends}; {said}."
    if grounds.resets:
        said = f"nothing vanished on {ends} and all resets come from the {side}s"
        if side == "client" and (unseen := _not_seen(grounds)):
            said = f"{THIS_PATH}; {said}{unseen}: the clients themselves, or a path that no point covers"
        return "no", domain, f"{said}."
    most = max(r.delivered for r in carried)
    if most < FEWEST_PACKETS:
        return "cannot-tell", "unknown", f"nothing vanished, but at most {most:,} packets were seen at two points."
    return "no", "unknown", f"nothing vanished on {ends} and nothing was reset."


def _pointed(grounds: Grounds, before: Precursor | None) -> str:
    """Return the domain that the likely precursor speaks for; a host that serves others here refused by itself."""
    if before is None or before.event != "syn-refused":
        return domain_of(before) if before is not None else ""
    host = (before.target or "").rsplit(":", 1)[0]
    return "server" if any(c.opened == "handshake" and c.flow.dst == host for c in grounds.connections) else "policy"


def _one_point(grounds: Grounds) -> str:
    """Say what a single point tells beside the side: of loss, and of what came before."""
    outer = [r for r in grounds.segments if r.inferred]
    clean = outer and not any(r.holes or r.resent or (r.series and r.series.lost) for r in outer)
    before = likely(grounds.precursors)
    text = "; no sign of loss on either side of it (inferred)" if clean else ""
    if before is None:
        return text + _not_seen(grounds)
    return f"{text}; {in_words(before)}{unproved(before)}"


def _not_seen(grounds: Grounds) -> str:
    """Say where connections of clients died that nobody sees why."""
    died = any(f.kind != "unanswered" for f in grounds.precursors.failures)
    return "; what came before is not visible from here" if died and likely(grounds.precursors) is None else ""


def _unexplained(grounds: Grounds) -> str:
    """Say what went wrong without a packet that vanished and without a maker; empty where nothing did."""
    unknown = sum(r.origin == "unknown" for r in grounds.resets)
    if unknown:
        return f"{unknown:,} resets have no certain maker"
    silent = sum(c.stall is not None for c in grounds.connections)
    return f"{silent:,} connections got no answer any more" if silent else ""


def _uncovered(grounds: Grounds, row: SegmentRow) -> int:
    """Return how many packets of a row belong to flows that the far point has nothing to do with."""
    return sum(
        u.count for u in grounds.undecided if u.reason == "no-coverage" and (u.near, u.far) == (row.near, row.far)
    )


def _doubt(grounds: Grounds, carried: Sequence[SegmentRow]) -> str:
    """Say why the carried segments acquit nobody; empty when they do."""
    if len(grounds.unsound) > MOSTLY * len(grounds.points):
        return (
            f"{len(grounds.unsound):,} of {len(grounds.points):,} captures are not good enough to acquit the network."
        )
    for row in carried:
        sent = row.sent - _uncovered(grounds, row)
        reasons = Counter({
            u.reason: u.count for u in grounds.undecided
            if u.reason != "no-coverage" and (u.near, u.far) == (row.near, row.far)
        })  # fmt: skip
        hidden = reasons.total() - reasons["window-edge"]
        if reasons.total() > DOUBTFUL * sent or hidden > HIDES_A_LOSS * sent:
            worst = reasons.most_common(1)[0][0]
            return f"{reasons.total():,} of {sent:,} packets on {place(row)} could not be decided ({worst})."
    return ""
