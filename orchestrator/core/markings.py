"""Sentences about marks in headers that a network sets or changes: the class of service, and congestion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.grounds import place
from orchestrator.model.finding import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.model.changes import Change, Modification
    from orchestrator.model.finding import SegmentRow

FEW_WORTH_A_SENTENCE = 3
"""Fewer remarked packets stand in result.json alone."""
CONGESTED = "ce"
EXPEDITED = 46


def marking_findings(measured: Sequence[SegmentRow]) -> list[Finding]:
    """Return what is to be said about the class of service and about congestion marks."""
    found = []
    named = {(r.direction, m.field) for r in measured if not r.span for m in r.modifications}
    for row in measured:
        for change in row.modifications:
            if row.span and (row.direction, change.field) in named:
                continue
            if change.field == "dscp" and change.packets >= FEW_WORTH_A_SENTENCE:
                found.append(_remarked(row, change))
            elif change.field == "ecn":
                found += _congested(row, change) + _bleached(row, change)
    return found


def class_name(dscp: int | str) -> str:
    """Return a code point with the name that its class has (RFC 4594), if it has one."""
    value = int(dscp)
    drop, group = value % 8 // 2, value // 8
    if value == 0:
        return "0 (best effort)"
    if value == EXPEDITED:
        return "46 (EF)"
    if value % 8 == 0:
        return f"{value} (CS{group})"
    if value % 2 == 0 and 1 <= group <= 4 and 1 <= drop <= 3:  # noqa: PLR2004  # the four assured classes
        return f"{value} (AF{group}{drop})"
    return str(value)


def _remarked(row: SegmentRow, change: Modification) -> Finding:
    """Word a change of the class of service."""
    parts = [f"{c.packets:,} of {c.of:,} packets from {class_name(c.before)} to {class_name(c.after)}"
             for c in change.changes]  # fmt: skip
    what = "; ".join(parts) or f"{change.packets:,} of {change.of:,} packets"
    return Finding(
        id=f"marking-{row.near}-{row.far}", kind="marking", verdict="proved",
        statement=f"The class of service (DSCP) changes on {place(row)}: {what}, the first of {change.flow}."
        " Behind it they are queued by the new value.",
        segment=(row.near, row.far), evidence=_evidence(row, change, "ip.dsfield.dscp"),
        would_change_it=(f"the marking rules of what stands between {row.near} and {row.far}",),
    )  # fmt: skip


def _congested(row: SegmentRow, change: Modification) -> list[Finding]:
    """Word marks that a queue sets when it is about to drop."""
    marked = [c for c in change.changes if c.after == CONGESTED]
    if not marked:
        return []
    count, of = sum(c.packets for c in marked), sum(c.of for c in marked)
    return [
        Finding(
            id=f"congestion-marks-{row.near}-{row.far}", kind="congestion-marks", verdict="proved",
            statement=f"{count:,} of {of:,} packets that allow it were marked CE (congestion experienced) on"
            f" {place(row)}: a queue there was filling.",
            segment=(row.near, row.far), evidence=_evidence(row, change, "ip.dsfield.ecn"),
            would_change_it=("the queue's own counters at that time",),
        )
    ]  # fmt: skip


def _bleached(row: SegmentRow, change: Modification) -> list[Finding]:
    """Word marks that a device takes away: senders then never hear of the congestion."""
    lost = [c for c in change.changes if c.before == CONGESTED or (c.after == "not-ect" and c.before != c.after)]
    if not lost:
        return []
    return [
        Finding(
            id=f"ecn-removed-{row.near}-{row.far}", kind="marking", verdict="proved",
            statement=f"ECN marks are taken away on {place(row)}: {_listed(lost)}. Senders do not hear of"
            " congestion before it.",
            segment=(row.near, row.far), evidence=_evidence(row, change, "ip.dsfield.ecn"),
            would_change_it=(f"the marking rules of what stands between {row.near} and {row.far}",),
        )
    ]  # fmt: skip


def _listed(changes: Sequence[Change]) -> str:
    return ", ".join(f"{c.before} becomes {c.after} in {c.packets:,} of {c.of:,} packets" for c in changes)


def _evidence(row: SegmentRow, change: Modification, field: str) -> tuple[Evidence, ...]:
    """Point to the first such packet at the near point."""
    if row.near is None or change.frame is None or change.flow is None:
        return ()
    family = "ipv6" if ":" in change.flow.src else "ip"
    name = field if family == "ip" else field.replace("ip.dsfield", "ipv6.tclass")
    text = f"{name} && {family}.src=={change.flow.src} && {family}.dst=={change.flow.dst}"
    return (Evidence(point=row.near, frame=change.frame, filter=text),)
