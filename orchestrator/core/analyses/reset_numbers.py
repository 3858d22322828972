"""Whether a reset continues its claimed sender's own packets: TTL, IP identification, timestamps (ALGORITHMS D.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from orchestrator.model.columns import MARK_TIMESTAMPS, RST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.reset_around import Around
    from orchestrator.model.columns import Packets

    Fit = Literal["follows", "breaks", "unknown"]

UNTOUCHED_TTLS = frozenset((64, 128, 255))
"""What hosts begin with: a packet that still has it met no router."""
FEWEST_ALIKE = 3
"""Packets of the claimed sender that must agree before another value means anything."""
COUNTS = 0.8
"""Share of steps that must be small for a sender's identifications to be a counter."""
LONGEST_STEP, STRICT_STEP = 64, 6
"""Largest step of a counter that all of a busy host shares, and what a counter of one connection may go on by."""
SLACK_TICKS = 50
FASTEST_CLOCK = 1.2e-6
"""Ticks a nanosecond of the fastest usual timestamp clock (1 kHz, a little fast)."""
SPAN_NS = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How a reset's numbers stand to those of its claimed sender."""

    ttl: int
    usual_ttl: int | None
    """Of the claimed sender's other packets at the same point; None where there are none."""
    ttl_always: bool
    """Whether all of them, and enough, bear that one."""
    ip_id: Fit
    tsval: Fit
    said: tuple[str, ...]
    """In words."""

    @property
    def foreign_ttl(self) -> bool:
        """Say whether its TTL accuses another sender: one that meets a router, where the host has always another."""
        near = self.ttl in UNTOUCHED_TTLS and self.usual_ttl in UNTOUCHED_TTLS
        return self.ttl_always and self.usual_ttl != self.ttl and not near

    @property
    def other_ttl(self) -> bool:
        """Say whether its TTL is another one than that of the few or many packets that are known."""
        return self.usual_ttl not in {None, self.ttl}

    @property
    def hops(self) -> int:
        """Return how many routers it met, if it began as hosts and devices usually do."""
        return min(ttl for ttl in UNTOUCHED_TTLS if ttl >= self.ttl) - self.ttl

    @property
    def own(self) -> bool:
        """Say whether a counter that only its claimed sender knows goes on in it."""
        return self.usual_ttl == self.ttl and "follows" in {self.ip_id, self.tsval} - {"unknown"} and not self.broken

    @property
    def broken(self) -> bool:
        """Say whether a counter of its claimed sender does not go on in it."""
        return "breaks" in {self.ip_id, self.tsval}


def compare_numbers(around: Around, host: NDArray[np.int64]) -> Numbers:
    """Return how the reset fits; *host* are rows of the claimed sender's other flows at the same point."""
    packets, row = around.packets, around.row
    own = np.concatenate((around.own, around.own_after))
    usual, always = _usual_ttl(packets, own if len(around.flagged(own, RST, 0)) else host)
    ttl = int(packets.ttl[row])
    said = [] if usual is None else [_say_ttl(ttl, usual, elsewhere=not len(own))]
    before = around.own[packets.ttl[around.own] == usual]
    fit, text = _ip_id(packets, row, before, host)
    said += [text] if text else []
    stamps, text = _tsval(around)
    said += [text] if text else []
    return Numbers(ttl=ttl, usual_ttl=usual, ttl_always=always, ip_id=fit, tsval=stamps, said=tuple(said))


def _usual_ttl(packets: Packets, rows: NDArray[np.int64]) -> tuple[int | None, bool]:
    """Return the TTL most of *rows* bear, and whether all of them, and enough, do."""
    plain = rows[(packets.flags[rows] & RST) == 0]
    if not len(plain):
        return None, False
    values, counts = np.unique(packets.ttl[plain], return_counts=True)
    usual = int(values[np.argmax(counts)])
    return usual, len(values) == 1 and int((packets.ttl[rows] == usual).sum()) >= FEWEST_ALIKE


def _say_ttl(ttl: int, usual: int, *, elsewhere: bool) -> str:
    whose = "its claimed sender's packets of other connections" if elsewhere else "its claimed sender's other packets"
    return f"TTL {ttl}, as {whose}" if ttl == usual else f"TTL {ttl} where {whose} have {usual}"


def _ip_id(packets: Packets, row: int, own: NDArray[np.int64], host: NDArray[np.int64]) -> tuple[Fit, str]:
    """Say whether the identification goes on counting, within the connection or over all of the host's packets."""
    number = int(packets.ip_id[row])
    for rows, whose in ((own, "its connection"), (np.sort(np.concatenate((own, host))), "its host")):
        before = rows[rows < row]
        step = _longest_step(packets.ip_id[before])
        if step is None:
            continue
        last = int(packets.ip_id[before[-1]])
        ahead = (number - last) & 0xFFFF
        if 0 < ahead <= step:
            return "follows", f"IP identification {number} follows the last of {whose} by {ahead}"
        if number and step <= STRICT_STEP and rows is own:  # without a socket nothing is numbered; hosts may be busy
            return "breaks", f"IP identification {number} does not go on from {last}"
    return "unknown", ""


def _longest_step(numbers: NDArray[np.uint16]) -> int | None:
    """Return how far a counter may go on in one step, None where *numbers* are none."""
    values = numbers.astype(np.int64)
    steps = (values[1:] - values[:-1]) & 0xFFFF
    if len(steps) < FEWEST_ALIKE:
        return None
    small = steps[(steps > 0) & (steps <= LONGEST_STEP)]
    return 2 * int(small.max()) + 2 if len(small) >= COUNTS * len(steps) else None


def _tsval(around: Around) -> tuple[Fit, str]:
    """Say whether the timestamp goes on as the sender's clock does."""
    packets = around.packets
    stamped = around.own[(packets.marks[around.own] & MARK_TIMESTAMPS) > 0]
    if not packets.marks[around.row] & MARK_TIMESTAMPS or not len(stamped):
        return "unknown", ""
    last = int(stamped[-1])
    passed = around.at_ns - int(around.time_ns[last])
    ticks = (int(packets.tsval[around.row]) - int(packets.tsval[last])) & 0xFFFFFFFF
    rate = _rate(around, stamped)
    if ticks <= 1.5 * rate * max(passed, 0) + SLACK_TICKS:
        return "follows", f"its timestamp goes on {ticks:,} ticks after {max(passed, 0) / 1e6:,.1f} ms"
    return "breaks", f"its timestamp does not go on from its claimed sender's ({ticks:,} ticks ahead)"


def _rate(around: Around, stamped: NDArray[np.int64]) -> float:
    """Return the ticks a nanosecond of the sender's clock, at least those of the fastest usual one."""
    first, last = int(stamped[0]), int(stamped[-1])
    span = int(around.time_ns[last] - around.time_ns[first])
    ticks = (int(around.packets.tsval[last]) - int(around.packets.tsval[first])) & 0xFFFFFFFF
    return max(ticks / span if span >= SPAN_NS and ticks < 1 << 31 else 0.0, FASTEST_CLOCK)
