"""Run programs one after the other, in rounds, and read from the kernel what each of them cost.

Two programs are compared fairly only where both ran under the same load: so every round runs all of them, and
ratios are taken within a round before their median is.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program of the comparison."""

    name: str
    argv: tuple[str, ...]
    clean: Callable[[], None]
    """Remove what an earlier run left; not timed."""
    check: Callable[[str], str | None]
    """Say what is wrong with the outcome, given the text printed; not timed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a program took."""

    wall_s: float
    cpu_s: float
    """User and system."""
    peak_mb: float


@dataclass(slots=True)
class Costs:
    """All runs of one program, by round."""

    runs: list[Cost] = field(default_factory=list)

    @property
    def median(self) -> Cost:
        """The median of each figure by itself."""
        return Cost(
            statistics.median(c.wall_s for c in self.runs),
            statistics.median(c.cpu_s for c in self.runs),
            statistics.median(c.peak_mb for c in self.runs),
        )

    def speed_against(self, other: Costs) -> float:
        """Return how many times as fast as *other* this was: the median of the ratios of each round."""
        return statistics.median(o.wall_s / c.wall_s for c, o in zip(self.runs, other.runs, strict=True))


class WrongOutcomeError(Exception):
    """A program failed or computed something that is not true; its time means nothing."""


def run_rounds(jobs: Sequence[Job], rounds: int, printed: Path) -> dict[str, Costs]:
    """Return the costs of *jobs* by name; one round before the first is not counted, it fills caches.

    Args: printed is a scratch file for what a program prints.

    Raises:
        WrongOutcomeError: An outcome is wrong.
    """
    costs = {job.name: Costs() for job in jobs}
    for number in range(-1, rounds):
        turn = max(number, 0) % len(jobs)
        for job in (*jobs[turn:], *jobs[:turn]):  # nobody always follows the same neighbour
            job.clean()
            cost = _run(job, printed)
            if number >= 0:
                costs[job.name].runs.append(cost)
    return costs


def lowest_peak_mb() -> float:
    """Return the memory below which no peak can be seen: the kernel lets a child start with its parent's."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _run(job: Job, printed: Path) -> Cost:
    """Run *job* once and check its outcome."""
    with printed.open("wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(job.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait for it again
    text = printed.read_text(encoding="utf-8", errors="replace")
    wrong = job.check(text) if child.returncode == 0 else f"ended with {child.returncode}\n{text}"
    if wrong is not None:
        msg = f"{job.name}: {wrong}"
        raise WrongOutcomeError(msg)
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
