"""From counts to sentences: findings with numbers, denominators and limits, and the answer.

Nothing here may say more than the counts carry: a finding names its segment, what supports it, what else would
explain it and what would change it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.model.finding import Evidence, Finding, Headline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.analyses.unanswered import Attempt
    from orchestrator.model.finding import Burst, Reset, SegmentRow, Undecided, Vanished, Verdict

BEFORE_NS = 30_000_000_000
"""How long before a burst an unanswered attempt is put beside it."""
MOSTLY = 0.5
FEW_EPISODES = 5
FEWEST_PACKETS = 10
"""Delivered on one segment and direction; fewer acquit nobody when there is no reset to explain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What the sentences are made from."""

    points: tuple[str, ...]
    unsound: tuple[str, ...]
    """Points whose capture is degraded or unusable."""
    absent: tuple[str, ...]
    segments: Sequence[SegmentRow]
    vanished: Sequence[Vanished]
    undecided: Sequence[Undecided]
    resets: Sequence[Reset]
    bursts: Sequence[Burst]
    attempts: Sequence[Attempt]
    window: tuple[int, int] | None
    flows: tuple[str, ...] = ()
    """Of the playbook."""


def conclude(grounds: Grounds) -> tuple[list[Finding], Headline]:
    """Return the findings, strongest first, and the headline."""
    measured = [r for r in grounds.segments if not r.inferred]
    findings = [*_loss(grounds, measured), *_reset_births(grounds), *_bursts(grounds), *_attempts(grounds)]
    findings += [*_nothing_lost(grounds, measured), *_outer(grounds, measured)]
    findings += _unmeasured(grounds, measured)
    order = {"proved": 0, "supported": 1, "not-proved": 2, "contradicted": 3}
    findings.sort(key=lambda f: order[f.verdict])
    return findings, _headline(grounds, measured, findings)


def place(row: SegmentRow) -> str:
    """Return how a segment is called in a sentence."""
    near, far = row.near or "before", row.far or "beyond"
    line = f" ({row.name}{', circuit ' + row.circuit if row.circuit else ''})" if row.name else ""
    return f"{near} → {far}{line}"


def lost_on(row: SegmentRow) -> int:
    """Return how many tokens vanished on a row, certain and probable."""
    return row.vanished + row.vanished_probable


def percent(value: float) -> str:
    """Return a ratio as a percentage with three significant digits."""
    return f"{value * 100:.3g} %"


def _loss(grounds: Grounds, measured: Sequence[SegmentRow]) -> list[Finding]:
    """One finding for each segment and direction on which tokens vanished."""
    found = []
    for row in measured:
        if not lost_on(row):
            continue
        entries = [v for v in grounds.vanished if (v.last_seen, v.first_missing) == (row.near, row.far)]
        heavy = [v for v in entries if not (v.kind == "ack" and v.superseded)]
        if not heavy and row.loss is not None and not row.loss.rate:
            found.append(_acks_finding(row))
            continue
        found.append(_loss_finding(row, heavy or entries))
    return found


def _acks_finding(row: SegmentRow) -> Finding:
    """Word a loss of nothing but acknowledgements that later ones made needless."""
    statement = (
        f"{lost_on(row):,} of {row.sent:,} packets vanish on {place(row)}: all of them pure acknowledgements that a"
        " later one superseded, so no data waited for them; they are left out of loss."
    )
    return Finding(
        id=f"acks-{row.near}-{row.far}", kind="ack-loss", verdict="proved" if row.vanished else "supported",
        statement=statement, segment=(row.near, row.far),
    )  # fmt: skip


def _loss_finding(row: SegmentRow, entries: Sequence[Vanished]) -> Finding:
    """Word the loss on one row."""
    kinds = Counter(v.kind for v in entries)
    sure = row.vanished > 0
    statement = f"{lost_on(row):,} of {row.sent:,} packets vanish on {place(row)}"
    if row.loss is not None and row.loss.episodes >= FEW_EPISODES:
        statement += f" ({percent(row.loss.rate)}, 95 %: {percent(row.loss.low)}–{percent(row.loss.high)})"
    if row.loss is not None:
        statement += f" in {row.loss.episodes:,} episode{'s' if row.loss.episodes != 1 else ''}"
    statement += f": {row.vanished:,} confirmed, {row.vanished_probable:,} probable"
    statement += "; " + ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common()) + "."
    if row.span:
        statement += " Points between could not tell on which part of it."
    evidence = tuple(
        Evidence(point=v.last_seen, frame=v.frame, filter=display_filter(v.flow.src, v.flow.dst)) for v in entries[:3]
    )
    return Finding(
        id=f"loss-{row.near}-{row.far}", kind="loss", verdict="proved" if sure else "supported", statement=statement,
        segment=(row.near, row.far), evidence=evidence,
        alternatives=() if sure else ("a capture without drop counters missed them",),
        would_change_it=(f"a capture between {row.near} and {row.far}",),
    )  # fmt: skip


def display_filter(source: str, target: str) -> str:
    """Return a Wireshark display filter for one direction."""
    family = "ipv6" if ":" in source else "ip"
    return f"{family}.src=={source} && {family}.dst=={target}"


def _nothing_lost(grounds: Grounds, measured: Sequence[SegmentRow]) -> list[Finding]:
    """Say with a bound where nothing vanished."""
    clean = [r for r in measured if r.delivered and not lost_on(r)]
    if not clean:
        return []
    smallest = min(r.delivered for r in clean)
    total = sum(1 for r in measured if r.sent and not r.span)
    high = max((r.loss.high for r in clean if r.loss is not None), default=1.0)
    open_count = sum(r.undecided for r in clean)
    statement = (
        f"Nothing vanished on {len(clean)} of {total} measured segment directions (at least {smallest:,} packets each"
    )
    statement += f", so loss is below {percent(high)} on every one)." if high < MOSTLY else ": few)."
    if open_count:
        statement += f" {open_count:,} could not be decided there."
    return [
        Finding(
            id="nothing-lost",
            kind="no-loss",
            verdict="proved" if not grounds.unsound else "supported",
            statement=statement,
            alternatives=(f"degraded captures: {', '.join(grounds.unsound)}",) if grounds.unsound else (),
        )
    ]


def _reset_births(grounds: Grounds) -> list[Finding]:
    """One finding for each place where resets are born."""
    groups: dict[tuple[str, str | None, str | None, str], list[Reset]] = {}
    for reset in grounds.resets:
        groups.setdefault((reset.origin, reset.born_after, reset.born_before, reset.side), []).append(reset)
    found = []
    for (origin, after, before, side), resets in sorted(groups.items(), key=lambda g: -len(g[1])):
        found.append(_birth(origin, after, before, side, resets))
    return found


def _birth(origin: str, after: str | None, before: str | None, side: str, resets: Sequence[Reset]) -> Finding:
    """Word where one group of resets comes from."""
    number = f"{len(resets):,} reset{'s' if len(resets) != 1 else ''}"
    hosts = sorted({r.flow.src for r in resets})
    names = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")  # noqa: PLR2004
    verb = "are" if len(resets) != 1 else "is"
    first = resets[0]
    causes = Counter(r.cause for r in resets)
    verdict: Verdict = "proved"
    alternatives: tuple[str, ...] = ()
    if origin == "network":
        statement = f"{number} claiming to be from {names} {verb} born between {after} and {before}:"
        statement += f" not seen at {after}, which lies nearer to the claimed sender."
    elif origin == "endpoint":
        statement = f"{number} {verb} born at or behind {before}, on the {side}s' side: {names}."
        alternatives = (f"anything between {names} and {before} that sends in its name with the same TTL",)
    else:
        statement = f"{number} claiming to be from {names}, first seen at {before}; the maker is not certain."
        verdict, alternatives = "not-proved", ("the claimed sender", f"a device on the {side}s' side of {before}")
    statement += " Cause: " + ", ".join(f"{c} ({n:,})" for c, n in causes.most_common()) + "."
    frames = dict(first.frames)
    evidence = (Evidence(point=first.first_seen, frame=frames[first.first_seen][0], filter=_reset_filter(first)),)
    return Finding(
        id=f"reset-{after or 'end'}-{before}-{side}", kind="reset-origin", verdict=verdict,
        statement=statement, segment=(after, before), evidence=evidence, alternatives=alternatives,
        would_change_it={
            "network": (f"a capture inside the segment {after} → {before}",),
            "endpoint": (),
        }.get(origin, (f"a capture on the claimed sender ({names})",)),
    )  # fmt: skip


def _reset_filter(reset: Reset) -> str:
    return f"tcp.flags.reset==1 && {display_filter(reset.flow.src, reset.flow.dst)}"


def _bursts(grounds: Grounds) -> list[Finding]:
    """Many flows of one host ended at once."""
    if not grounds.bursts:
        return []
    hosts = sorted({b.host for b in grounds.bursts})
    spread = max(b.spread_ns for b in grounds.bursts)
    flows = sum(b.flows for b in grounds.bursts)
    survivors = sum(b.survivors for b in grounds.bursts)
    statement = (
        f"{len(grounds.bursts):,} time{'s' if len(grounds.bursts) != 1 else ''} several connections of one host"
        f" end at once: {flows:,} flows of {', '.join(hosts[:3])} within {spread / 1e6:.3g} ms;"
        f" {survivors:,} other flows of these hosts lived on."
    )
    return [
        Finding(
            id="bursts",
            kind="burst",
            verdict="supported",
            statement=statement,
            alternatives=("the program ended", "security software closed them", "the host or its link changed"),
            would_change_it=("the application's log at these times",),
        )
    ]


def _attempts(grounds: Grounds) -> list[Finding]:
    """Connection attempts that nobody answered, and whether bursts follow them."""
    targets: dict[str, list[Attempt]] = {}
    for attempt in grounds.attempts:
        targets.setdefault(attempt.target, []).append(attempt)
    found = []
    for target, attempts in sorted(targets.items(), key=lambda t: -len(t[1])):
        clients = sorted({a.client for a in attempts})
        last = sorted({a.last_seen for a in attempts})
        preceded = [b for b in grounds.bursts if _precedes(attempts, b)]
        statement = (
            f"No answer from {target}: {sum(a.syns for a in attempts):,} SYN of {len(attempts):,} attempts"
            f" by {len(clients):,} client{'s' if len(clients) != 1 else ''}, last seen at {', '.join(last)}."
        )
        if preceded:
            statement += (
                f" It comes before {len(preceded):,} of {len(grounds.bursts):,} bursts of resets of the same client."
            )
        found.append(
            Finding(
                id=f"unanswered-{target}",
                kind="syn-unanswered",
                verdict="supported",
                statement=statement,
                segment=(last[0], None) if len(last) == 1 else None,
                evidence=(
                    Evidence(
                        point=attempts[0].last_seen,
                        frame=attempts[0].frame,
                        filter=f"tcp.flags.syn==1 && ip.dst=={target.rsplit(':', 1)[0]}",
                    ),
                ),
                alternatives=(
                    "a filter or policy beyond that point",
                    "a route that leads elsewhere",
                    "the service or its host is down",
                ),
                would_change_it=(f"a capture beyond {', '.join(last)}: host {target.rsplit(':', 1)[0]}",),
            )
        )
    return found


def _precedes(attempts: Sequence[Attempt], burst: Burst) -> bool:
    return any(a.client == burst.host and 0 <= burst.time_ns - a.first_ns <= BEFORE_NS for a in attempts)


def _outer(grounds: Grounds, measured: Sequence[SegmentRow]) -> list[Finding]:
    """What TCP tells of the parts before the first and behind the last point."""
    del measured
    found = []
    for row in grounds.segments:
        if not row.inferred or not (row.holes or row.resent):
            continue
        if row.holes:
            statement = (
                f"Inferred from TCP: {row.holes:,} data ranges were lost before {row.far} (later filled by a resend)."
            )
        else:
            statement = (
                f"Inferred from TCP: {row.resent:,} data packets were sent again after they passed {row.near}:"
                " lost beyond it, their acknowledgement lost, or sent needlessly."
            )
        found.append(
            Finding(
                id=f"outer-{row.near or 'before'}-{row.far or 'beyond'}-{row.direction}",
                kind="outer",
                verdict="supported",
                statement=statement,
                segment=(row.near, row.far),
                would_change_it=("a capture point on that side",),
            )
        )
    return found


def _unmeasured(grounds: Grounds, measured: Sequence[SegmentRow]) -> list[Finding]:
    """Say what was not looked at, so that silence never reads as health."""
    found = []
    if grounds.absent:
        found.append(
            Finding(
                id="absent-points",
                kind="coverage",
                verdict="not-proved",
                statement=f"No capture from {', '.join(grounds.absent)}: the segments beside them are measured as one.",
            )
        )
    if not any(r.sent for r in measured) and len(grounds.points) > 1:
        found.append(
            Finding(
                id="no-shared-traffic",
                kind="coverage",
                verdict="not-proved",
                statement="No packet was seen at two points, so nothing can be said about the segments between them.",
                would_change_it=("captures of the same traffic at the same time",),
            )
        )
    return found


def _headline(grounds: Grounds, measured: Sequence[SegmentRow], findings: Sequence[Finding]) -> Headline:
    """Return the answer."""
    lossy = [r for r in measured if any(f.kind == "loss" and f.segment == (r.near, r.far) for f in findings)]
    made = [r for r in grounds.resets if r.origin == "network"]
    answer, domain, statement = _answer(grounds, measured, lossy, made)
    because = tuple(f.id for f in findings if f.verdict in {"proved", "supported"})[:3]
    decide = tuple(dict.fromkeys(w for f in findings for w in f.would_change_it))[:3]
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
    if made:
        first = made[0]
        return "yes", "policy", f"resets are made in the network, between {first.born_after} and {first.born_before}."
    if lossy:
        worst = max(lossy, key=lost_on)
        return (
            "cannot-tell",
            "segment",
            f"packets probably vanish on {place(worst)}, but no drop counters exclude the capture.",
        )
    return _not_the_network(grounds, measured)


def _not_the_network(grounds: Grounds, measured: Sequence[SegmentRow]) -> tuple[str, str, str]:  # noqa: PLR0911  # one return a case reads best
    """Return the answer where nothing accuses a segment."""
    carried = [r for r in measured if r.sent]
    sides = Counter(r.side for r in grounds.resets if r.origin == "endpoint")
    side = sides.most_common(1)[0][0] if sides else "unknown"
    domain: str = side if side in {"client", "server"} else "unknown"
    if any(_precedes([a], b) for a in grounds.attempts for b in grounds.bursts):
        domain = "policy"
    if not carried:
        if len(grounds.points) > 1:
            return "cannot-tell", "unknown", "no packet was seen at two points, so the path was not measured."
        where = grounds.points[0] if grounds.points else "no point"
        if side != "unknown":
            return (
                "cannot-tell",
                domain,
                f"the resets come from the {side}s' side of {where}; the path itself was not measured.",
            )
        return "cannot-tell", "unknown", f"only {where} was captured: the path itself was not measured."
    weak = sum(r.undecided for r in carried) > MOSTLY * sum(r.sent for r in carried)
    if weak or len(grounds.unsound) > MOSTLY * len(grounds.points):
        return "cannot-tell", domain, "too much could not be decided."
    ends = f"{grounds.points[0]} ↔ {grounds.points[-1]}"
    unknown = [r for r in grounds.resets if r.origin == "unknown"]
    if unknown:
        return (
            "cannot-tell",
            domain,
            f"nothing vanished between the points, but {len(unknown):,} resets have no certain maker.",
        )
    if domain == "policy":
        return (
            "no",
            "policy",
            "nothing vanished on the measured path; what the clients tried just before is answered by nobody.",
        )
    if grounds.resets:
        return "no", domain, f"nothing vanished on {ends} and all resets come from the {side}s."
    most = max(r.delivered for r in carried)
    if most < FEWEST_PACKETS:
        return "cannot-tell", "unknown", f"nothing vanished, but at most {most:,} packets were seen at two points."
    return "no", "unknown", f"nothing vanished on {ends} and nothing was reset."
