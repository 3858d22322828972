"""The command line of `python -m bench`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK = {"packets": 200_000, "rounds": 2, "scapy_sample": 2_000, "naive_sample": 50_000, "first_run": False}
SMALL = 1_000
"""Packets of the captures that take no time themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is measured."""

    scenario: Scenario
    rounds: int
    slow_rounds: int
    scapy_sample: int
    naive_sample: int
    first_run: bool
    full_size: bool
    growth: bool
    growth_packets: tuple[int, ...]
    growth_points: tuple[int, ...]
    scratch: Path | None
    json: Path | None

    def small(self, points: int = 2) -> Scenario:
        """Return what shows the fixed cost."""
        return replace(self.scenario, packets=SMALL, points=points)

    def grown(self) -> tuple[list[Scenario], list[Scenario]]:
        """Return what shows growth: by packets, and by points."""
        fewest = min(self.growth_packets)
        return (
            [replace(self.scenario, packets=packets, points=2) for packets in self.growth_packets],
            [replace(self.scenario, packets=fewest, points=points) for points in self.growth_points],
        )

    def scenarios(self) -> list[Scenario]:
        """Return everything that must be generated, each once."""
        wanted = [self.scenario, self.small()]
        if self.full_size:
            wanted.append(replace(self.scenario, snaplen=0))
        if self.growth:
            by_packets, by_points = self.grown()
            wanted += [*by_packets, *by_points, *(self.small(points) for points in self.growth_points)]
        return list(dict.fromkeys(wanted))


def read_options(arguments: Sequence[str] | None) -> Settings:
    """Return the settings; `--quick` changes defaults, what is given still counts."""
    parser = _parser()
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    given = vars(parser.parse_args(arguments))
    given.pop("quick")
    shape = {name: given.pop(name) for name in ("packets", "points", "loss", "seed")}
    return Settings(scenario=Scenario(**shape), **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Measure analyse and merge beside what others offer, in one run, on captures with known truth.",
    )  # fmt: skip
    plain = Scenario()
    add = parser.add_argument
    add("--quick", action="store_true", help="few packets and rounds: does everything run, are outcomes right")
    add("--packets", type=_positive, default=plain.packets, help="a point")
    add("--points", type=_points, default=plain.points, help="2 to 12")
    add("--loss", type=float, default=plain.loss, help="share of packets that the line loses")
    add("--seed", type=int, default=plain.seed, help="another one makes other captures")
    add("--rounds", type=_positive, default=5, help="of all programs in turn")
    add("--slow-rounds", type=_positive, default=1, help="in which tshark, scapy and the like take part")
    add("--scapy-sample", type=_positive, default=20_000, help="packets that scapy reads; scaled to all")
    add("--naive-sample", type=_positive, default=500_000, help="packets a file for the naive program; scaled to all")
    add("--first-run", action=argparse.BooleanOptionalAction, default=True, help="measure a run with nothing compiled")
    add("--full-size", action="store_true", help="also on whole frames: several gigabytes")
    add("--growth", action="store_true", help="also from few to many packets and points: long")
    add("--growth-packets", type=_numbers, default="1000000,2000000,5000000,10000000,20000000", help="with two points")
    add("--growth-points", type=_numbers, default="2,4,8,12", help="with the fewest of those packets")
    add("--scratch", type=Path, metavar="DIR", help="keep captures there for the next run; None: a temporary folder")
    add("--json", type=Path, metavar="FILE", help="write every figure and the versions there")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = "must be at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _points(text: str) -> int:
    number = int(text)
    if not 2 <= number <= 12:
        msg = "must be from 2 to 12"
        raise argparse.ArgumentTypeError(msg)
    return number


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))
