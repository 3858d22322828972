"""Why a point's view of a series may decide nothing: its capture, fragments, frames that hold several packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import MARK_FRAGMENT, SERIES_ESP, SERIES_KIND, UDP
from orchestrator.model.hash_kernels import GOLDEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets

REASONS = ("", "lossy-capture", "no-coverage", "ambiguous")
LOSSY, CUT, SEVERAL = 1, 2, 3
EDGE_NS = 20_000_000
"""So near to the ends of a capture a gap may be nothing but packets that changed places."""
ESP = 50
LONGEST_SINGLE = 1500
"""Bytes of UDP payload above which a frame may hold several packets (UDP GSO and GRO): only its first number shows."""


def doubts(
    scene: Scene, token: NDArray[np.int64], part: NDArray[np.int64], series: NDArray[np.uint32],
    way: NDArray[np.int64], point: int,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return by part an index into REASONS, 0 where the point may decide.

    Args: token, part of the numbered packets that it saw; series, way by part.
    """
    found = np.zeros(len(way), np.uint8)
    packets, tokens, facts = scene.packets, scene.tokens, scene.facts[point]
    kind = series & SERIES_KIND
    row = tokens.row[token, point]
    large = packets.payload[row] > LONGEST_SINGLE
    if large.any():
        found[np.isin(kind, kind[part[large & (packets.protocol[row] == UDP)]])] = SEVERAL
    found[np.isin(way >> 1, _fragmented(scene, point))] = SEVERAL
    cut = np.where(kind == SERIES_ESP, np.isin(ESP, facts.cut_protocols) | np.isin(UDP, facts.cut_protocols),
                   np.isin(UDP, facts.cut_protocols))  # fmt: skip
    found[cut] = CUT
    if is_lossy(scene, point):
        found[:] = LOSSY
    return found


def is_lossy(scene: Scene, point: int) -> bool:
    """Say whether what a point did not see may have passed it."""
    facts, verdicts = scene.facts[point], scene.verdicts
    if not facts.complete or facts.kernel_drops or verdicts.miss_rate[point] > 0:
        return True
    return facts.kernel_drops is None and verdicts.some_missed


def _fragmented(scene: Scene, point: int) -> NDArray[np.int64]:
    """Return the flows between whose addresses fragments were seen: a number may be in one that is not read.

    Fragments of datagrams of which the rest is missing are no packets of any flow: only their addresses tell.
    """
    tokens, packets = scene.tokens, scene.packets
    broken = np.flatnonzero((packets.marks & MARK_FRAGMENT) > 0)
    if not len(broken):
        return np.empty(0, np.int64)
    ends = np.unique(_ends(packets, broken))
    near = [tokens.first_row, tokens.row[tokens.row[:, point] >= 0, point]]
    flow = [tokens.flow, tokens.flow[tokens.row[:, point] >= 0]]
    told = [f[np.isin(_ends(packets, rows), ends)] for rows, f in zip(near, flow, strict=True)]
    return np.unique(np.concatenate(told)).astype(np.int64)


def _ends(packets: Packets, rows: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return a key of the two addresses of each of *rows*, whichever of them sends."""
    source = packets.src_hi[rows] * GOLDEN ^ packets.src_lo[rows]
    target = packets.dst_hi[rows] * GOLDEN ^ packets.dst_lo[rows]
    key: NDArray[np.uint64] = (source * GOLDEN) + (target * GOLDEN)
    return key
