"""Failures without a reset: data or FIN sent again into silence, and windows that stayed closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections_kernels import ANSWERS, CARRIES, FINISHES, OPENS
from orchestrator.core.analyses.stalls_kernels import DATA, FINISH, walk_stalls
from orchestrator.core.routes import REVERSE
from orchestrator.model.columns import ACK
from orchestrator.model.connection import Stall, ZeroWindow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.idle import Silences
    from orchestrator.core.analyses.parted import Parted
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.finding import Side

FEWEST_RESENT = 3
"""So many copies without any answer are no hiccup."""
SHORTEST_NS = 1_000_000_000
"""As long must that go on, or a window stay closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """Arrays by connection and side."""

    sent: NDArray[np.int64]
    resent: NDArray[np.int64]
    since: NDArray[np.int64]
    last: NDArray[np.int64]
    """Place of the latest of them."""
    heard: NDArray[np.int64]
    closed: NDArray[np.int64]
    closed_at: NDArray[np.int64]
    stalled: NDArray[np.bool_]

    @property
    def anything(self) -> NDArray[np.bool_]:
        """Say by connection whether something stalled it."""
        return np.asarray((self.stalled | (self.closed >= SHORTEST_NS)).any(axis=1))


def find_stalls(scene: Scene, parted: Parted) -> Stalls:
    """Return what every TCP connection met without a reset."""
    packets, first = scene.packets, scene.tokens.first_row[parted.token]
    order, deed = parted.order[parted.tcp[parted.order]], parted.deed
    opening, resets = (deed & (OPENS | ANSWERS)) > 0, parted.resets
    asks = np.where((deed & FINISHES) > 0, FINISH, np.where((deed & CARRIES) > 0, DATA, 0)).astype(np.uint8)
    tells = ((packets.flags[first] & ACK) > 0) & ~opening & ~resets
    again = _said_before(scene, parted, order, asks)
    table = [np.zeros((parted.count, 2), np.int64) for _ in range(7)]
    walk_stalls(
        order, parted.number, parted.side, asks, again, resets, packets.window[first] == 0, tells, parted.time_ns,
        *table,
    )  # fmt: skip
    sent, resent, since, last, heard, closed, closed_at = table
    enough = (resent >= FEWEST_RESENT) & (parted.time_ns[last] - since >= SHORTEST_NS) if len(parted.token) else (
        resent > 0
    )  # fmt: skip
    stalled = enough & (heard[:, ::-1] > 0)  # whose packets pass no point is not called silent
    return Stalls(
        sent=sent, resent=resent, since=since, last=last, heard=heard, closed=closed, closed_at=closed_at,
        stalled=stalled,
    )  # fmt: skip


def _said_before(scene: Scene, parted: Parted, order: NDArray[np.int64], asks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say by place whether it brings nothing that its sender had not sent before."""
    again = np.zeros(len(parted.token), np.bool_)
    asking = order[asks[order] > 0]
    key = parted.number[asking] * 2 + parted.side[asking]
    ends = scene.verdicts.end[parted.token[asking]]
    by_sender = np.argsort(key, kind="stable")
    key, ends, asking = key[by_sender], ends[by_sender], asking[by_sender]
    starts = np.flatnonzero(np.concatenate(([True], np.diff(key) != 0))) if len(key) else np.empty(0, np.int64)
    base = np.repeat(ends[starts], np.diff(np.append(starts, len(key)))) if len(key) else ends
    lift = (np.cumsum(np.concatenate(([0], (np.diff(key) != 0).astype(np.int64)))) if len(key) else key) << 40
    reach = np.maximum.accumulate(ends - base + lift) if len(key) else ends
    again[asking[1:]] = (ends - base + lift)[1:] <= reach[:-1]
    again[asking[starts]] = False
    return again


def describe_stall(
    scene: Scene, parted: Parted, stalls: Stalls, silences: Silences, n: int, client: int
) -> Stall | None:
    """Return what connection *n* sent into silence; None where it was answered."""
    sides = np.flatnonzero(stalls.stalled[n])
    if not len(sides):
        return None
    side = int(sides[0])
    place = int(stalls.last[n, side])
    token = int(parted.token[place])
    last, missing = _whereabouts(scene, token)
    since = int(stalls.since[n, side])
    mine = silences.connection == n
    ended = mine & (np.abs(silences.until_ns - since) <= SHORTEST_NS // 100)
    return Stall(
        by=_who(side, client), kind="fin" if parted.deed[place] & FINISHES else "data",
        packets=int(stalls.sent[n, side]), resent=int(stalls.resent[n, side]), since_ns=since,
        until_ns=int(parted.time_ns[place]), last_seen=scene.names[last],
        first_missing=None if missing < 0 else scene.names[missing],
        silent_before_ns=int(silences.length_ns[ended].max()) if ended.any() else 0,
    )  # fmt: skip


def describe_zero_window(stalls: Stalls, n: int, client: int) -> ZeroWindow | None:
    """Return the longest time in which an end of connection *n* took nothing; None where it is short."""
    side = int(np.argmax(stalls.closed[n]))
    if stalls.closed[n, side] < SHORTEST_NS:
        return None
    return ZeroWindow(
        by=_who(side, client), longest_ns=int(stalls.closed[n, side]), at_ns=int(stalls.closed_at[n, side])
    )  # fmt: skip


def _who(side: int, client: int) -> Side:
    return "client" if side == client else "server"


def _whereabouts(scene: Scene, token: int) -> tuple[int, int]:
    """Return (last point that saw a token, first that should have and did not, -1 where none is known)."""
    verdicts = scene.verdicts
    if verdicts.claims()[token]:
        return int(verdicts.last_seen[token]), int(verdicts.missing_at[token])
    seen = np.flatnonzero(scene.tokens.row[token] >= 0)
    return int(seen[0] if scene.routes.direction[token] == REVERSE else seen[-1]), -1
