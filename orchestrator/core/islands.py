"""Points at which a flow looks like nowhere else: a device changed it beyond what was learned, on either side.

What such a point saw is missing everywhere, and everything else is missing there; neither says that a packet was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import RST, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.columns import Packets


def find_islands(packets: Packets, tokens: Tokens, flows: int) -> NDArray[np.bool_]:
    """Return by TCP flow direction and point whether that saw packets of it, others did, and none is common to both.

    Resets are left out: a device may have sent them.
    """
    first, points = tokens.first_row, tokens.row.shape[1]
    ordinary = (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) == 0)
    seen = tokens.row >= 0
    shared = ordinary & (seen.sum(axis=1) > 1)
    total, common = np.zeros((2, 2 * flows, points), np.int64)
    for point in range(points):
        total[:, point] = np.bincount(tokens.way[ordinary & seen[:, point]], minlength=2 * flows)
        common[:, point] = np.bincount(tokens.way[shared & seen[:, point]], minlength=2 * flows)
    elsewhere = total.sum(axis=1, keepdims=True) > total
    result: NDArray[np.bool_] = (total > 0) & (common == 0) & elsewhere
    return result


def claims_about(islands: NDArray[np.bool_], tokens: Tokens, verdicts: Verdicts) -> NDArray[np.bool_]:
    """Say which claims rest on what an island saw or did not see, in either direction of the flow."""
    found = np.zeros(len(tokens), np.bool_)
    if not islands.any():
        return found
    claims = np.flatnonzero(verdicts.claims())
    odd = islands | islands.reshape(-1, 2, islands.shape[1])[:, ::-1].reshape(islands.shape)
    way = tokens.way[claims]
    found[claims] = odd[way, verdicts.last_seen[claims]] | odd[way, verdicts.missing_at[claims]]
    return found
