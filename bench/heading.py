"""The lines above the table: what was measured, on what, and how."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.room import remark
from bench.scenario import Scenario
from bench.table import versions
from bench.truth import FOUND_AT_LEAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Measured
    from bench.options import Settings
    from bench.truth import Truth


def heading(settings: Settings, captures: Sequence[Truth], measured: Measured) -> list[str]:
    """Return what a reader must know to judge the table; the first of *captures* are those that all programs read."""
    versioned = ", ".join(f"{name} {what}" for name, what in versions().items())
    lines = [f"{time.strftime('%Y-%m-%d')}, {versioned}", *_captures(captures[0]), *_rounds(settings, measured)]
    if settings.scenario.packets < Scenario().packets:
        lines.append(
            f"NOTE the goals are for {Scenario().packets:,} packets a point; fixed costs weigh more in this run"
        )
    if note := remark([truth.scenario for truth in captures]):
        lines.append(f"NOTE {note}")
    return lines


def _captures(truth: Truth) -> list[str]:
    scenario = truth.scenario
    traffic = f"{truth.total:,} packets in {scenario.points} captures"
    loss = f"{scenario.loss:.2%} of data, acknowledgements and datagrams are lost, {len(truth.lost):,} in all"
    clocks = f"clocks {scenario.offset_ns / 1e6:g} ms and {scenario.drift_ppb / 1000:g} ppm apart"
    return [f"{traffic}; {loss};", f"{clocks}; seed {scenario.seed}"]


def _rounds(settings: Settings, measured: Measured) -> list[str]:
    floor_mb = min(costs.median("peak_mb") for costs in measured.values())
    seldom = f"what is slow ran {settings.slow_rounds} ×"
    return [
        f"medians of {settings.rounds} rounds, each of which runs all in turn, inputs in memory; {seldom};",
        "the time of a sample is without start and scaled to all packets; to disk means handed to the system;",
        f"no peak below {floor_mb:.0f} MB can be seen; every outcome is held against the truth:",
        f"nothing else is called vanished, {FOUND_AT_LEAST:.0%} of what must be found is: all but twins and ends",
    ]
