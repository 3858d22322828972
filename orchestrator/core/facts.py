"""What is known about every point's capture before a packet is judged: since when, until when, and how well it saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.members import extent
from orchestrator.core.mirrors import find_mirror_losses, joined
from orchestrator.core.verdicts import PointFacts
from orchestrator.model.columns import MARK_CUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analysis import Observed
    from orchestrator.core.members import Members
    from orchestrator.core.mirrors import MirrorLosses
    from orchestrator.model.clock import ClockModel
    from orchestrator.model.columns import Packets

DRAIN_NS = 1_500_000_000
"""tcpdump may not have written what arrived so shortly before it was stopped (LAB §7)."""


def gather_facts(
    observed: Sequence[Observed], mirrors: Sequence[MirrorLosses], clocks: Sequence[ClockModel],
    corrected: NDArray[np.int64], point: NDArray[np.uint8], window: tuple[int, int] | None, post_roll_ns: int,
    members: Members, origin: NDArray[np.int64],
) -> list[PointFacts]:  # fmt: skip
    """Return since when and until when each point captured, and how well."""
    facts = []
    stepped = sum(abs(size) for clock in clocks for _, size in clock.steps)
    member = members.of_row[origin] if max(members.counts, default=1) > 1 else members.of_row
    for number, (one, mirror, clock) in enumerate(zip(observed, mirrors, clocks, strict=True)):
        times = corrected[point == number]
        start, end = (int(times.min()), int(times.max())) if len(times) else (0, -1)
        if members.counts[number] > 1 and not one.captured_whole_window:
            start, end = extent(times, member[point == number], members.counts[number])
        if window is not None and one.captured_whole_window:
            start = min(start, window[0]) if len(times) else window[0]
            end = max(end, window[1] + max(0, post_roll_ns - DRAIN_NS)) if len(times) else window[1]
        facts.append(
            PointFacts(
                start_ns=start,
                end_ns=end,
                kernel_drops=one.kernel_drops,
                packets=len(one.packets),
                complete=one.complete,
                uncertainty_ns=clock.uncertainty_ns,
                gaps_ns=joined(clock.to_reference(_blind(one, mirror, stepped))),
                stepped_ns=sum(abs(size) for _, size in clock.steps),
                cut_protocols=_cut_protocols(one.packets),
                members=members.counts[number],
                member=member if members.counts[number] > 1 and not one.captured_whole_window else None,
            )
        )
    return facts


def lost_by_mirrors(
    observed: Sequence[Observed], time_ns: NDArray[np.int64], point: NDArray[np.uint8]
) -> list[MirrorLosses]:
    """Return what the mirror of each point lost; times and points by frame."""
    return [find_mirror_losses(one.packets, time_ns[point == number]) for number, one in enumerate(observed)]


def _blind(one: Observed, mirror: MirrorLosses, stepped: int) -> NDArray[np.int64]:
    """Return the times, on its own clock, in which a point's files or its mirror show nothing.

    They are wider by all steps, *stepped*, of all clocks: nobody knows on which side of a step they lie, and packets in
    one direction alone do not tell whose clock it was.
    """
    gaps = np.concatenate((np.array(one.gaps_ns, np.int64).reshape(-1, 2), mirror.gaps_ns))
    widened: NDArray[np.int64] = gaps + np.array([-stepped, stepped])
    return widened


def _cut_protocols(packets: Packets) -> tuple[int, ...]:
    """Return the protocols of packets whose headers were cut."""
    cut = (packets.marks & MARK_CUT) > 0
    return tuple(np.unique(packets.protocol[cut]).tolist()) if cut.any() else ()
