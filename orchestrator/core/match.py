"""Match what is identical by time, never by k-th occurrence: one lost copy would shift all later pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.ladder_kernels import pair_by_time
from orchestrator.core.sort import spread, stable_order
from orchestrator.core.tokens import Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.tokens import Repeated

MARGIN_NS = 100_000
LONGEST_DELAY_NS = 1_000_000_000
"""Assumed where no unambiguous token tells."""


def match_repeated(
    tokens: Tokens,
    repeated: Repeated,
    corrected_ns: NDArray[np.int64],
    point: NDArray[np.uint8],
    flows: Flows,
    flow_direction: NDArray[np.int8],
    uncertainty_ns: int | None,
) -> Tokens:
    """Return *tokens* with the repeated rows added as tokens of their own, flagged where copies are interchangeable.

    Without an *uncertainty_ns* of the clocks, time tells nothing: all of them are flagged.
    """
    rows = repeated.rows
    if not len(rows):
        return tokens
    points = tokens.row.shape[1]
    turned = np.where(flows.bit[rows] == 0, 1, -1)
    reverse = flow_direction[flows.of_row[rows]] * turned < 0
    place = np.where(reverse, points - 1 - point[rows].astype(np.int64), point[rows].astype(np.int64))
    time = corrected_ns[rows]
    order = stable_order(place, time, repeated.group)
    number = np.empty(len(rows), np.int64)
    unsure = np.zeros(len(rows), np.bool_)
    doubt = uncertainty_ns if uncertainty_ns is not None else LONGEST_DELAY_NS
    longest = _longest_delay(tokens, corrected_ns) + 2 * doubt
    count = pair_by_time(order, repeated.group, place, time, longest, doubt, number, unsure)
    table = np.full((count, points), -1, np.int32)
    backwards = order[::-1]  # the earliest row of a token at a point is written last
    table[number[backwards], point[rows[backwards]]] = rows[backwards]
    copies = np.minimum(
        np.bincount(number * points + point[rows], minlength=count * points).reshape(count, points), 255
    ).astype(np.uint8)
    flagged = np.zeros(count, np.bool_)
    flagged[number[unsure | repeated.unsure]] = True
    flagged |= uncertainty_ns is None
    flagged |= _may_be_one(table, number, repeated.group, reverse)
    any_row = table.max(axis=1)
    shown = table[number, point[rows]]
    again = shown != rows
    return Tokens(
        row=np.concatenate((tokens.row, table)),
        copies=np.concatenate((tokens.copies, copies)),
        flow=np.concatenate((tokens.flow, flows.of_row[any_row])),
        bit=np.concatenate((tokens.bit, flows.bit[any_row])),
        ambiguous=np.concatenate((tokens.ambiguous, flagged)),
        unnumbered=tokens.unnumbered,
        repeats=np.concatenate((tokens.repeats, np.stack((rows[again], shown[again]), axis=1))),
    )


def _may_be_one(
    table: NDArray[np.int32], number: NDArray[np.int64], group: NDArray[np.int64], reverse: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Flag all tokens of a group in which one begins at a point that another passed unseen: they may be one."""
    points = table.shape[1]
    group_of = np.zeros(len(table), np.int64)
    group_of[number] = group
    back = np.zeros(len(table), np.bool_)
    back[number] = reverse
    seen = table >= 0
    seen[back] = seen[back][:, ::-1]
    entered = np.argmax(seen, axis=1)
    groups = int(group_of.max()) + 1
    begins, unseen = np.zeros(groups, np.uint64), np.zeros(groups, np.uint64)
    place = np.uint64(1) << np.arange(points, dtype=np.uint64)
    np.bitwise_or.at(begins, group_of, np.where(entered > 0, place[entered], np.uint64(0)))
    np.bitwise_or.at(unseen, group_of, np.where(seen, np.uint64(0), place).sum(axis=1, dtype=np.uint64))
    # one that begins on the way though all others were seen there is a copy that the network made, or was missed
    result: NDArray[np.bool_] = ((begins & unseen) > 0)[group_of] | (entered > 0)
    return result


def _longest_delay(tokens: Tokens, corrected_ns: NDArray[np.int64]) -> int:
    """Return how long after its first sighting a token was seen, with a margin over the 99.9 % quantile."""
    seen = tokens.row >= 0
    several = spread(np.flatnonzero(seen.sum(axis=1) > 1))
    if not len(several):
        return LONGEST_DELAY_NS
    times = np.where(seen[several], corrected_ns[tokens.row[several]], np.iinfo(np.int64).max)
    latest = np.where(seen[several], corrected_ns[tokens.row[several]], np.iinfo(np.int64).min).max(axis=1)
    longest = latest - times.min(axis=1)
    quartiles = np.quantile(longest, (0.25, 0.75, 0.999))
    return int(min(quartiles[2] + 3 * (quartiles[1] - quartiles[0]) + MARGIN_NS, 30 * LONGEST_DELAY_NS))
