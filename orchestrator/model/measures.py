"""What is measured on one segment and direction, as values of result.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Doubt = Literal["", "below-uncertainty", "offset-unknown", "clocks-contradict"]
Kind = Literal["tcp-data", "tcp-control", "udp", "icmp", "other"]
Cause = Literal[
    "congestion", "policer", "random", "bundle-member", "mtu-black-hole", "outage", "policy-drop", "not-distinguishable"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRate:
    """One-way loss ratio (RFC 7680) with a 95 % interval over episodes."""

    rate: float
    low: float
    high: float
    episodes: int
    lost: int = 0
    eligible: int = 0

    @property
    def few(self) -> bool:
        """Say whether there are so few episodes that only the counts are worth a sentence."""
        return 0 < self.episodes < FEW_EPISODES


FEW_EPISODES = 5
"""Below this no method tried gave an interval that covers what it promises (ALGORITHMS C.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One-way delay (RFC 7679), nanoseconds; every value carries the uncertainty of both clocks."""

    min: int
    p50: int
    p95: int
    p99: int
    max: int
    uncertainty: int | None
    p999: int = 0
    samples: int = 0
    doubt: Doubt = ""
    """Why the one-way values cannot be defended; empty where they can."""
    late: int = 0
    """Arrived more than ``waited`` after the fastest: lost by RFC 7680, counted as delivered here."""
    waited: int = 0

    @property
    def variation(self) -> tuple[int, int, int, int] | None:
        """Return p50, p95, p99 and maximum of the delay less its minimum (RFC 5481 PDV): free of any clock offset."""
        if self.doubt == "clocks-contradict":
            return None
        return self.p50 - self.min, self.p95 - self.min, self.p99 - self.min, self.max - self.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordering:
    """Packets that later ones of their flow overtook on a segment (RFC 4737)."""

    packets: int
    of: int
    """Packets seen at both ends."""
    extent_p50: int = 0
    extent_max: int = 0
    """Packets of the flow that arrived from the first overtaker on."""
    by_three: int = 0
    """Overtaken by at least the three before it: what TCP takes for a loss."""
    late_p50_ns: int = 0
    late_max_ns: int = 0
    """How long after the first overtaker they arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One number that a judgement rests on."""

    name: str
    value: float
    of: int
    """Sample size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """Why packets vanish on a segment, as far as the captures tell."""

    cause: Cause
    losses: int
    episodes: int
    detail: str
    """What was seen, as the middle of a sentence."""
    statistics: tuple[Statistic, ...] = ()
    against: tuple[str, ...] = ()
    """What speaks against it, or was not excluded."""
    interval_ns: tuple[int, int] | None = None
    """Of an outage: last packet before and first after it at the near point, reference clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resends:
    """TCP data that was sent again, by what became of the copy before it; and the effect of what vanished."""

    died: int = 0
    died_probable: int = 0
    """The copy before vanished on this segment."""
    ack_died: int = 0
    """The copy before arrived, and an acknowledgement of it vanished on this segment."""
    recovered: int = 0
    not_recovered: int = 0
    """Data that vanished on this segment, by whether a copy of it got through."""
    stall_p50_ns: int = 0
    stall_max_ns: int = 0
    """From a lost copy to the one that got through."""
    behind: int = 0
    """The copy before passed the last point unanswered: it, or its acknowledgement, was lost beyond."""
    needless: int = 0
    """It had arrived, and its acknowledgement was on the way or had passed the first point."""
    undecided: int = 0
    probes: int = 0
    """Tail loss probes, counted nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """Loss estimated by capture and recapture, where captures missed packets: no verdicts, only a rate."""

    loss: float
    low: float
    high: float
    tokens: int
    near_capture: float | None
    """Chance that the near point captured what passed it; None where nothing before it tells."""
    far_capture: float | None
    distinguishable: bool
    """False where so small a loss may be an artefact of so poor a capture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a point saw of the packets of one class and direction that passed it."""

    kind: Kind
    direction: Literal["forward", "reverse"]
    passed: int
    """Seen both nearer and farther on their way."""
    seen: int
