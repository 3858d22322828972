"""What clients met before their failures, held against what they and others met when nothing failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.finding import FlowKey, Verdict

Failed = Literal["burst", "reset", "silent", "unanswered"]
"""Several connections that their client reset at once; a single one; one that got no answer any more; an attempt to
open one that got none."""
Met = Literal[
    "syn-unanswered", "syn-refused", "icmp-prohibited", "icmp-unreachable", "dns-failure", "dns-no-answer", "dns-slow",
    "tls-alert", "retransmissions", "heartbeat-missed", "zero-window", "stall", "reset-received",
    "reset-sent",
]  # fmt: skip


FEWEST_ALIKE = 2
"""Failures that must all have met it where too few, or nothing to compare with, prove nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encounter:
    """Something that went wrong for one client on one flow."""

    client: str
    time_ns: int
    """When the client met it: of an attempt, its first SYN."""
    kind: Met
    target: str
    """address:port, or the address of a name server."""
    flow: FlowKey | None = None
    """From client to server; None where it has no connection."""
    point: str = ""
    frame: int = 0
    """There, 1-based; 0 where no frame shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What failed for one client, and what of the same kind followed so closely that it is the same."""

    client: str
    time_ns: int
    """Of the first."""
    until_ns: int
    """Of the last."""
    kind: Failed
    flows: tuple[FlowKey, ...] = ()
    """From client to server."""
    point: str = ""
    frame: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """Odds ratio over matched sets (Mantel and Haenszel), 95 % by Robins, Breslow and Greenland."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Precursor:
    """One thing met before failures, with its denominators."""

    failure: Failed
    event: Met
    target: str | None
    """None for all targets together, where none of them alone is enough."""
    cases: int
    exposed_cases: int
    controls: int
    exposed_controls: int
    own_controls: int
    """Of these, windows of the same client at other times; the others are of other clients at the same time."""
    exposed_own_controls: int
    p: float
    """The larger one of both comparisons, where both can be made."""
    q: float
    odds: Odds | None
    lead_ns: int
    """Median time from it to the failure."""
    lead_low_ns: int
    lead_high_ns: int
    """Quartiles."""
    clients: int
    """That met it before a failure."""
    verdict: Verdict
    too_few: bool
    """Fewer cases than a comparison needs."""
    unfollowed: int = 0
    """How often any client met it and nothing of the kind failed for it behind."""
    confounded: bool = False
    """Comparisons in which it must not matter show it as well."""
    reasons: tuple[str, ...] = ()
    """Why it is not supported."""
    examples: tuple[Encounter, ...] = ()

    @property
    def always(self) -> bool:
        """Say whether it came before all failures, two at least, and nobody met it in this run without one."""
        before_all = self.exposed_cases == self.cases >= FEWEST_ALIKE
        return before_all and not (self.exposed_controls or self.unfollowed or self.confounded)

    @property
    def stands_out(self) -> bool:
        """Say whether it is supported, or would be if there were more to compare with."""
        return self.verdict == "supported" or self.too_few or self.always


@dataclass(frozen=True, slots=True, kw_only=True)
class Precursors:
    """All of a run, or of several together."""

    failures: tuple[Failure, ...] = ()
    """In order of time."""
    failures_in_all: int = 0
    rows: tuple[Precursor, ...] = ()
    """The likeliest first."""
    before_ns: int = 0
    """How far back was looked."""
    tests: int = 0
    """Kinds of things met that were compared."""
    compared: int = 0
    """Failures of the commonest kind that could be held both against other times and against other clients."""
    incomplete: tuple[str, ...] = ()
    """What is listed in part, so that some of it may be missing here."""
