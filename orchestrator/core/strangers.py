"""Flows that nothing ties to the flow they continue: short, all alike, or translated at both ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.spans import Spans
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets

End = tuple[int, int, int]
"""Address (two halves) and port."""
FEW_USERS = 2


def candidates(
    packets: Packets, flows: Flows, tokens: Tokens, spans: Spans, lonely: NDArray[np.int64],
    fresh: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:  # fmt: skip
    """Yield (missing tokens of one flow direction that end at one place, arrivals that may be their continuation).

    Args: *lonely* are missing tokens of flow directions of which nothing is seen beyond, *fresh* arrivals.
    """
    if not len(lonely):
        return
    first, last = _extent(flows, spans)
    arrivals = _by_way(spans.way, fresh)
    users = Counter(e for row in flows.tuples.tolist() for e in _ends(packets, row))
    for cut in np.unique(spans.reach[lonely]).tolist():
        beyond = {w: t for w, t in arrivals.items() if first[w] > cut}
        known = _Known(_images(packets, flows, np.flatnonzero((first <= cut) & (last > cut)) >> 1), users)
        for own, mine in _by_way(spans.way, lonely[spans.reach[lonely] == cut]).items():
            others = [
                t for w, t in beyond.items() if w >> 1 != own >> 1 and _fits(packets, tokens, spans, mine, t, known)
            ]
            if others:
                yield mine, np.concatenate(others)


def origins(
    packets: Packets, flows: Flows, tokens: Tokens, spans: Spans, born: NDArray[np.int64],
    others: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:  # fmt: skip
    """Yield (tokens of one flow direction that begins on the way, those of *others* that it may continue).

    Args: *born* are tokens of flow directions of which nothing is seen before.
    """
    if not len(born):
        return
    first, last = _extent(flows, spans)
    earlier = _by_way(spans.way, others)
    users = Counter(e for row in flows.tuples.tolist() for e in _ends(packets, row))
    for place in np.unique(first[spans.way[born]]).tolist():
        known = _Known(_images(packets, flows, np.flatnonzero((first < place) & (last >= place)) >> 1), users)
        for own, mine in _by_way(spans.way, born[first[spans.way[born]] == place]).items():
            found = [
                t
                for w, t in earlier.items()
                if last[w] < place and w >> 1 != own >> 1 and _fits(packets, tokens, spans, t, mine, known)
            ]
            if found:
                yield mine, np.concatenate(found)


def _extent(flows: Flows, spans: Spans) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return by flow direction the first and last place that saw any of it."""
    first = np.full(2 * flows.count, np.iinfo(np.int64).max)
    np.minimum.at(first, spans.way, spans.entered)
    last = np.full(2 * flows.count, -1, np.int64)
    np.maximum.at(last, spans.way, spans.left)
    return first, last


@dataclass(frozen=True, slots=True)
class _Known:
    """What flows that cross a place tell about the addresses on both sides of it."""

    images: dict[tuple[int, int], set[tuple[int, int]]]
    """Under which addresses each address is known elsewhere."""
    users: Counter[End]
    """Five-tuples by end: many of them use a server's port, one a client's."""


def _fits(
    packets: Packets, tokens: Tokens, spans: Spans, mine: NDArray[np.int64], other: NDArray[np.int64], known: _Known
) -> bool:
    """Say whether the tokens *other*, where they enter, may continue *mine*, where they were last seen."""
    row = _row_at(tokens, spans, int(mine[0]), int(spans.left[mine[0]]))
    others_row = _row_at(tokens, spans, int(other[0]), int(spans.entered[other[0]]))
    alike = packets.protocol[row] == packets.protocol[others_row] and spans.back[mine[0]] == spans.back[other[0]]
    return bool(alike) and _may_continue(_ends(packets, row), _ends(packets, others_row), known)


def _row_at(tokens: Tokens, spans: Spans, token: int, place: int) -> int:
    """Return the row that shows *token* at a place of its way: addresses differ from point to point."""
    point = tokens.row.shape[1] - 1 - place if spans.back[token] else place
    return int(tokens.row[token, point])


def _by_way(way: NDArray[np.int64], chosen: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Group tokens by flow direction."""
    order = chosen[np.argsort(way[chosen], kind="stable")]
    starts = np.flatnonzero(np.diff(way[order])) + 1
    return {int(way[part[0]]): part for part in np.split(order, starts) if len(part)}


def _ends(packets: Packets, row: int) -> tuple[End, End]:
    """Return source and target of a packet."""
    return (
        (int(packets.src_hi[row]), int(packets.src_lo[row]), int(packets.sport[row])),
        (int(packets.dst_hi[row]), int(packets.dst_lo[row]), int(packets.dport[row])),
    )


def _images(packets: Packets, flows: Flows, through: NDArray[np.int64]) -> dict[tuple[int, int], set[tuple[int, int]]]:
    """Return under which addresses each address is known elsewhere, from the flows *through*."""
    chosen = set(through.tolist())
    by_flow: dict[int, list[int]] = {}
    for row, flow in zip(flows.tuples.tolist(), flows.of_tuple.tolist(), strict=True):
        if flow in chosen:
            by_flow.setdefault(flow, []).append(row)
    images: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for rows in by_flow.values():
        oriented = [_ends(packets, r)[:: 1 if flows.bit[r] == 0 else -1] for r in rows]
        for side in (0, 1):
            addresses = {e[side][:2] for e in oriented}
            for one in addresses:
                images.setdefault(one, set()).update(addresses)
    return images


def _may_continue(mine: tuple[End, End], other: tuple[End, End], known: _Known) -> bool:
    """Say whether a flow between the ends *other* may be the one between the ends *mine* after a translation.

    An end is what it was, or is known to become what the other shows.  Where that holds to the port for one end, the
    opposite end may be anything, unless it is known to be left alone and the port is one that many use.
    """
    fits = [other[k][:2] in known.images.get(mine[k][:2], {mine[k][:2]}) for k in (0, 1)]
    if all(fits):
        return True
    for k in (0, 1):
        same = fits[k] and mine[k][2] == other[k][2]
        left_alone = known.images.get(mine[1 - k][:2]) == {mine[1 - k][:2]}
        if same and (known.users[mine[k]] <= FEW_USERS or not left_alone):
            return True
    return False
