"""What a verdict on a token is made of: codes, reasons, the facts about a point, and the kinds of packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.proxies import Proxied
from orchestrator.model.columns import ACK, RST, TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets

NONE, CONFIRMED, PROBABLE, UNDECIDED = 0, 1, 2, 3
"""Verdict codes: NONE means nothing is missing at the end of the token's route."""

REASONS = (
    "",
    "window-edge",
    "lossy-capture",
    "no-coverage",
    "ambiguous",
    "encrypted",
    "proxied",
    "late",
    "routed-elsewhere",
)
EDGE, LOSSY, BLIND, AMBIGUOUS, ENCRYPTED, PROXIED, ELSEWHERE = 1, 2, 3, 4, 5, 6, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFacts:
    """What is known about one point's capture, times on the reference clock."""

    start_ns: int
    end_ns: int
    kernel_drops: int | None
    packets: int
    complete: bool = True
    """False where the platform does not see everything: such a point never accuses."""
    uncertainty_ns: int | None = 0
    gaps_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """Beginning and end of times in which packets are missing in its files."""
    stepped_ns: int = 0
    """By how much its clock was set in all while it captured."""
    cut_protocols: tuple[int, ...] = ()
    """Protocols of which it kept less than the headers somewhere: it does not tell which packet that was."""
    members: int = 1
    """Interfaces that captured side by side; start and end are those of the time in which all of them did."""
    member: NDArray[np.uint8] | None = None
    """By packet row: the interface that saw it, where there are several."""

    @property
    def doubt_ns(self) -> int:
        """Return how far its times may be off: by its uncertainty, and near a step by the whole step."""
        return (self.uncertainty_ns or 0) + self.stepped_ns


@dataclass(slots=True, kw_only=True)
class Verdicts:
    """Arrays by token unless said otherwise."""

    verdict: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    last_seen: NDArray[np.int16]
    """Last point of its route that saw it, in the direction of travel; -1 where unknown."""
    missing_at: NDArray[np.int16]
    """First trustworthy point that should have seen it and did not; -1 where there is none."""
    counted: NDArray[np.bool_]
    """Inside the window of the run."""
    certified: NDArray[np.bool_]
    """Acknowledged though missing: the captures missed it."""
    superseded: NDArray[np.bool_]
    recovered: NDArray[np.bool_]
    modified: NDArray[np.bool_]
    """Reached the far side in another shape: re-cut, or with changed fields."""
    reshaped: NDArray[np.uint8]
    """Whether it may have come by in another shape (core.reshaped)."""
    time_ns: NDArray[np.int64]
    """First seen, reference clock."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    """Place in the byte stream (TCP)."""
    acked: NDArray[np.int64]
    stream: NDArray[np.int64]
    """The byte stream that start, end and acked are places in: the flow direction, anew behind every relay; the
    opposite one is ``stream ^ 1``."""
    miss_rate: list[float] = field(default_factory=list)
    """By point: share of tokens that it missed though they passed."""
    suspected: list[float] = field(default_factory=list)
    """The same of data that nothing tells from its repetitions, so that one of them may have been taken for another."""
    missed: list[int] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)
    """By point: tokens that provably passed it, seen there or not."""
    proxied: Proxied = field(default_factory=lambda: Proxied(*np.zeros((2, 0, 0), np.bool_)))
    """Where connections end on the way and begin anew."""
    islands: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    """By flow direction and point: whether it looks there like nowhere else (core.islands)."""
    stall_ns: NDArray[np.int64] | None = None
    """By vanished token: until a copy of it got through, -1 where none did; None where nobody asked."""
    some_missed: bool = False
    """Whether any capture of the run shows that it missed packets."""

    def claims(self) -> NDArray[np.bool_]:
        """Say by token whether it is called vanished, confirmed or probable."""
        claimed: NDArray[np.bool_] = (self.verdict == CONFIRMED) | (self.verdict == PROBABLE)
        return claimed & (self.missing_at >= 0)

    def withdraw(self, which: NDArray[np.bool_] | NDArray[np.int64], reason: int) -> None:
        """Leave *which* tokens undecided, for a *reason*."""
        self.verdict[which] = UNDECIDED
        self.reason[which] = reason
        self.missing_at[which] = -1


def kinds(packets: Packets, tokens: Tokens) -> NDArray[np.uint8]:
    """Return by token an index into KINDS, by the precedence of DESIGN §10."""
    first = tokens.first_row
    protocol, flags = packets.protocol[first], packets.flags[first]
    tcp = protocol == TCP
    kind = np.full(len(tokens), KINDS.index("other"), np.uint8)
    kind[(protocol == 1) | (protocol == 58)] = KINDS.index("icmp")  # noqa: PLR2004
    kind[protocol == UDP] = KINDS.index("udp")
    kind[tcp] = KINDS.index("ack")
    kind[tcp & (packets.payload[first] > 0)] = KINDS.index("data")
    kind[tcp & ((flags & 1) > 0)] = KINDS.index("fin")
    kind[tcp & ((flags & 2) > 0)] = KINDS.index("syn")
    kind[tcp & ((flags & 2) > 0) & ((flags & ACK) > 0)] = KINDS.index("synack")
    kind[tcp & ((flags & RST) > 0)] = KINDS.index("rst")
    return kind


KINDS = ("data", "syn", "synack", "fin", "rst", "ack", "udp", "icmp", "other")
