"""Flows that pass a point inside an encrypted tunnel: it cannot see them, and its silence accuses nobody.

Said only where the data says so: the point never sees the flow's addresses in the clear, but shows encrypted packets
that begin beyond the points that do, at the right times and as much larger as a tunnel makes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.hidden_kernels import BUCKET_BYTES, find_carriers
from orchestrator.core.routes import FORWARD, routes_in_use
from orchestrator.core.sort import stable_order
from orchestrator.core.verdicts import BLIND, ELSEWHERE, ENCRYPTED, UNDECIDED
from orchestrator.model.columns import SERIES_DTLS, SERIES_ESP, SERIES_KIND, SERIES_WIREGUARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets

SLACK_NS = 2_000_000
LONGEST_NS = 1_000_000_000
"""Delay beyond which a carrier is no longer that of a packet."""
LEAST_ADDED, MOST_ADDED = 24, 200
"""Bytes by which a tunnel's payload is larger than that of the packet in it: its headers, padding, a tag."""
MOSTLY = 0.5
"""Share of an address pair's packets for which a carrier must be found, and that there must be carriers for."""


def hide(
    packets: Packets, tokens: Tokens, routes: Routes, corrected_ns: NDArray[np.int64], facts: Sequence[PointFacts]
) -> Routes:
    """Return *routes* that know which address pairs pass which points inside an encrypted tunnel."""
    sealed = is_sealed(packets, tokens)
    if not sealed.any():
        return routes
    hidden = frozenset(_find_hidden(packets, tokens, routes, corrected_ns, facts, sealed))
    both = set(np.unique(routes.pair[sealed]).tolist())  # end to end: the pair's own encrypted packets are still seen
    bare = {(pair, point) for pair, point in hidden if pair not in both}
    return replace(routes, hidden=hidden, elsewhere=routes.elsewhere | bare)


def is_sealed(packets: Packets, tokens: Tokens) -> NDArray[np.bool_]:
    """Say for each token whether it is a packet of an encrypted tunnel."""
    kind = packets.series[tokens.first_row] & SERIES_KIND
    sealed: NDArray[np.bool_] = np.isin(kind, (SERIES_ESP, SERIES_WIREGUARD, SERIES_DTLS))
    return sealed


def _find_hidden(
    packets: Packets, tokens: Tokens, routes: Routes, corrected_ns: NDArray[np.int64], facts: Sequence[PointFacts],
    sealed: NDArray[np.bool_],
) -> list[tuple[int, int]]:  # fmt: skip
    """Return (pair, point) of what passes a point inside what it sees."""
    points = tokens.row.shape[1]
    seen_by = _bits(tokens.row >= 0)
    pairs = int(routes.pair.max()) + 1
    in_clear = np.zeros(pairs, np.uint64)
    np.bitwise_or.at(in_clear, routes.pair[~sealed], seen_by[~sealed])
    of_flow = np.zeros(int(tokens.flow.max()) + 1, np.uint64)
    np.bitwise_or.at(of_flow, tokens.flow[sealed], seen_by[sealed])
    found = []
    for point in range(points):
        bit = np.uint64(1 << point)
        blind = np.flatnonzero(((in_clear & bit) == 0) & (in_clear > 0))
        here = np.flatnonzero(sealed & (tokens.row[:, point] >= 0))
        for mask in np.unique(in_clear[blind]).tolist() if len(here) else ():
            beyond = here[(of_flow[tokens.flow[here]] & np.uint64(mask)) == 0]
            slack = _slack(facts, mask, point)
            if len(beyond) and slack is not None:
                group = blind[in_clear[blind] == mask]
                inside = np.flatnonzero(~sealed & np.isin(routes.pair, group))
                carried = _carried(packets, tokens, routes, corrected_ns, inside, beyond, point, slack)
                found += [(pair, point) for pair in group[carried[group]].tolist()]
    return found


