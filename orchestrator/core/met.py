"""Has a point ever seen a client? A filter made for an address is blind to it behind a translation nobody declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.routes import REVERSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets


def never_met(
    packets: Packets, tokens: Tokens, routes: Routes, chosen: NDArray[np.int64], trusted: NDArray[np.int16]
) -> NDArray[np.bool_]:
    """Say for the tokens *chosen* whether the point *trusted* (-1: none) has seen nothing of their client at all.

    Silence of such a point proves no loss: the client may pass it under an address that its filter does not know.
    """
    found = np.zeros(len(chosen), np.bool_)
    for point in np.unique(trusted[trusted >= 0]).tolist():
        rows = tokens.row[:, point]
        met = np.unique(routes.pair[rows >= 0])
        open_ones = np.flatnonzero((trusted == point) & ~np.isin(routes.pair[chosen], met))
        if len(open_ones):
            clients = _clients(packets, tokens, routes, chosen[open_ones])
            found[open_ones] = ~_seen_at(packets, rows[rows >= 0], clients)
    return found


def _clients(packets: Packets, tokens: Tokens, routes: Routes, chosen: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the client-side address of each token, shape (tokens, 2): high and low half."""
    row = tokens.first_row[chosen]
    back = routes.direction[chosen] == REVERSE
    high = np.where(back, packets.dst_hi[row], packets.src_hi[row])
    low = np.where(back, packets.dst_lo[row], packets.src_lo[row])
    both: NDArray[np.uint64] = np.stack((high, low), axis=1)
    return both


def _seen_at(packets: Packets, rows: NDArray[np.int32], clients: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say for each of *clients* whether any of *rows* comes from it or goes to it."""
    distinct, which = np.unique(clients, axis=0, return_inverse=True)
    sources = (packets.src_hi[rows], packets.src_lo[rows])
    targets = (packets.dst_hi[rows], packets.dst_lo[rows])
    known = np.array([
        any(bool(((high == h) & (low == w)).any()) for high, low in (sources, targets)) for h, w in distinct
    ])  # fmt: skip
    result: NDArray[np.bool_] = known[which.reshape(-1)]
    return result
