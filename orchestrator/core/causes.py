"""Sentences about why packets vanish on a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.grounds import place
from orchestrator.model.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.model.finding import SegmentRow

TITLES = {
    "congestion": ("congestion, a full queue", "drop counters of the queue at the sending device"),
    "policer": ("a policer", "policer counters and the rate that was agreed"),
    "random": ("random loss", "error counters (CRC) at both ends of every link of the segment"),
    "bundle-member": ("one bad link of several in parallel", "error counters of each member link"),
    "mtu-black-hole": ("an MTU black hole", "pings of that size that may not be fragmented, hop by hop"),
    "outage": ("an outage", "link and routing logs of the devices at that time"),
    "policy-drop": ("a filter or policy", "the filter's log and its last change"),
}
"""By cause: how it is called, and what would confirm it."""


def mechanism_findings(measured: Sequence[SegmentRow]) -> list[Finding]:
    """Return one finding for each segment and direction of which the captures tell why packets vanish."""
    found = []
    for row in measured:
        mechanism = row.mechanism
        if mechanism is None or mechanism.cause not in TITLES:
            continue
        title, confirms = TITLES[mechanism.cause]
        found.append(
            Finding(
                id=f"mechanism-{row.near}-{row.far}", kind="mechanism", verdict="supported",
                statement=f"The loss on {place(row)} looks like {title}: {mechanism.detail}.",
                segment=(row.near, row.far), alternatives=mechanism.against, would_change_it=(confirms,),
            )
        )  # fmt: skip
    return found
