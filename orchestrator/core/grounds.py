"""What sentences are made from, and how a segment is called in one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.model.names import Names
from orchestrator.model.precursor import Precursors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.core.analyses.unanswered import Attempt
    from orchestrator.model.connection import Connection
    from orchestrator.model.finding import Burst, Reset, SegmentRow, Undecided, Vanished
    from orchestrator.model.series import SeriesLoss

BEFORE_NS = 30_000_000_000
"""How long before a burst an unanswered attempt is put beside it."""
PROBABLY_BECAUSE = (
    "a capture without drop counters that missed them",
    "a translation or a route that the inventory does not know",
)
"""What keeps a loss from being certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What the sentences are made from."""

    points: tuple[str, ...]
    unsound: tuple[str, ...]
    """Points whose capture is degraded or unusable."""
    absent: tuple[str, ...]
    silent: tuple[str, ...]
    """Points that captured no packet at all."""
    segments: Sequence[SegmentRow]
    vanished: Sequence[Vanished]
    undecided: Sequence[Undecided]
    resets: Sequence[Reset]
    bursts: Sequence[Burst]
    attempts: Sequence[Attempt]
    window: tuple[int, int] | None
    flows: tuple[str, ...] = ()
    """Of the playbook."""
    relays: Sequence[tuple[str, str, int]] = ()
    """(near, far, connections that end between them and begin anew)."""
    translations: Sequence[tuple[str, str, str, str]] = ()
    """(near, far, inside, outside) as seen."""
    declared: Sequence[tuple[str, str, str]] = ()
    """(node, inside, outside) as the inventory says."""
    has_plan: bool = False
    series: Sequence[SeriesLoss] = ()
    connections: Sequence[Connection] = ()
    survived_ns: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """By point the silences, at least a second each, that connections seen there survived."""
    names: Names = field(default_factory=Names)
    """What messages in the clear tell."""
    precursors: Precursors = field(default_factory=Precursors)
    """What failed for clients, and what they met before."""


def place(row: SegmentRow) -> str:
    """Return how a segment is called in a sentence."""
    near, far = row.near or "before", row.far or "beyond"
    line = f" ({row.name}{', circuit ' + row.circuit if row.circuit else ''})" if row.name else ""
    return f"{near} → {far}{line}"


def lost_on(row: SegmentRow) -> int:
    """Return how many tokens vanished on a row, certain and probable."""
    return row.vanished + row.vanished_probable


def precedes(attempts: Sequence[Attempt], burst: Burst) -> bool:
    """Say whether the burst's host made one of *attempts* in vain shortly before."""
    return any(a.client == burst.host and 0 <= burst.time_ns - a.first_ns <= BEFORE_NS for a in attempts)
