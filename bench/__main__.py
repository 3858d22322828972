"""`python -m bench`: analyse and merge against mergecap, on a pair of captures with known truth, in one run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.jobs import BASELINE, jobs_on, make_pair, missing_tools
from bench.measure import WrongOutcomeError, lowest_peak_mb, run_rounds
from orchestrator import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.jobs import Pair
    from bench.measure import Costs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0, 1 where an outcome is wrong, 2 where it cannot run."""
    options = _options(arguments)
    missing = missing_tools()
    if missing:
        print(f"error: {' and '.join(missing)} not found", file=sys.stderr)
        print("hint: Install Wireshark's command-line tools (Debian: wireshark-common).", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="vanishpoint-bench-", dir=options.scratch) as scratch:
        try:
            pair = make_pair(Path(scratch), options.packets)
            costs = run_rounds(jobs_on(pair), options.rounds, Path(scratch) / "printed")
        except WrongOutcomeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print("\n".join(_table(pair, costs, options.rounds)))
    if options.json is not None:
        options.json.write_text(json.dumps(_document(pair, costs, options.rounds), indent=1) + "\n", encoding="utf-8")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--packets", type=_positive, default=200_000, help="a file (default: 200000)")
    parser.add_argument("--rounds", type=_positive, default=5, help="of all programs in turn (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure and the versions there")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where the captures go (default: a temporary one)")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = "must be at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _table(pair: Pair, costs: Mapping[str, Costs], rounds: int) -> list[str]:
    """Return the report as lines."""
    lines = [
        (
            f"{pair.packets[0]:,} + {pair.packets[1]:,} packets, {len(pair.vanished):,} of them vanish; "
            f"median of {rounds}, every round runs all; all outcomes are as they should be"
        ),
        "",
        f"{'':<22}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'speed vs ' + BASELINE:>20}",
    ]
    floor = lowest_peak_mb()
    for name, cost in costs.items():
        middle = cost.median
        peak = f"{middle.peak_mb:.0f}" if middle.peak_mb > floor + 1 else f"< {floor + 1:.0f}"
        speed = f"{cost.speed_against(costs[BASELINE]):.2f}"
        lines.append(f"{name:<22}{middle.wall_s:>9.3f}{middle.cpu_s:>9.3f}{peak:>9}{speed:>20}")
    return lines


def _document(pair: Pair, costs: Mapping[str, Costs], rounds: int) -> dict[str, Any]:
    """Return all figures for programs."""
    return {
        "packets": list(pair.packets),
        "vanished": len(pair.vanished),
        "rounds": rounds,
        "lowest_visible_peak_mb": lowest_peak_mb(),
        "versions": _versions(),
        "programs": {
            name: {
                "wall_s": [c.wall_s for c in cost.runs],
                "cpu_s": [c.cpu_s for c in cost.runs],
                "peak_mb": [c.peak_mb for c in cost.runs],
                "speed_vs_mergecap": cost.speed_against(costs[BASELINE]),
            }
            for name, cost in costs.items()
        },
    }


def _versions() -> dict[str, str]:
    """Return what ran, so that a figure can be judged later."""
    said = subprocess.run(["mergecap", "--version"], check=True, capture_output=True, text=True).stdout
    return {
        "vanishpoint": __version__,
        **{name: version(name) for name in ("numpy", "numba")},
        "python": platform.python_version(),
        "mergecap": said.splitlines()[0].removesuffix("."),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}",
    }


if __name__ == "__main__":
    sys.exit(main())
