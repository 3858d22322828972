"""What the analysis says: rows of result.json as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.changes import Modification
    from orchestrator.model.measures import Delay, LossRate, Mechanism, Reordering, Resends, Survival
    from orchestrator.model.series import SeriesLoss

Direction = Literal["forward", "reverse"]
Origin = Literal["endpoint", "network", "unknown"]
Family = Literal["active", "stateless", "unknown"]
Side = Literal["client", "server", "unknown"]
Verdict = Literal["proved", "supported", "not-proved", "contradicted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowKey:
    """Five-tuple of one direction."""

    protocol: str
    src: str
    sport: int
    dst: str
    dport: int

    def __str__(self) -> str:
        """Return the flow as a person writes it."""
        if self.protocol in {"tcp", "udp"}:
            return f"{self.protocol} {self.src}:{self.sport} → {self.dst}:{self.dport}"
        return f"{self.protocol} {self.src} → {self.dst}"

    def turned(self) -> FlowKey:
        """Return the other direction."""
        return FlowKey(protocol=self.protocol, src=self.dst, sport=self.dport, dst=self.src, dport=self.sport)


@dataclass(slots=True, kw_only=True)
class SegmentRow:
    """One segment and direction; ``near`` and ``far`` in the direction of travel, None beyond the outermost point."""

    near: str | None
    far: str | None
    direction: Direction
    inferred: bool = False
    span: bool = False
    contains: tuple[str, ...] = ()
    name: str | None = None
    circuit: str | None = None
    holes: int = 0
    resent: int = 0
    series: SeriesLoss | None = None
    """On a part before a point: what numbers in the clear tell of it."""
    sent: int = 0
    delivered: int = 0
    vanished: int = 0
    vanished_probable: int = 0
    unseen: int = 0
    undecided: int = 0
    modified: int = 0
    """Delivered with something changed that ``modifications`` names."""
    modifications: tuple[Modification, ...] = ()
    hops: int | None = None
    """By how much the TTL usually falls; None where no packet was seen at both ends."""
    duplicated: int = 0
    reordered: int = 0
    loss: LossRate | None = None
    delay: Delay | None = None
    round_trip_ns: int | None = None
    """Smallest delay there and back: free of any clock offset."""
    reordering: Reordering | None = None
    survival: Survival | None = None
    resends: Resends | None = None
    mechanism: Mechanism | None = None
    """Why packets vanish here; None where hardly any do."""
    resets: int = 0
    """Resets born on this segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """One token that vanished."""

    flow: FlowKey
    kind: str
    bytes: int
    last_seen: str
    first_missing: str
    verdict: Literal["confirmed", "probable"]
    time_ns: int
    frame: int
    """At ``last_seen``, 1-based."""
    recovered: bool
    superseded: bool
    stall_ns: int | None = None
    """Until a copy of it got through; None where none did, or it needed none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """How many tokens could not be decided on a segment, and why."""

    reason: str
    count: int
    near: str | None
    far: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """One RST token."""

    flow: FlowKey
    time_ns: int
    first_seen: str
    seen: tuple[str, ...]
    born_after: str | None
    born_before: str | None
    origin: Origin
    family: Family
    cause: str
    confidence: float
    evidence: tuple[str, ...]
    frames: tuple[tuple[str, tuple[int, ...]], ...]
    side: Side
    """On which side of the first point that saw it the claimed sender lies."""
    supports: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    would_decide: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Many flows of one host reset within milliseconds."""

    host: str
    time_ns: int
    flows: int
    """Connections that it reset."""
    servers: int
    open_flows: int
    """Of the host when the burst began; flows + survivors + quiet."""
    survivors: int
    """Its connections that carried packets of its own afterwards."""
    quiet: int
    """Its connections that were open, were not reset, and of which nothing of its own was seen again."""
    spread_ns: int
    went_on: bool | None
    """Whether anything at all of this host was seen afterwards; None where the captures end too soon to tell."""
    bystanders: int
    """Other hosts with connections to the same servers that lived on."""
    together: tuple[str, ...]
    """Other hosts with a burst of their own at the same time."""
    first_seen: str
    frames: tuple[int, ...]
    """Of the resets that were first seen there, at most ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where a reader can check a finding."""

    point: str
    frame: int
    filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence with its proof and its limits."""

    id: str
    kind: str
    verdict: Verdict
    statement: str
    segment: tuple[str | None, str | None] | None = None
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[str, ...] = ()
    would_change_it: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What became of one expectation of the playbook."""

    name: str
    outcome: Literal["pass", "fail", "undecidable"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The answer."""

    network: Literal["yes", "no", "cannot-tell"]
    domain: Literal["segment", "policy", "client", "server", "name-service", "unknown"]
    statement: str
    flows: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    because: tuple[str, ...] = ()
    would_decide_it: tuple[str, ...] = field(default=())
