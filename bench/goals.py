"""What was promised, and whether a run keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.jobs import ANALYSE, FIRST, MERGE, MERGECAP, MERGECAP_DISK, NAIVE, SCAPY, TSHARK, group_of
from bench.measure import ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.measure import Measured
    from bench.truth import Truth

PEAK_MB = 400.0
GROWTH_PERCENT = 15.0


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise and what became of it."""

    text: str
    limit: float
    unit: str
    value: float | None = None
    """None: not measured in this run."""
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """None: not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def speed_goals(measured: Measured, truth: Truth) -> list[Goal]:
    """Return the goals against mergecap, which hold for every size of frame."""
    group = group_of(truth)
    analyse, merge = measured[group, ANALYSE], measured[group, MERGE]
    disk = measured[group, MERGECAP_DISK]
    peak = max(analyse.median("peak_mb"), merge.median("peak_mb"))
    return [
        Goal("analyse / mergecap -w /dev/null, wall", 0.8, "×", ratio([analyse], measured[group, MERGECAP], "wall_s")),
        Goal("merge / mergecap to disk, wall", 0.6, "×", ratio([merge], disk, "wall_s")),
        Goal("analyse + merge / mergecap to disk, CPU", 1.2, "×", ratio([analyse, merge], disk, "cpu_s")),
        Goal("peak memory of analyse and merge", PEAK_MB, "MB", peak),
    ]


def rival_goals(measured: Measured, truth: Truth) -> list[Goal]:
    """Return the goals against slow programs."""
    group = group_of(truth)
    analyse = measured[group, ANALYSE]
    wanted = ((TSHARK, 60.0), (SCAPY, 1000.0), (NAIVE, 12.0))
    return [
        Goal(f"{name} / analyse, wall", limit, "×", ratio([measured[group, name]], analyse, "wall_s"), at_least=True)
        for name, limit in wanted
    ]


def start_goals(measured: Measured, small: Truth) -> list[Goal]:
    """Return the goals of captures that take no time themselves."""
    group = group_of(small)
    first = measured.get((group, FIRST))
    took_s = None if first is None else first.median("wall_s")
    announced = None if first is None else float("announced" in first.remark)
    return [
        Goal("analyse of 2 × 1,000 packets, warm", 1.0, "s", measured[group, ANALYSE].median("wall_s")),
        Goal("the same with nothing compiled", 30.0, "s", took_s),
        Goal("announcements of that on the screen", 1.0, "", announced, at_least=True),
    ]


def growth_goals(measured: Measured, series: Mapping[str, Sequence[tuple[Truth, Truth]]]) -> list[Goal]:
    """Return the goals of growth; *series* holds pairs of captures and small ones with as many points."""
    goals = []
    for what in ("packets", "points"):
        pairs = series.get(what)
        spread = _spread([per_packet_ns(measured, *pair) for pair in pairs]) if pairs else None
        goals.append(Goal(f"time per packet, fixed cost off, over {what}: spread", GROWTH_PERCENT, "%", spread))
    grown = [measured[group_of(t), ANALYSE].median("peak_mb") for pairs in series.values() for t, _ in pairs]
    goals.append(Goal("peak memory of analyse, largest of the growth rows", PEAK_MB, "MB", max(grown, default=None)))
    return goals


def per_packet_ns(measured: Measured, truth: Truth, small: Truth) -> float:
    """Return the time of a packet of *truth* without what *small* captures take too."""
    costs, fixed = measured[group_of(truth), ANALYSE], measured[group_of(small), ANALYSE]
    more_s = costs.median("wall_s") - fixed.median("wall_s")
    return more_s / (truth.total - small.total) * 1e9


def _spread(values: list[float]) -> float:
    """Return by how many per cent the largest exceeds the smallest."""
    return (max(values) / min(values) - 1) * 100
