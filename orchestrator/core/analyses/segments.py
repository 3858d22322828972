"""Count each segment and direction: sent, delivered, vanished, unseen, undecided; measure delay and reordering."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.delays import measure_delay
from orchestrator.core.analyses.mechanisms import FEWEST, find_mechanism
from orchestrator.core.analyses.modifications import find_modifications
from orchestrator.core.analyses.passage import exact_delays, line_up
from orchestrator.core.analyses.reordering import measure_reordering
from orchestrator.core.analyses.sample import draw_sample
from orchestrator.core.analyses.tally import tally_segments
from orchestrator.core.hidden import is_hidden
from orchestrator.core.rates import loss_rate
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.verdicts import KINDS, REASONS
from orchestrator.model.finding import SegmentRow, Undecided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.core.analyses.passage import Passage
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.core.analyses.tally import Key, Tally
    from orchestrator.model.columns import Run
    from orchestrator.model.finding import Direction
    from orchestrator.model.measures import LossRate
    from orchestrator.model.plan import SegmentLabel


def count_segments(
    scene: Scene, neighbours: Sequence[tuple[int, int]], labels: Mapping[tuple[str, str], SegmentLabel], run: Run,
) -> tuple[list[SegmentRow], list[Undecided]]:  # fmt: skip
    """Return one row a segment and direction, and the undecided counts by reason.

    Args: neighbours are the segments of the paths, near to far in path order; claims between other points become rows
    with ``span``; run calls a function on every member of lists, like map, perhaps several at a time.
    """
    tallies = tally_segments(scene.tokens, scene.routes, scene.verdicts, scene.packets, neighbours)
    listed = set(neighbours)
    keys: list[Key] = [key for a, b in neighbours for key in ((a, b, FORWARD), (b, a, REVERSE))]
    spans = sorted(k for k in tallies if not _is_listed(k, listed) and _claims(tallies[k]))
    rows = [_row(key, scene.names, labels, span=key in spans) for key in keys + spans]
    filled = [(row, tallies[key], key, scene) for row, key in zip(rows, keys + spans, strict=True) if key in tallies]
    deque(run(_fill, *zip(*filled, strict=True)) if filled else (), maxlen=0)
    undecided = [
        Undecided(reason=REASONS[int(reason)], count=int(count), near=row.near, far=row.far)
        for row, tally, _, _ in filled
        for reason, count in zip(*np.unique(tally.reasons, return_counts=True), strict=True)
    ]
    _add_round_trips(rows)
    return rows, undecided


def _row(key: Key, names: Sequence[str], labels: Mapping[tuple[str, str], SegmentLabel], *, span: bool) -> SegmentRow:
    """Return an empty row."""
    direction: Direction = "forward" if key[2] == FORWARD else "reverse"
    row = SegmentRow(near=names[key[0]], far=names[key[1]], direction=direction, span=span)
    _describe(row, labels)
    return row


def _is_listed(key: Key, listed: set[tuple[int, int]]) -> bool:
    near, far, direction = key
    return ((near, far) if direction == FORWARD else (far, near)) in listed


def _claims(tally: Tally) -> bool:
    return bool(len(tally.confirmed) or len(tally.probable))


def _describe(row: SegmentRow, labels: Mapping[tuple[str, str], SegmentLabel]) -> None:
    """Copy what the inventory says about the segment."""
    assert row.near is not None
    assert row.far is not None
    ends = (row.near, row.far) if row.direction == "forward" else (row.far, row.near)
    label = labels.get(ends)
    if label is not None:
        row.contains = label.contains if row.direction == "forward" else tuple(reversed(label.contains))
        row.name, row.circuit = label.name, label.circuit


def _fill(row: SegmentRow, tally: Tally, key: Key, scene: Scene) -> None:
    """Count and measure one row."""
    near, far, _ = key
    tokens, packets = scene.tokens, scene.packets
    row.sent, row.delivered = len(tally.sent), len(tally.delivered)
    row.vanished, row.vanished_probable, row.undecided = len(tally.confirmed), len(tally.probable), len(tally.undecided)
    unseen = tally.delivered[tokens.row[tally.delivered, far] < 0]
    row.unseen = int((~is_hidden(scene.routes, unseen, far)).sum())
    lost = np.concatenate((tally.confirmed, tally.probable))
    passage = line_up(tokens, tally.delivered, lost, near, far)
    met = passage.token[passage.met]
    row.duplicated = int((tokens.copies[met, far] > tokens.copies[met, near]).sum())
    row.modified, row.hops, row.modifications = find_modifications(scene, passage, tally.delivered, near, far)
    _, delay_ns = exact_delays(packets, scene.corrected_ns, passage)
    row.delay = measure_delay(delay_ns, scene.facts[near], scene.facts[far], clocks_agree=scene.clocks_agree)
    row.reordering = measure_reordering(tokens, scene.corrected_ns, passage)
    row.reordered = row.reordering.packets if row.reordering is not None else 0
    if len(lost) >= FEWEST:
        row.mechanism = find_mechanism(draw_sample(packets, tokens, scene.corrected_ns, passage, key[2]))
    row.loss = _loss(passage, scene, len(tally.delivered))


def _loss(passage: Passage, scene: Scene, delivered: int) -> LossRate | None:
    """Return the loss ratio; acknowledgements that a later one made needless are left out."""
    lost = np.flatnonzero(passage.lost)
    token = passage.token[lost]
    needless = lost[scene.verdicts.superseded[token] & (scene.kind[token] == KINDS.index("ack"))]
    if len(needless):
        lost = np.setdiff1d(lost, needless)
        lost = lost - np.searchsorted(needless, lost)
    return loss_rate(lost, delivered + len(lost))


def _add_round_trips(rows: Sequence[SegmentRow]) -> None:
    """Add the smallest delays of both directions of a segment: their clock offsets cancel."""
    by_ends = {(r.near, r.far, r.direction): r for r in rows}
    for row in rows:
        back = by_ends.get((row.far, row.near, "reverse" if row.direction == "forward" else "forward"))
        if back is None or row.delay is None or back.delay is None or row.delay.doubt == "clocks-contradict":
            continue
        row.round_trip_ns = row.delay.min + back.delay.min