def _bits(seen: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return the points that saw each token, as bits."""
    found = np.zeros(len(seen), np.uint64)
    for point in range(seen.shape[1]):
        found |= seen[:, point].astype(np.uint64) << np.uint64(point)
    return found


def _slack(facts: Sequence[PointFacts], mask: int, point: int) -> int | None:
    """Return how far times at *point* and at those of *mask* may be off, None where nobody knows."""
    involved = [f for k, f in enumerate(facts) if k == point or mask >> k & 1]
    if any(f.uncertainty_ns is None for f in involved):
        return None
    return SLACK_NS + 2 * max(f.doubt_ns for f in involved)


def _carried(
    packets: Packets, tokens: Tokens, routes: Routes, corrected_ns: NDArray[np.int64], inside: NDArray[np.int64],
    beyond: NDArray[np.int64], point: int, slack_ns: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Say by pair whether most of its packets *inside* may be in those *beyond*, which *point* saw."""
    pairs = int(routes.pair.max()) + 1
    hits, total, room = np.zeros(pairs), np.zeros(pairs), np.zeros(pairs)
    single = _seen_once(tokens)
    for direction in (1, -1):
        mine = inside[routes.direction[inside] == direction]
        # which way a tunnel goes that one point alone sees is a guess
        theirs = beyond[(routes.direction[beyond] == direction) | single[tokens.flow[beyond]]]
        row = tokens.row[theirs, point]
        carrier_time, bucket = corrected_ns[row], packets.payload[row].astype(np.int64) // BUCKET_BYTES
        order = stable_order(carrier_time, bucket)
        begins = np.searchsorted(bucket[order], np.arange(int(bucket.max(initial=0)) + 2))
        first = tokens.first_row[mine]
        time, size = corrected_ns[first], packets.payload[first].astype(np.int64)
        hit = np.zeros(len(mine), np.bool_)
        find_carriers(
            time, size, carrier_time[order], begins, slack_ns, slack_ns + LONGEST_NS, LEAST_ADDED, MOST_ADDED, hit
        )
        pair = routes.pair[mine]
        hits += np.bincount(pair, weights=hit, minlength=pairs)
        total += np.bincount(pair, minlength=pairs)
        room += _between(pair, time, np.sort(carrier_time), slack_ns, pairs)
    enough: NDArray[np.bool_] = (total > 0) & (hits >= MOSTLY * total) & (room >= MOSTLY * total)
    return enough


def _seen_once(tokens: Tokens) -> NDArray[np.bool_]:
    """Say by flow whether one point alone saw any of it."""
    count = int(tokens.flow.max()) + 1
    found = np.zeros(count, np.int64)
    for point in range(tokens.row.shape[1]):
        found += np.bincount(tokens.flow[tokens.row[:, point] >= 0], minlength=count) > 0
    single: NDArray[np.bool_] = found == 1
    return single


def _between(
    pair: NDArray[np.int32], time: NDArray[np.int64], carriers: NDArray[np.int64], slack_ns: int, pairs: int
) -> NDArray[np.int64]:
    """Return by pair how many carriers came by while it was active."""
    begin, end = np.full(pairs, np.iinfo(np.int64).max), np.full(pairs, np.iinfo(np.int64).min)
    np.minimum.at(begin, pair, time)
    np.maximum.at(end, pair, time)
    active = begin <= end
    found = np.zeros(pairs, np.int64)
    latest = np.searchsorted(carriers, end[active] + slack_ns + LONGEST_NS, "right")
    found[active] = latest - np.searchsorted(carriers, begin[active] - slack_ns)
    return found


def excuse_hidden(packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts) -> None:
    """Leave undecided, as encrypted, what is missing at a point that it passes inside a tunnel."""
    if not routes.hidden:
        return
    sealed = is_sealed(packets, tokens)
    for route, direction, members in routes_in_use(routes):
        line = np.array(routes.points[route][:: 1 if direction == FORWARD else -1], np.int16)
        clear = members[~sealed[members] & (verdicts.verdict[members] > 0) & verdicts.counted[members]]
        place = np.argmax(line[None, :] == verdicts.last_seen[clear, None], axis=1)
        following = np.append(line, -1)[place + 1]
        excused = verdicts.claims()[clear] & is_hidden(routes, clear, verdicts.missing_at[clear])
        blind = (verdicts.verdict[clear] == UNDECIDED) & np.isin(verdicts.reason[clear], (BLIND, ELSEWHERE))
        excused |= blind & is_hidden(routes, clear, following)
        verdicts.withdraw(clear[excused], ENCRYPTED)


def is_hidden(routes: Routes, token: NDArray[np.int64], point: NDArray[np.int16] | int) -> NDArray[np.bool_]:
    """Say for each token whether it passes a point, its own or one for all, inside a tunnel."""
    at = np.broadcast_to(np.asarray(point), token.shape)
    found = np.zeros(len(token), np.bool_)
    for number in np.unique(at).tolist():
        pairs = [pair for pair, where in routes.hidden if where == number]
        if pairs:
            found |= (at == number) & np.isin(routes.pair[token], pairs)
    return found
