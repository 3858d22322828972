"""Which TCP fields make a packet another one: data that arrived with its bytes and its number, under another header.

Window, flags and timestamps tell packets apart, so that such a packet has no copy at the far point.  Its counterpart is
the only one that carries the same bytes in the same place and the same identification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.sort import stable_order
from orchestrator.model.changes import Change, Field, Modification
from orchestrator.model.columns import MARK_TIMESTAMPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene

MOST_VALUES, MOST_LISTED = 8, 4
PAIR = 2


def header_changes(scene: Scene, gone: NDArray[np.int64], near: int, far: int, of: int) -> list[Modification]:
    """Return what changed in the headers of *gone*, last seen at *near*; unnamed where no counterpart is sure."""
    mine, theirs = _counterparts(scene, gone, near, far)
    left, right = scene.tokens.row[mine, near], scene.tokens.row[theirs, far]
    found = [
        _modification(scene, name, left[changed], of, before[changed], after[changed])
        for name, before, after in _compared(scene, left, right)
        if (changed := before != after).any()
    ]
    named = np.zeros(len(left), np.bool_)
    for _, before, after in _compared(scene, left, right):
        named |= before != after
    unnamed = np.setdiff1d(gone, mine[named])
    if len(unnamed):
        row = scene.tokens.row[unnamed, near]
        found.append(_modification(scene, "header", row, of, row, row))
    return found


def _counterparts(
    scene: Scene, gone: NDArray[np.int64], near: int, far: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return tokens of *gone* and, for each, the only one with its bytes that *far* saw and *near* did not."""
    tokens, verdicts = scene.tokens, scene.verdicts
    way = tokens.way
    fresh = np.flatnonzero((tokens.row[:, far] >= 0) & (tokens.row[:, near] < 0))
    fresh = fresh[np.isin(way[fresh], np.unique(way[gone]))]
    both = np.concatenate((gone, fresh))
    is_fresh = np.repeat([False, True], [len(gone), len(fresh)])
    number = scene.packets.ip_id[tokens.first_row[both]].astype(np.int64)
    keys = (number, verdicts.end[both], verdicts.start[both], way[both])
    order = stable_order(is_fresh, *keys)
    begins = np.ones(len(both), np.bool_)
    begins[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    group = np.cumsum(begins) - 1
    pair = np.flatnonzero((np.bincount(group) == PAIR)[group] & begins)
    pair = pair[~is_fresh[order[pair]] & is_fresh[order[pair + 1]]] if len(pair) else pair
    return both[order[pair]], both[order[pair + 1]]


def _compared(
    scene: Scene, left: NDArray[np.int32], right: NDArray[np.int32]
) -> Iterator[tuple[Field, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (field, values at the near point, at the far point)."""
    raw = scene.raw
    names: tuple[Field, ...] = ("window", "flags")
    for name in names:
        yield name, getattr(raw, name)[left].astype(np.int64), getattr(raw, name)[right].astype(np.int64)
    stamped = [(raw.marks[rows] & MARK_TIMESTAMPS).astype(np.int64) for rows in (left, right)]
    yield "timestamps", stamped[0] // MARK_TIMESTAMPS, stamped[1] // MARK_TIMESTAMPS


def _modification(
    scene: Scene, name: Field, row: NDArray[np.int32], of: int, before: NDArray[np.integer],
    after: NDArray[np.integer],
) -> Modification:  # fmt: skip
    """Describe one field; values are listed where they are few."""
    values, count = np.unique(np.stack((before, after), axis=1), axis=0, return_counts=True)
    common = np.argsort(-count, kind="stable")[:MOST_LISTED] if len(values) <= MOST_VALUES else ()
    changes = tuple(
        Change(
            before=int(values[k][0]), after=int(values[k][1]), packets=int(count[k]),
            of=int((before == values[k][0]).sum()),
        )
        for k in common
    )  # fmt: skip
    return Modification(
        field=name, packets=len(row), of=of, flow=flow_key(scene.raw, int(row[0])), frame=int(scene.frames[row[0]]),
        changes=() if name == "header" else changes,
    )  # fmt: skip
