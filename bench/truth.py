"""What is true of invented captures, and what an analysis of them says: the two must not differ."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.scenario import SECOND_NS, Scenario

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EDGE_NS = 3 * SECOND_NS
"""What is lost nearer than this to an end of the captures may rightly be left undecided."""
FOUND_AT_LEAST = 0.99
LOST = np.dtype([("point", "i1"), ("frame", "i8"), ("up", "?"), ("kind", "u1"), ("eligible", "?")])
"""A lost packet: the point that saw it last, its frame number there from 1, and whether it must be found: not at an end
of the captures, and not one of several that are bit for bit the same."""
DATA, PURE_ACK, DATAGRAM = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Truth:
    """The captures of a scenario and what happened to their packets."""

    folder: Path
    scenario: Scenario
    lost: NDArray[np.void]
    packets: tuple[int, ...]
    """In the file of each point."""
    start_ns: int

    @property
    def files(self) -> tuple[Path, ...]:
        """The captures, nearest to the clients first."""
        return tuple(self.folder / f"{name}.pcap" for name in self.scenario.names)

    @property
    def total(self) -> int:
        """The packets of all files."""
        return sum(self.packets)

    def save(self) -> None:
        """Write the truth beside the captures; it comes last, so captures with a truth are whole."""
        np.save(self.folder / "lost.npy", self.lost)
        facts = {"scenario": asdict(self.scenario), "packets": self.packets, "start_ns": self.start_ns}
        (self.folder / "truth.json").write_text(json.dumps(facts), encoding="utf-8")


def load_truth(folder: Path) -> Truth:
    """Read what `Truth.save` wrote."""
    facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    scenario = Scenario(**facts["scenario"])
    return Truth(folder, scenario, np.load(folder / "lost.npy"), tuple(facts["packets"]), facts["start_ns"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an analysis fares against the truth."""

    wrong: int
    """Packets that are called vanished and are not."""
    found: int
    eligible: int
    """Lost packets that must be found, of which `found` are called vanished."""
    doubts: tuple[str, ...] = field(default=())
    """Other things that are said and not so."""

    @property
    def complaint(self) -> str | None:
        """What is wrong with it; None where nothing is."""
        said = list(self.doubts)
        if self.wrong:
            said.append(f"{self.wrong:,} packets are called vanished and are not")
        if self.found < FOUND_AT_LEAST * self.eligible:
            said.append(f"only {self.found:,} of {self.eligible:,} losses are found")
        return "; ".join(said) or None


def judge(run: Path, truth: Truth) -> Outcome:
    """Hold the run directory *run* against *truth*."""
    claimed = _claims(run / "vanished.jsonl", truth.scenario)
    lost = {(int(row["point"]), int(row["frame"]), bool(row["up"])): bool(row["eligible"]) for row in truth.lost}
    eligible = {key for key, must in lost.items() if must}
    doubts = _clock_doubts(json.loads((run / "result.json").read_text(encoding="utf-8")), truth)
    return Outcome(len(claimed - set(lost)), len(claimed & eligible), len(eligible), tuple(doubts))


def _claims(path: Path, scenario: Scenario) -> set[tuple[int, int, bool]]:
    """Return (point, frame, towards the servers) of everything that is called vanished."""
    number = {name: k for k, name in enumerate(scenario.names)}
    claimed = set()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            last, missing = number[entry["last_seen"]], number[entry["first_missing"]]
            if abs(missing - last) != 1:
                claimed.add((-1, entry["frames"][entry["last_seen"]][0], False))  # on no segment that there is
            claimed.update((last, frame, missing > last) for frame in entry["frames"][entry["last_seen"]])
    return claimed


def _clock_doubts(result: dict[str, Any], truth: Truth) -> list[str]:
    """Return where a clock is said to be elsewhere than it is, beyond the uncertainty that is said."""
    offsets, drifts = truth.scenario.clocks()
    doubts = []
    for point in result["points"]:
        clock, number = point["clock"], truth.scenario.names.index(point["name"])
        passed_ns = _nanoseconds(clock["at"]) - truth.start_ns
        true_ns = int(offsets[number]) + int(drifts[number]) * passed_ns // SECOND_NS
        error_ns = abs(clock["offset_ns"] - true_ns)
        if clock["method"] != "reference" and error_ns > clock["uncertainty_ns"] + 1000:
            doubts.append(f"the clock of {point['name']} is {error_ns} ns off, ±{clock['uncertainty_ns']} was said")
    return doubts


def _nanoseconds(text: str) -> int:
    """Return a time that a result states, in ns since the epoch."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * SECOND_NS + int(rest.ljust(9, "0"))
