"""Everything the analysis says, as one value; result.json is its written form (DESIGN §10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orchestrator.model.names import Names
from orchestrator.model.precursor import Precursors

if TYPE_CHECKING:
    from orchestrator.model.clock import ClockModel
    from orchestrator.model.connection import Connection
    from orchestrator.model.finding import Burst, Expected, Finding, Headline, Reset, SegmentRow, Undecided, Vanished
    from orchestrator.model.measures import Coverage
    from orchestrator.model.run import FileRecord
    from orchestrator.model.series import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class PointResult:
    """One point's part in the result."""

    name: str
    node: str | None
    order: int
    packets: int
    first_ns: int | None
    """Raw, on the point's own clock."""
    last_ns: int | None
    link_type: str
    quality: Literal["good", "degraded", "unusable"]
    reasons: tuple[str, ...]
    kernel_drops: int | None
    capture_miss_rate: float
    offloads: tuple[str, ...]
    files: tuple[tuple[FileRecord, int], ...]
    """Files in order, with their packet counts."""
    clock: ClockModel
    not_decoded: tuple[tuple[str, int], ...] = ()
    """Frames without IP by what they are, the most first."""
    coverage: tuple[Coverage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathResult:
    """Points between two ends, nearest to the client first."""

    name: str
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The whole of result.json, except when and by what it was made."""

    run_id: str
    name: str
    about: str
    headline: Headline
    points: tuple[PointResult, ...]
    absent: tuple[tuple[str, str], ...]
    """(point, why) for points of the plan that delivered nothing."""
    paths: tuple[PathResult, ...]
    segments: tuple[SegmentRow, ...]
    vanished: tuple[Vanished, ...]
    undecided: tuple[Undecided, ...]
    resets: tuple[Reset, ...]
    bursts: tuple[Burst, ...]
    translations: tuple[tuple[str, str, str, str], ...]
    """(near point, far point, inside, outside) as learned."""
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    window: tuple[int, int] | None
    ticket: str | None
    expect: tuple[Expected, ...] = ()
    series: tuple[Series, ...] = ()
    """Numbers in the clear of encrypted and media packets."""
    connections: tuple[Connection, ...] = ()
    connections_in_all: int = 0
    """More than there are entries, where there are very many."""
    names: Names = field(default_factory=Names)
    """What messages in the clear tell."""
    precursors: Precursors = field(default_factory=Precursors)
    """What failed for clients, and what they met before."""
    suggested_order: tuple[str, ...] | None = None
    """A path order that the packets speak for, where the given one is contradicted beyond doubt."""
    order_warning: str | None = None
