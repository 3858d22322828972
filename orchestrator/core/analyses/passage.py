"""The packets of one segment and direction, in the order in which they left the near point.

Rows of a point are in the order of its file, so that this takes no sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import PIECE_FOLLOWS, PIECE_LEADS

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Arrays by token seen at the near point and known to have arrived or vanished, in order of departure."""

    token: NDArray[np.int64]
    left: NDArray[np.int32]
    """Row at the near point."""
    right: NDArray[np.int32]
    """Row at the far point; -1 where it is not in that file."""
    lost: NDArray[np.bool_]

    @property
    def met(self) -> NDArray[np.int64]:
        """Return the places of those seen at both ends."""
        return np.flatnonzero((self.right >= 0) & ~self.lost)


def line_up(tokens: Tokens, delivered: NDArray[np.int64], lost: NDArray[np.int64], near: int, far: int) -> Passage:
    """Return *delivered* and *lost* tokens of the segment from *near* to *far* in order of departure."""
    token = np.concatenate((delivered, lost))
    left = tokens.row[token, near]
    order = row_order(left)
    gone = np.zeros(len(token), np.bool_)
    gone[len(delivered) :] = True
    token = token[order]
    return Passage(token=token, left=left[order], right=tokens.row[token, far], lost=gone[order])


def row_order(rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the places of *rows*, all different, in ascending order; those with -1 are left out."""
    present = np.flatnonzero(rows >= 0) if (rows < 0).any() else None
    values = rows if present is None else rows[present]
    if not len(values):
        return np.empty(0, np.int64)
    low = int(values.min())
    place = np.full(int(values.max()) - low + 1, -1, np.int64)
    place[values - low] = np.arange(len(values)) if present is None else present
    return place[place >= 0]


def exact_delays(packets: Packets, corrected_ns: NDArray[np.int64], passage: Passage) -> tuple[Any, NDArray[np.int64]]:
    """Return (places, delays) of those whose times are their own, not those of the super-segment they came in."""
    met = passage.met
    left, right = passage.left[met], passage.right[met]
    exact = ((packets.piece[left] & PIECE_FOLLOWS) | (packets.piece[right] & PIECE_LEADS)) == 0
    if not exact.all():
        met, left, right = met[exact], left[exact], right[exact]
    return met, corrected_ns[right] - corrected_ns[left]
