"""What is changed on the way, a line a segment: translations, marks, numbers; the usual fall of the TTL is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.model.changes import Modification
    from orchestrator.model.finding import SegmentRow

TITLES = {
    "src": "source", "dst": "target", "sport": "source port", "dport": "target port", "dscp": "DSCP", "ecn": "ECN",
    "ip_id": "IP identification", "mss": "segment size (MSS)", "seq": "sequence numbers",
    "ack": "acknowledgement numbers", "tsval": "timestamps", "tsecr": "echoed timestamps", "icmp_id": "ICMP id",
    "ttl": "TTL", "segmentation": "cut into other segments", "header": "another TCP header", "window": "TCP window",
    "flags": "TCP flags", "timestamps": "timestamps option",
}  # fmt: skip
MOST_CHANGES = 2
"""Listed for each field; all of them stand in result.json."""


def changed_lines(rows: Sequence[SegmentRow]) -> list[str]:
    """Return one sentence for each segment and direction on which something is changed.

    Of a stretch over several segments, what none of those shows: the points between may be blind to it.
    """
    named = {(r.direction, m.field) for r in rows if not r.span for m in r.modifications}
    lines = []
    for row in rows:
        told = [m for m in row.modifications if not row.span or (row.direction, m.field) not in named]
        if told:
            lines.append(f"{row.near} → {row.far}: " + "; ".join(_field(m) for m in told))
    return lines


def _field(m: Modification) -> str:
    title = TITLES[m.field]
    if not m.changes or len(m.changes) > MOST_CHANGES:
        return f"{title} in {m.packets:,} of {m.of:,}"
    if m.field == "ttl":
        return f"{title} " + ", ".join(f"{c.after:+} instead of {c.before:+} in {c.packets:,} of {c.of:,}"
                                       for c in m.changes)  # fmt: skip
    return f"{title} " + ", ".join(f"{c.before}→{c.after} in {c.packets:,} of {c.of:,}" for c in m.changes)
