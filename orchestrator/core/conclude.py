"""From counts to sentences: findings with numbers, denominators and limits, and the answer.

Nothing here may say more than the counts carry: a finding names its segment, what supports it, what else would
explain it and what would change it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.core.answer import headline
from orchestrator.core.burst_findings import burst_findings
from orchestrator.core.causes import mechanism_findings
from orchestrator.core.changes import change_findings
from orchestrator.core.failures import failure_findings
from orchestrator.core.grounds import PROBABLY_BECAUSE, Grounds, lost_on, place, precedes
from orchestrator.core.markings import marking_findings
from orchestrator.core.names_findings import names_findings
from orchestrator.core.precursor_findings import precursor_findings
from orchestrator.core.series_findings import series_findings
from orchestrator.model.finding import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.analyses.unanswered import Attempt
    from orchestrator.model.finding import Headline, Reset, SegmentRow, Vanished, Verdict

MOSTLY = 0.5


def conclude(grounds: Grounds) -> tuple[list[Finding], Headline]:
    """Return the findings, strongest first, and the headline."""
    measured = [r for r in grounds.segments if not r.inferred]
    findings = [*_loss(grounds, measured), *_reset_births(grounds), *burst_findings(grounds), *_attempts(grounds)]
    findings += [*_nothing_lost(grounds, measured), *_outer(grounds, measured)]
    findings += [
        *mechanism_findings(measured),
        *marking_findings(measured),
        *series_findings(grounds),
        *failure_findings(grounds),
        *names_findings(grounds),
        *precursor_findings(grounds),
        *change_findings(grounds),
        *_unmeasured(grounds, measured),
    ]
    order = {"proved": 0, "supported": 1, "not-proved": 2, "contradicted": 3}
    findings.sort(key=lambda f: order[f.verdict])
    return findings, headline(grounds, measured, findings)


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
        found.append(_loss_finding(row, heavy or entries, Counter(v.kind for v in entries)))
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


def _loss_finding(row: SegmentRow, entries: Sequence[Vanished], kinds: Counter[str]) -> Finding:
    """Word the loss on one row."""
    sure = row.vanished > 0
    statement = f"{lost_on(row):,} of {row.sent:,} packets vanish on {place(row)}"
    if row.loss is not None and row.loss.lost and not row.loss.few:
        statement += f" ({percent(row.loss.rate)}, 95 %: {percent(row.loss.low)}–{percent(row.loss.high)})"
    if row.loss is not None:
        statement += f" in {row.loss.episodes:,} episode{'s' if row.loss.episodes != 1 else ''}"
    statement += f": {row.vanished:,} confirmed, {row.vanished_probable:,} probable"
    statement += "; " + ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common()) + "."
    statement += _effect(row) + _estimate(row)
    if row.span:
        statement += " Points between could not tell on which part of it."
    evidence = tuple(
        Evidence(point=v.last_seen, frame=v.frame, filter=display_filter(v.flow.src, v.flow.dst)) for v in entries[:3]
    )
    return Finding(
        id=f"loss-{row.near}-{row.far}", kind="loss", verdict="proved" if sure else "supported", statement=statement,
        segment=(row.near, row.far), evidence=evidence,
        alternatives=() if sure else PROBABLY_BECAUSE,
        would_change_it=(f"a capture between {row.near} and {row.far}",),
    )  # fmt: skip


def _effect(row: SegmentRow) -> str:
    """Say what became of the data that vanished."""
    resends = row.resends
    if resends is None or not resends.recovered + resends.not_recovered:
        return ""
    total = resends.recovered + resends.not_recovered
    text = f" Of {total:,} TCP segments lost there {resends.recovered:,} came through again"
    if resends.stall_max_ns:
        text += f", mostly after {resends.stall_p50_ns / 1e6:,.3g} ms, at worst {resends.stall_max_ns / 1e6:,.4g} ms"
    return text + "."


def _estimate(row: SegmentRow) -> str:
    """Put the estimate by recapture beside the counts where captures missed packets."""
    survival = row.survival
    if survival is None:
        return ""
    if not survival.distinguishable:
        return " Capture and recapture: so small a loss cannot be told from the misses of these captures."
    return (
        f" Capture and recapture of TCP data: {percent(survival.loss)}"
        f" (95 %: {percent(survival.low)}–{percent(survival.high)})."
    )


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
    if origin == "network" and after is None:
        statement = (
            f"{number} claiming to be from {names} {verb} probably made on the way to {before}: the TTL is another"
        )
        statement += " than that of the claimed sender's packets there."
        verdict, alternatives = "supported", ("the host itself, answering without a socket with another TTL",)
    elif origin == "network":
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
            "network": (
                (f"a capture nearer to {names}",) if after is None
                else (f"a capture inside the segment {after} → {before}",)
            ),
            "endpoint": (),
        }.get(origin, (f"a capture on the claimed sender ({names})",)),
    )  # fmt: skip


def _reset_filter(reset: Reset) -> str:
    return f"tcp.flags.reset==1 && {display_filter(reset.flow.src, reset.flow.dst)}"


def _attempts(grounds: Grounds) -> list[Finding]:
    """Connection attempts that nobody answered, and whether bursts follow them."""
    targets: dict[str, list[Attempt]] = {}
    for attempt in grounds.attempts:
        targets.setdefault(attempt.target, []).append(attempt)
    found = []
    for target, attempts in sorted(targets.items(), key=lambda t: -len(t[1])):
        clients = sorted({a.client for a in attempts})
        last = sorted({a.last_seen for a in attempts})
        preceded = [b for b in grounds.bursts if precedes(attempts, b)]
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
                f" lost beyond it, their acknowledgement lost, or sent needlessly{_needless(row)}."
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


def _needless(row: SegmentRow) -> str:
    count = row.resends.needless if row.resends is not None else 0
    return f" ({count:,} after the acknowledgement had been seen)" if count else ""


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
    if grounds.silent and len(grounds.silent) < len(grounds.points):
        found.append(
            Finding(
                id="silent-points", kind="coverage", verdict="not-proved",
                statement=f"No packet at {', '.join(grounds.silent)}, while other points have some: nothing passed"
                " there, the interface is another one, or a translation that the inventory does not declare hides"
                " packets from the filter.",
                would_change_it=(f"a short capture without filter at {grounds.silent[0]}",),
            )
        )  # fmt: skip
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
