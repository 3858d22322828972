"""Cases in which the reason of every loss on the one lossy segment is known."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.offline import analyse_files, segment
from tests.support.pathsim.cases import Case, Point, Traffic, make
from tests.support.pathsim.faults import Bursts, Chance, Member, Narrow, Outage, Policer, Policy, Queue
from tests.support.pathsim.network import START_NS
from tests.support.pathsim.taps import Clock
from tests.support.pathsim.tcp import Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.model.finding import SegmentRow
    from tests.support.pathsim.faults import Fault

QUIET = (0.0,) * 5
CALL_PORT = 30_000
PORTS = range(40_000, 40_012)
"""Of the connections that every case has."""
TRUTHS = {
    "queue": "congestion", "policer": "policer", "chance": "random", "bursts": "random", "member": "bundle-member",
    "narrow": "mtu-black-hole", "outage": "outage", "policy": "policy-drop", "few": "not-distinguishable",
}  # fmt: skip
"""What should be said of each fault."""


def _fault(name: str, draw: random.Random) -> Fault:
    """Return one fault of its kind, its numbers drawn."""
    begins = START_NS + draw.randrange(200_000_000, 500_000_000)
    kinds: dict[str, Callable[[], Fault]] = {
        "queue": lambda: Queue(draw.uniform(10e6, 40e6), draw.randrange(20_000, 70_000)),
        "policer": lambda: Policer(draw.uniform(10e6, 30e6), draw.randrange(12_000, 40_000)),
        "bursts": lambda: Bursts(draw.uniform(0.01, 0.03), draw.uniform(0.1, 0.4), draw.uniform(0.6, 1.0)),
        "member": lambda: _bundle(Member(draw.randrange(3, 6), draw.uniform(0.08, 0.3))),
        "narrow": lambda: Narrow(draw.randrange(1_280, 1_480)),
        "outage": lambda: Outage(begins, begins + draw.randrange(200_000_000, 900_000_000)),
        "policy": lambda: Policy(CALL_PORT),
        "few": lambda: Chance(0.01),
        "chance": lambda: Chance(draw.uniform(0.015, 0.05)),
    }
    return kinds[name]()


def _bundle(bundle: Member) -> Member:
    """Let at least three and at most half of the connections take the bad link."""
    while not 3 <= sum(bundle.is_bad(port) for port in PORTS) <= len(PORTS) // 2:
        bundle.salt += 1
    return bundle


def mechanism_case(name: str, seed: int) -> tuple[Case, Fault]:
    """Return the case number *seed* of the fault *name*."""
    draw = random.Random(f"{name} {seed}")
    traffic = Traffic(draw.randrange(12, 20), 8, draw.randrange(60_000, 120_000), "fin", 60, 20, 30, 20)
    if name == "few":
        traffic = replace(traffic, connections=4, turns=6)
    case = Case(
        seed=draw.getrandbits(32), points=2, loss=QUIET, jitter_us=draw.choice((5, 20, 100)),
        stack=Stack(window=draw.choice((10, 20, 30)), timestamps=draw.random() < 0.7),
        captures=(Point(reports=True), Point(clock=Clock(draw.randrange(10**10), draw.uniform(-50, 50)), reports=True)),
        traffic=traffic,
    )  # fmt: skip
    return case, _fault(name, draw)


def judged(name: str, seed: int) -> SegmentRow:
    """Let the case happen; return the row of the lossy segment and direction."""
    case, fault = mechanism_case(name, seed)
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch), {(1, True): fault})
        result = analyse_files(Path(scratch), made.files)
    return segment(result, "p0", "p1")
