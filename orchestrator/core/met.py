"""Has a point ever seen this client, this flow? Behind a translation nobody declared it knows them by other names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.routes import REVERSE
from orchestrator.model.columns import RST, SYN, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.spans import Spans
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
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


def come_unseen(packets: Packets, tokens: Tokens, spans: Spans, verdicts: Verdicts) -> NDArray[np.bool_]:
    """Say which claims rest on the silence of points that their flow passes unseen.

    Where it crosses the segment the other way without being seen behind it: what comes from there was there, in a shape
    that those points know as another flow, or by a way that they do not watch; what goes there is then as invisible to
    them.  And where a point further on sees the flow, of which the silent one never saw anything.
    """
    found = np.zeros(len(tokens), np.bool_)
    claims = np.flatnonzero(verdicts.claims())
    if not len(claims):
        return found
    seen = _seen_by_way(packets, tokens, spans, tokens.flow[claims])
    places = np.arange(tokens.row.shape[1])
    last, back = verdicts.last_seen[claims, None], spans.back[claims, None]
    beyond = np.where(back, places < last, places > last)
    way = spans.way[claims]
    either = seen[way] | seen[way ^ 1]
    nothing = ~(either & beyond).any(axis=1)
    comes = (seen[way ^ 1] & ~beyond).any(axis=1)
    missing = verdicts.missing_at[claims]
    behind = np.where(back, places < missing[:, None], places > missing[:, None])
    passed_by = ~either[np.arange(len(claims)), missing] & (either & behind).any(axis=1)
    found[claims[(nothing & comes) | passed_by]] = True
    return found


def _seen_by_way(packets: Packets, tokens: Tokens, spans: Spans, flows: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return for every flow direction and point whether that saw anything of it, of *flows* alone.

    Resets are left out, for a device may have sent them; so are SYNs, which a device that answers in the peer's name
    passes on as they are, with all that follows changed.
    """
    ways = 2 * (int(tokens.flow.max()) + 1)
    asked = np.zeros(ways // 2, np.bool_)
    asked[flows] = True
    of_these = np.flatnonzero(asked[tokens.flow])
    first = tokens.first_row[of_these]
    of_these = of_these[(packets.protocol[first] != TCP) | ((packets.flags[first] & (RST | SYN)) == 0)]
    seen = np.zeros((ways, tokens.row.shape[1]), np.bool_)
    for point in range(tokens.row.shape[1]):
        seen[spans.way[of_these[tokens.row[of_these, point] >= 0]], point] = True
    return seen
