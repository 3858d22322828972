"""Print what a run measured: a row a program, then every goal and whether it is met."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bench.jobs import ANALYSE
from bench.measure import ratio
from orchestrator import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.goals import Goal
    from bench.measure import Measured

VERDICTS = {True: "met", False: "MISSED", None: "not measured"}


def programs(measured: Measured) -> list[str]:
    """Return a row for each program, below the captures it worked on."""
    lines = [f"{'':<40}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'rounds':>8}{'/ analyse':>11}"]
    heading = ""
    for (group, name), costs in measured.items():
        if group != heading:
            heading = group
            lines += ["", group]
        against = ratio([costs], measured[group, ANALYSE], "wall_s")
        lines.append(
            f"  {name:<38}{costs.median('wall_s'):>9.3f}{costs.median('cpu_s'):>9.3f}{costs.median('peak_mb'):>9.0f}"
            f"{len(costs.runs):>8}{against:>10.2f}×  {costs.remark}".rstrip()
        )
    return lines


def verdicts(goals: Sequence[Goal]) -> list[str]:
    """Return a line for each goal, and one that sums up."""
    lines = [f"{'goal':<60}{'wanted':>12}{'is':>12}"]
    for goal in goals:
        wanted = f"{'≥' if goal.at_least else '≤'} {goal.limit:g} {goal.unit}".rstrip()
        value = "–" if goal.value is None else f"{goal.value:.3g} {goal.unit}".rstrip()
        if goal.value is not None and goal.value >= 1000:
            value = f"{goal.value:,.0f} {goal.unit}".rstrip()
        lines.append(f"{goal.text:<60}{wanted:>12}{value:>12}  {VERDICTS[goal.is_met]}")
    missed = [goal.text for goal in goals if goal.is_met is False]
    unknown = sum(goal.is_met is None for goal in goals)
    known = len(goals) - unknown
    said = f"{len(missed)} of {known} goals are missed: {'; '.join(missed)}" if missed else f"all {known} goals are met"
    return [*lines, "", said + (f"; {unknown} were not measured" if unknown else "")]


def document(measured: Measured, goals: Sequence[Goal]) -> dict[str, Any]:
    """Return all figures for programs."""
    return {
        "versions": versions(),
        "programs": [
            {
                "captures": group, "program": name, "remark": costs.remark, "rounds": sorted(costs.runs),
                "wall_s": [cost.wall_s for cost in costs.runs.values()],
                "cpu_s": [cost.cpu_s for cost in costs.runs.values()],
                "peak_mb": [cost.peak_mb for cost in costs.runs.values()],
            }
            for (group, name), costs in measured.items()
        ],
        "goals": [
            {
                "goal": goal.text, "limit": goal.limit, "at_least": goal.at_least, "unit": goal.unit,
                "value": goal.value, "met": goal.is_met,
            }
            for goal in goals
        ],
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Return what ran, so that a figure can be judged later."""
    said = subprocess.run(["mergecap", "--version"], check=True, capture_output=True, text=True).stdout
    return {
        "vanishpoint": __version__,
        **{name: version(name) for name in ("numpy", "numba", "scapy")},
        "python": platform.python_version(),
        "mergecap": said.splitlines()[0].removesuffix("."),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}",
    }
