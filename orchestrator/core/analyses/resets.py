"""Where each reset was born, what kind of sender made it, and who really sent it (ALGORITHMS D.1, D.2)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.coverage import control_seen
from orchestrator.core.analyses.reset_around import look_around
from orchestrator.core.analyses.reset_births import Birth, find_birth
from orchestrator.core.analyses.reset_causes import name_cause
from orchestrator.core.analyses.reset_numbers import compare_numbers
from orchestrator.core.analyses.reset_signs import Signs, read_signs
from orchestrator.core.routes import FORWARD, REVERSE, address
from orchestrator.core.sort import by_group, nearly_sorted
from orchestrator.core.verdicts import KINDS
from orchestrator.model.columns import RST, TCP
from orchestrator.model.finding import FlowKey, Reset, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets

PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}
MOST_RESETS = 10_000
MOST_FLOWS = 64
"""Other connections of a host that are looked at to learn its habits."""
MAKERS = {"active": "made by a live socket", "stateless": "made without a socket"}


def flow_key(packets: Packets, row: int) -> FlowKey:
    """Return the five-tuple of a packet."""
    family = int(packets.family[row])
    return FlowKey(
        protocol=PROTOCOLS.get(int(packets.protocol[row]), f"ip-{int(packets.protocol[row])}"),
        src=_written(int(packets.src_hi[row]), int(packets.src_lo[row]), family),
        sport=int(packets.sport[row]),
        dst=_written(int(packets.dst_hi[row]), int(packets.dst_lo[row]), family),
        dport=int(packets.dport[row]),
    )


@functools.lru_cache(maxsize=1 << 16)
def _written(high: int, low: int, family: int) -> str:
    """Return an address as text; a few stand in most flows."""
    return str(address(high, low, family))


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """One reset with what stands around it."""

    token: int
    birth: Birth
    signs: Signs
    reset: Reset


class _Streams:
    """Tokens by flow direction and by host; all resets of a run ask for them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        way = scene.verdicts.stream
        self.order = by_group(nearly_sorted(scene.verdicts.time_ns), way)
        ordered = way[self.order]
        self.begins = np.flatnonzero(np.concatenate(([True], np.diff(ordered) != 0)))
        self.ways = ordered[self.begins]
        self.ends = np.append(self.begins[1:], len(ordered))
        rows = scene.tokens.first_row[self.order[self.begins]]
        self.host = scene.packets.src_lo[rows] ^ (scene.packets.src_hi[rows] * np.uint64(0x9E3779B97F4A7C15))

    def of(self, way: int) -> NDArray[np.int64]:
        """Return the tokens of one flow direction, in time order."""
        at = int(np.searchsorted(self.ways, way))
        if at == len(self.ways) or self.ways[at] != way:
            return self.order[:0]
        return self.order[self.begins[at] : self.ends[at]]

    def others(self, way: int, point: int) -> NDArray[np.int64]:
        """Return rows at *point* of the TCP packets, resets left out, that the sender of *way* sent in other flows."""
        at = int(np.searchsorted(self.ways, way))
        same = np.flatnonzero(self.host == self.host[at])
        nearest = same[np.argsort(np.abs(same - at), kind="stable")][: MOST_FLOWS + 1]
        parts = [self.order[self.begins[k] : self.ends[k]] for k in nearest.tolist() if k != at]
        rows = self.scene.tokens.row[np.concatenate(parts), point] if parts else np.empty(0, np.int64)
        rows = rows[rows >= 0].astype(np.int64)
        packets = self.scene.packets
        return np.sort(rows[(packets.protocol[rows] == TCP) & ((packets.flags[rows] & RST) == 0)])


def locate_resets(scene: Scene) -> list[Located]:
    """Return one entry a RST token, in time order."""
    verdicts = scene.verdicts
    chosen = np.flatnonzero((scene.kind == KINDS.index("rst")) & verdicts.counted)
    chosen = chosen[np.argsort(verdicts.time_ns[chosen], kind="stable")][:MOST_RESETS]
    if not len(chosen):
        return []
    streams, control = _Streams(scene), control_seen(scene)
    return [_located(int(t), scene, streams, control) for t in chosen]


def _located(token: int, scene: Scene, streams: _Streams, control: NDArray[np.int64]) -> Located:
    """Describe one reset."""
    way = int(scene.verdicts.stream[token])
    own, other = streams.of(way), streams.of(way ^ 1)
    own = own[own != token]
    first = _first_point(scene, token)
    around = look_around(scene, int(scene.tokens.row[token, first]), first, own, other)
    numbers = compare_numbers(around, streams.others(way, first))
    signs = read_signs(around, numbers)
    birth = find_birth(scene, token, own, other, numbers, signs, control)
    return Located(token=token, birth=birth, signs=signs, reset=_reset(scene, token, birth, signs))


def _first_point(scene: Scene, token: int) -> int:
    """Return the first point on its way that saw a token."""
    seen = np.flatnonzero(scene.tokens.row[token] >= 0)
    if int(scene.routes.direction[token]) == 0:
        return int(seen[0])
    line = scene.routes.points[scene.routes.route[token]]
    line = line[::-1] if int(scene.routes.direction[token]) == REVERSE else line
    return int(next(p for p in line if scene.tokens.row[token, p] >= 0))


def _reset(scene: Scene, token: int, birth: Birth, signs: Signs) -> Reset:
    """Put in words where a reset was born; its cause as far as it tells it alone."""
    tokens, names = scene.tokens, scene.names
    row = int(tokens.row[token, birth.before])
    direction = int(scene.routes.direction[token])
    side: Side = "client" if direction == FORWARD else "server" if direction == REVERSE else "unknown"
    cause = name_cause(signs, birth.origin, side)
    seen = [p for p in birth.line if tokens.row[token, p] >= 0]
    return Reset(
        flow=flow_key(scene.packets, row), time_ns=int(scene.verdicts.time_ns[token]), first_seen=names[birth.before],
        seen=tuple(names[p] for p in seen), born_after=None if birth.after is None else names[birth.after],
        born_before=names[birth.before], origin=birth.origin, family=signs.family,
        cause=cause.name, supports=cause.supports, against=cause.against, would_decide=cause.would_decide,
        confidence=round(birth.confidence, 4), evidence=(*birth.said, MAKERS.get(signs.family, "maker unclear")),
        side=side,
        frames=tuple((names[p], (int(scene.frames[tokens.row[token, p]]),)) for p in seen),
    )  # fmt: skip
