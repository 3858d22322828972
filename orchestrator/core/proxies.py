"""Connections that end on the way and begin anew: a relay between two points speaks for both ends (ALGORITHMS A.7).

Its two sides have packets and acknowledgements of their own, so what one side shows and the other does not is no loss,
and an acknowledgement certifies nothing beyond it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.model.columns import RST, TCP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.spans import Spans
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets

FRESH = 0.7
"""Share of what arrives behind a relay that nobody saw before it; a lossy capture before it leaves far less."""
FEWEST = 4
"""Arrivals below which shares mean nothing."""


class Proxied:
    """By flow and cut (between a point and the next): whether the flow ends there and begins anew."""

    def __init__(self, ends: NDArray[np.bool_], sure: NDArray[np.bool_]) -> None:
        """Take *ends*, shape (flows, points - 1), and where that is *sure* enough to be said, not only to acquit."""
        self.ends, self.sure = ends, sure
        self._before = np.concatenate((np.zeros((len(ends), 1), np.int64), np.cumsum(ends, axis=1)), axis=1)

    def between(self, flow: NDArray[np.int32], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for each flow whether a relay stands between the points *low* and *high* (low <= high)."""
        found: NDArray[np.bool_] = np.greater(self._before[flow, high], self._before[flow, low])
        return found

    def cuts_before(self, flow: NDArray[np.int32], point: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each flow how many relays stand before *point*."""
        return np.asarray(self._before[flow, point], np.int64)

    def anywhere(self, flow: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Say for each flow whether a relay stands anywhere on its way."""
        found: NDArray[np.bool_] = self._before[flow, -1] > 0
        return found

    def segments(self, names: Sequence[str]) -> list[tuple[str, str, int]]:
        """Return (near, far, flows) for every two neighbouring points with a relay between them for certain."""
        counts = self.sure.sum(axis=0).tolist()
        return [(names[k], names[k + 1], n) for k, n in enumerate(counts) if n]


def find_proxied(packets: Packets, tokens: Tokens, spans: Spans, flows: int) -> Proxied:
    """Return where TCP flows end and begin anew.

    Data and acknowledgements are looked at each for itself: a relay may pass segments as they come, but it acknowledges
    when it likes.
    """
    points = tokens.row.shape[1]
    ends, sure = np.zeros((2, flows, max(points - 1, 0)), np.bool_)
    first = tokens.first_row
    every = (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) == 0)
    tcp = every & ~tokens.ambiguous
    if points == 1 or not every.any():
        return Proxied(ends, sure)
    data = packets.payload[first] > 0
    for place in range(1, points):  # in the direction of travel
        for kind in (tcp & data, tcp & ~data):
            sent, arrived, fresh = _passing(spans, kind, place, flows)
            odd = (sent >= FEWEST) & (arrived >= FEWEST) & (fresh > FRESH * arrived)
            _mark(ends, spans, odd, place, points)
        # to acquit, it is enough that nothing is seen on both sides, be it that nothing tells it from something else
        sent, arrived, fresh = _passing(spans, every, place, flows)
        none_in_common = (sent > 0) & (arrived > 0) & (fresh == arrived)
        _mark(ends, spans, none_in_common, place, points)
        sent, arrived, fresh = _passing(spans, tcp, place, flows)
        many = (sent >= FEWEST) & (arrived >= FEWEST) & (fresh == arrived)
        _mark(sure, spans, none_in_common & many, place, points)
    return Proxied(ends, sure)


def find_streams(proxied: Proxied, tokens: Tokens, flows: int) -> NDArray[np.int64]:
    """Return by token the byte stream that it belongs to, like Tokens.way, but one on either side of a relay.

    Their sequence numbers have nothing to do with each other, nor what is acknowledged on one side with the other.
    """
    if not proxied.ends.any():
        return tokens.way
    beyond = proxied.cuts_before(tokens.flow, np.argmax(tokens.row >= 0, axis=1))
    moved = np.flatnonzero(beyond)
    _, number = np.unique(np.stack((tokens.flow[moved], beyond[moved]), axis=1), axis=0, return_inverse=True)
    stream = tokens.way.copy()
    stream[moved] = 2 * (flows + number.reshape(-1)) + tokens.bit[moved]
    return stream


def _passing(
    spans: Spans, kind: NDArray[np.bool_], place: int, flows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return by flow direction how many tokens of a *kind* entered before *place*, passed it, and entered there."""
    sent = kind & (spans.entered < place)
    passed = kind & (spans.entered <= place) & (spans.left >= place)
    fresh = kind & (spans.entered == place)
    counted = [np.bincount(spans.way[chosen], minlength=2 * flows) for chosen in (sent, passed, fresh)]
    return counted[0], counted[1], counted[2]


def _mark(ends: NDArray[np.bool_], spans: Spans, odd: NDArray[np.bool_], place: int, points: int) -> None:
    """Write down the flows whose directions *odd* end before *place*; changes *ends*."""
    if not odd.any():
        return
    back = np.zeros(len(odd), np.bool_)
    back[spans.way[spans.back]] = True
    ways = np.flatnonzero(odd)
    ends[ways >> 1, np.where(back[ways], points - 1 - place, place - 1)] = True


def up_to_relay(proxied: Proxied, tokens: Tokens, spans: Spans) -> Spans:
    """Return *spans* whose routes end at the relay that stands next on a token's way."""
    if not proxied.ends.any():
        return spans
    end = spans.end.copy()
    chosen = np.flatnonzero(proxied.anywhere(tokens.flow) & (spans.left < end))
    points = tokens.row.shape[1]
    cuts = proxied.ends[tokens.flow[chosen]]
    cuts = np.where(spans.back[chosen, None], cuts[:, ::-1], cuts)  # cut k lies behind place k on the way
    ahead = cuts & (np.arange(points - 1)[None, :] >= spans.left[chosen, None])
    end[chosen] = np.where(ahead.any(axis=1), np.minimum(np.argmax(ahead, axis=1), end[chosen]), end[chosen])
    return replace(spans, end=end)


def ends_here(proxied: Proxied, tokens: Tokens, spans: Spans) -> NDArray[np.bool_]:
    """Say for each token whether a relay stands right behind the last point that saw it: there its packets end."""
    following = np.minimum(spans.left + 1, spans.end)
    ahead = np.where(spans.back, tokens.row.shape[1] - 1 - following, following)
    return claims_across(proxied, tokens, spans, ahead)


def claims_across(proxied: Proxied, tokens: Tokens, spans: Spans, missing_at: NDArray[Any]) -> NDArray[np.bool_]:
    """Say for each token whether a relay stands between where it was last seen and *missing_at* (-1: nowhere)."""
    points = tokens.row.shape[1]
    near = np.where(spans.back, points - 1 - spans.left, spans.left)
    far = np.where(missing_at >= 0, missing_at, near)
    return proxied.between(tokens.flow, np.minimum(near, far), np.maximum(near, far))
