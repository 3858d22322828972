"""Run programs one after the other, in rounds, and read from the kernel what each of them cost.

Two programs are compared fairly only where both ran under the same load: so every round runs all of them, and
ratios are taken within a round before their median is.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
LAUNCHER = Path(__file__).with_name("launch.py")
READ_BYTES = 1 << 20
Figure = Literal["wall_s", "cpu_s", "peak_mb"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is said of an outcome."""

    complaint: str | None = None
    """What is wrong with it, so that its time means nothing."""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program of the comparison."""

    group: str
    """What it works on."""
    name: str
    argv: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    """Read before it starts, so that it finds them in memory; not timed."""
    writes: tuple[Path, ...] = ()
    """Removed before and after; not timed."""
    check: Callable[[str], Checked] = lambda _: Checked()
    """Judge the outcome, given the text printed; not timed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    seldom: bool = False
    """It takes too long to run in every round."""
    stands_for: int = 0
    """Packets that its time is scaled to, from those that it says it handled; 0: as measured."""

    @property
    def key(self) -> tuple[str, str]:
        """What tells its row from all others."""
        return self.group, self.name


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a program took."""

    wall_s: float
    cpu_s: float
    """User and system, of the program and all its children."""
    peak_mb: float


@dataclass(slots=True)
class Costs:
    """All runs of one program, by round."""

    runs: dict[int, Cost] = field(default_factory=dict)
    remark: str = ""

    def median(self, figure: Figure) -> float:
        """Return the median of one figure."""
        return statistics.median(_figure(cost, figure) for cost in self.runs.values())


Measured = dict[tuple[str, str], Costs]


class WrongOutcomeError(Exception):
    """A program failed or computed something that is not true; its time means nothing."""


def ratio(above: Sequence[Costs], below: Costs, figure: Figure) -> float:
    """Return the median, over the rounds that all took part in, of the sum *above* divided by *below*."""
    common = set(below.runs).intersection(*(costs.runs for costs in above))
    return statistics.median(
        sum(_figure(costs.runs[k], figure) for costs in above) / _figure(below.runs[k], figure) for k in common
    )


def _figure(cost: Cost, figure: Figure) -> float:
    return float(getattr(cost, figure))


def run_rounds(
    jobs: Sequence[Job], rounds: int, slow_rounds: int, scratch: Path, tell: Callable[[str], None]
) -> Measured:
    """Return the costs of *jobs* by group and name; one round before the first is not counted, it fills caches.

    Raises:
        WrongOutcomeError: An outcome is wrong.
    """
    measured: Measured = {job.key: Costs() for job in jobs}
    for number in range(-1, rounds):
        for job in _turn(jobs, number):
            if job.seldom and not 0 <= number < slow_rounds:
                continue
            cost, measured[job.key].remark = run_job(job, scratch)
            if number >= 0:
                measured[job.key].runs[number] = cost
            what = f"round {number + 1} of {rounds}" if number >= 0 else "to warm up"
            tell(f"{what}: {job.name}, {job.group}: {cost.wall_s:.3f} s")
    return measured


def _turn(jobs: Sequence[Job], number: int) -> Iterator[Job]:
    """Begin each round with another program, so that nobody always follows the same neighbour."""
    turn = max(number, 0) % len(jobs)
    yield from jobs[turn:]
    yield from jobs[:turn]


def run_job(job: Job, scratch: Path) -> tuple[Cost, str]:
    """Run *job* once, check its outcome and return its cost and what is remarked."""
    _remove(job.writes)
    for path in job.reads:
        _read(path)
    os.sync()  # what the program before wrote must not be written on this one's time
    printed = scratch / "printed"
    argv = [sys.executable, "-I", "-S", str(LAUNCHER), str(printed), *job.argv]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **job.environment}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
    seen = json.loads(done.stdout)
    text = printed.read_text(encoding="utf-8", errors="replace")
    checked = job.check(text) if seen["exit_code"] == 0 else Checked(f"ended with {seen['exit_code']}\n{text}")
    _remove(job.writes)
    if checked.complaint is not None:
        msg = f"{job.name}, {job.group}: {checked.complaint}"
        raise WrongOutcomeError(msg)
    return _scaled(job, Cost(seen["wall_s"], seen["cpu_s"], seen["peak_mb"]), text), checked.remark


def _scaled(job: Job, cost: Cost, text: str) -> Cost:
    """Scale the time of the packets that the program says it handled, without its start, to all."""
    if not job.stands_for:
        return cost
    said = json.loads(text)
    factor = job.stands_for / said["packets"]
    return Cost(said["wall_s"] * factor, said["cpu_s"] * factor, cost.peak_mb)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as data:
        while data.read(READ_BYTES):
            pass
