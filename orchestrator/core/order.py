"""Does the TTL of packets agree with the order in which the points were named?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets

ENOUGH = 20
"""Unambiguous tokens below which an order is not contradicted, only doubted."""
OVERWHELMING = 0.9
"""Share of them that must contradict it."""
FEWEST_POINTS = 3
"""With two points every order is a path: only who is the client differs."""


def check_order(
    packets: Packets, tokens: Tokens, names: Sequence[str], distance_ns: NDArray[np.float64]
) -> tuple[tuple[str, ...] | None, str | None]:
    """Return (the right order, None) when the given one is contradicted beyond doubt, else (None, a warning or None).

    A packet loses TTL at every router, so along a path its TTL only falls or only rises with the point's number.
    Points between the same two routers are told apart by *distance_ns*, shape (points, points): the smallest round trip
    between two points.
    """
    points = len(names)
    if points < FEWEST_POINTS:
        return None, None
    seen = tokens.row >= 0
    usable = np.flatnonzero((seen.sum(axis=1) >= FEWEST_POINTS) & ~tokens.ambiguous)
    ttl = np.where(seen[usable], packets.ttl[tokens.row[usable]], 0).astype(np.int64)
    falls, rises = _monotone(ttl, seen[usable])
    informative = ~(falls & rises)  # what neither falls nor rises is the same everywhere
    contradicting = int((informative & ~falls & ~rises).sum())
    total = int(informative.sum())
    if not total or not contradicting:
        return None, None
    better = _by_ttl(ttl[informative], seen[usable][informative], distance_ns)
    if better is None:
        return None, None
    order = [names[p] for p in better]
    if _rank(names, order):
        order.reverse()
    share = contradicting / total
    if contradicting >= ENOUGH and share >= OVERWHELMING:
        return tuple(order), None
    return None, f"{contradicting:,} of {total:,} packets speak for the path order {', '.join(order)}"


def _monotone(ttl: NDArray[np.int64], seen: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say for each token whether its TTL never rises, and whether it never falls, in the given order."""
    falls = np.ones(len(ttl), np.bool_)
    rises = np.ones(len(ttl), np.bool_)
    previous = np.full(len(ttl), -1, np.int64)
    for column in range(ttl.shape[1]):
        here = seen[:, column]
        compare = here & (previous >= 0)
        falls &= ~compare | (ttl[:, column] <= previous)
        rises &= ~compare | (ttl[:, column] >= previous)
        previous = np.where(here, ttl[:, column], previous)
    return falls, rises


def _by_ttl(ttl: NDArray[np.int64], seen: NDArray[np.bool_], distance_ns: NDArray[np.float64]) -> list[int] | None:
    """Return the points in the order that most tokens speak for; None when they agree on none.

    Both directions give the same order, one of them turned round, so the commonest fall of TTL is enough.
    """
    whole = seen.all(axis=1)
    if not whole.any():
        return None
    falls, counts = np.unique(ttl[whole].max(axis=1, keepdims=True) - ttl[whole], axis=0, return_counts=True)
    hops = falls[np.argmax(counts)]
    nearest = np.flatnonzero(hops == hops.min())
    others = np.flatnonzero(hops != hops.min())
    # the end of the path is the nearest-hop point that lies farthest from all the others
    farthest = np.argmax(distance_ns[np.ix_(nearest, others)].sum(axis=1)) if len(others) else 0
    start = nearest[farthest]
    return [int(p) for p in np.lexsort((distance_ns[start], hops))]


def _rank(names: Sequence[str], order: Sequence[str]) -> bool:
    """Say whether *order* turned round lies nearer to *names*."""
    forward = sum(a == b for a, b in zip(names, order, strict=True))
    backward = sum(a == b for a, b in zip(names, reversed(order), strict=True))
    return backward > forward
