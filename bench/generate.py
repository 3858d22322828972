"""Write captures with known truth: `python -m bench.generate FOLDER [--packets N] [--points P] [--snaplen BYTES] …`.

Data, acknowledgements and datagrams are lost alike, and TCP behaves accordingly: see `flow_kernels`.
"""

from __future__ import annotations

import argparse
import struct
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.flow_kernels import ACK, DATAGRAMS, DOWNLOAD, FLOW, ROW, TRIES, UPLOAD, play
from bench.frame_kernels import RECORD, digest, render
from bench.scenario import SECOND_NS, Scenario
from bench.truth import DATA, DATAGRAM, EDGE_NS, LOST, PURE_ACK, Truth, load_truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

START_NS = 1_700_000_000 * SECOND_NS
KIND_SHARES = ((UPLOAD, 0.27), (DOWNLOAD, 0.63), (DATAGRAMS, 0.10))
V6_SHARE = 0.05
SHORTEST, SHAPE, LONGEST = 12, 1.3, 3000
"""Segments of a flow: a Pareto distribution, most flows are short and most segments are in long ones."""
GAP_NS = (2e6, 12e6)
BURST = (2, 11)
CHUNK = 1 << 16
"""Packets that are rendered at once."""
LONGEST_FRAME = 1600


def generate(folder: Path, scenario: Scenario) -> Truth:
    """Write a capture a point and the truth to *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    flows = _flows(scenario)
    rows, times = _played(flows, scenario)
    twins = _twins(rows, flows)
    lost, packets = [], []
    for point, name in enumerate(scenario.names):
        order = _order(times[:, point])
        _write(folder / f"{name}.pcap", scenario, point, flows, rows, order, times[order, point])
        lost.append(_lost_at(point, rows[order], times[order, point], flows, twins[order]))
        packets.append(len(order))
    truth = Truth(folder, scenario, np.concatenate(lost), tuple(packets), START_NS)
    truth.save()
    return truth


def provide(folder: Path, scenario: Scenario) -> Truth:
    """Return the captures of *scenario* below *folder*; they are made if no earlier call made them."""
    place = folder / scenario.key()
    return load_truth(place) if (place / "truth.json").exists() else generate(place, scenario)


def _flows(scenario: Scenario) -> NDArray[np.void]:
    """Draw more flows than will be needed, in no order of time."""
    random = np.random.default_rng(scenario.seed)
    count = scenario.packets // SHORTEST + 16
    flows = np.zeros(count, FLOW)
    longest = max(SHORTEST, min(LONGEST, scenario.packets // 16))
    flows["segments"] = np.minimum(SHORTEST * random.random(count) ** (-1 / SHAPE), longest)
    flows["start"] = random.integers(0, scenario.duration_ns, count)
    flows["gap"] = random.uniform(*GAP_NS, count)
    flows["burst"] = random.integers(*BURST, count)
    kinds, shares = zip(*KIND_SHARES, strict=True)
    flows["kind"] = random.choice(kinds, count, p=shares)
    flows["v6"] = random.random(count) < V6_SHARE
    return flows


def _played(flows: NDArray[np.void], scenario: Scenario) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return every packet that was sent, and when it passed each point, -1 where it did not."""
    room = scenario.packets + 2 * TRIES * int(flows["segments"].max()) + 16
    rows, times = np.zeros(room, ROW), np.full((room, scenario.points), -1, np.int64)
    count, _ = play(flows, rows, times, scenario.packets, scenario.loss, scenario.reordered, scenario.seed)
    digest(rows[:count])
    return rows[:count], times[:count]


def _order(passed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the packets that passed a point, in the order in which they did."""
    seen = np.flatnonzero(passed >= 0)
    return seen[np.argsort(passed[seen], kind="stable")]


def _twins(rows: NDArray[np.void], flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which packets are bit for bit another one: IPv6 acknowledgements that are repeated within a millisecond.

    If one of two such packets is lost, nothing in the captures tells which of them it was.
    """
    twins = np.zeros(len(rows), np.bool_)
    alike = np.flatnonzero((rows["size"] == 0) & (flows["v6"][rows["flow"]] == 1))
    same = rows[alike][["flow", "up", "flags", "seq", "ack", "tsval", "tsecr"]]
    _, kind, count = np.unique(same, return_inverse=True, return_counts=True)
    twins[alike] = count[kind] > 1
    return twins


def _lost_at(
    point: int, rows: NDArray[np.void], times: NDArray[np.int64], flows: NDArray[np.void], twins: NDArray[np.bool_]
) -> NDArray[np.void]:
    """Return the packets in a file that no later point saw."""
    frames = np.flatnonzero(rows["last"] == point)
    gone, when = rows[frames], times[frames]
    lost = np.zeros(len(frames), LOST)
    lost["point"], lost["frame"], lost["up"] = point, frames + 1, gone["up"] == 1
    pure = (gone["size"] == 0) & (gone["flags"] == ACK)
    lost["kind"] = np.where(flows["kind"][gone["flow"]] == DATAGRAMS, DATAGRAM, np.where(pure, PURE_ACK, DATA))
    if len(frames):
        inside = (when >= times[0] + EDGE_NS) & (when <= times[-1] - EDGE_NS)
        lost["eligible"] = inside & ~twins[frames]
    return lost


def _write(
    path: Path, scenario: Scenario, point: int, flows: NDArray[np.void], rows: NDArray[np.void],
    order: NDArray[np.int64], times: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write one point's packets as a nanosecond pcap."""
    offsets, drifts = scenario.clocks()
    clock = START_NS + times + offsets[point] + times * drifts[point] // SECOND_NS
    longest = min(LONGEST_FRAME, scenario.snaplen or LONGEST_FRAME) + RECORD
    out = np.empty(CHUNK * longest + LONGEST_FRAME, np.uint8)
    kinds, v6 = flows["kind"].copy(), flows["v6"].copy()
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, scenario.snaplen or 262_144, 1))
        for begin in range(0, len(order), CHUNK):
            part = slice(begin, begin + CHUNK)
            size = render(rows, order[part], clock[part], kinds, v6, point, scenario.points, scenario.snaplen, out)
            file.write(out[:size].data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate in a process of its own, so that the memory this takes is not that of a benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.generate", description=__doc__)
    parser.add_argument("folder", type=Path, help="captures and truth go to a folder in it")
    for item in fields(Scenario):
        kind = type(item.default)
        parser.add_argument(f"--{item.name.replace('_', '-')}", type=kind, default=item.default, help=f"{item.default}")
    given = vars(parser.parse_args(arguments))
    print(provide(given.pop("folder"), Scenario(**given)).folder)


if __name__ == "__main__":
    main()
