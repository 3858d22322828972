"""Reordering that a segment creates (RFC 4737): within a flow, for that is what devices must keep and TCP feels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.delays import quantiles
from orchestrator.core.analyses.passage import row_order
from orchestrator.core.analyses.passage_kernels import find_reordered
from orchestrator.model.measures import Reordering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.passage import Passage
    from orchestrator.core.tokens import Tokens

MIRROR_JITTER_NS = 50_000
"""Mirror ports and cards with several queues swap packets that are closer than this (ALGORITHMS C.1)."""


def measure_reordering(tokens: Tokens, corrected_ns: NDArray[np.int64], passage: Passage) -> Reordering | None:
    """Return how the packets of *passage* were reordered; None where none was seen at both ends."""
    met = passage.met
    met = met[~tokens.ambiguous[passage.token[met]]]
    if not len(met):
        return None
    left, right, token = passage.left[met], passage.right[met], passage.token[met]
    way = tokens.way[token]
    ways = int(way.max()) + 1
    extent, late = np.zeros(len(met), np.int64), np.zeros(len(met), np.int64)
    thrice = np.zeros(len(met), np.uint8)
    if _in_order(right):
        return Reordering(packets=0, of=len(met))
    find_reordered(
        row_order(right), corrected_ns[left], corrected_ns[right], way, MIRROR_JITTER_NS, np.full(ways, -1, np.int64),
        np.empty(len(met), np.int64), np.zeros(ways, np.int64), np.full((ways, 3), -1, np.int64),
        np.empty(len(met), np.int64), extent, late, thrice,
    )  # fmt: skip
    hit = np.flatnonzero(extent)
    if not len(hit):
        return Reordering(packets=0, of=len(met))
    return Reordering(
        packets=len(hit), of=len(met), extent_p50=quantiles(extent[hit], (0.5,))[0], extent_max=int(extent[hit].max()),
        by_three=int(thrice.sum()), late_p50_ns=quantiles(late[hit], (0.5,))[0], late_max_ns=int(late[hit].max()),
    )  # fmt: skip


def _in_order(rows: NDArray[np.int32]) -> bool:
    return bool((rows[1:] > rows[:-1]).all())
