"""List the connections of a run: who opened, who closed, what each end sent, how long the opening took where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections_kernels import (
    AGAIN,
    ANSWERS,
    CARRIES,
    OPENS,
    RESETS,
    walk_connections,
)
from orchestrator.core.analyses.handshakes import time_handshakes
from orchestrator.core.analyses.heartbeats import find_heartbeat
from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.analyses.stalls import describe_stall, describe_zero_window
from orchestrator.core.analyses.unanswered import ANSWER_NS
from orchestrator.core.routes import REVERSE
from orchestrator.model.columns import ACK, FIN, RST, SYN, TCP
from orchestrator.model.connection import Closed, Connection, Half, Opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.idle import Silences
    from orchestrator.core.analyses.parted import Parted
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.core.analyses.stalls import Stalls
    from orchestrator.model.connection import Heartbeat
    from orchestrator.model.finding import FlowKey, Origin, Reset, Side

MOST_CONNECTIONS = 2_000
"""Each costs as much as a thousand packets."""
NOBODY = -1
FARTHEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Arrays by connection; places are of the packets that were walked."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    idle: NDArray[np.int64]
    idle_at: NDArray[np.int64]
    opener: NDArray[np.int64]
    answer: NDArray[np.int64]
    reset: NDArray[np.int64]
    packets: NDArray[np.int64]
    """By connection and side, as are the following."""
    resent: NDArray[np.int64]
    lost: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    done: NDArray[np.int64]


def list_connections(
    scene: Scene, parted: Parted, stalls: Stalls, silences: Silences, resets: Sequence[Reset]
) -> tuple[list[Connection], int]:
    """Return connections in the order of their beginning, and how many there are.

    Of more than MOST_CONNECTIONS those in which something went wrong are kept first, then the largest.
    """
    token, order, number, side, deed = parted.token, parted.order, parted.number, parted.side, parted.deed
    if not len(token):
        return [], 0
    walk = _walk(order, number, side, deed, parted.time_ns, _reach(scene, token), parted.count)
    chosen = _chosen(walk, stalls.anything)
    client = _client_side(scene, token[parted.leading], side[parted.leading], side, walk)
    members = [order[parted.begins[n] : parted.begins[n + 1]] for n in chosen.tolist()]
    origins = {(scene.names.index(r.first_seen), r.frames[0][1][0]): r.origin for r in resets}
    latest_ns = int(scene.verdicts.time_ns.max())
    found = [
        replace(
            _connection(scene, walk, n, int(client[n]), token, token[part], side[part], deed[part], origins, latest_ns),
            stall=describe_stall(scene, parted, stalls, silences, n, int(client[n])),
            zero_window=describe_zero_window(stalls, n, int(client[n])),
        )
        for n, part in zip(chosen.tolist(), members, strict=True)
    ]
    return found, parted.count


def _reach(scene: Scene, token: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the data of each packet begins and ends; SYN and FIN take a place and are no data."""
    first = scene.tokens.first_row[token]
    begin = scene.verdicts.start[token] + ((scene.packets.flags[first] & SYN) > 0)
    return begin, begin + scene.packets.payload[first]


def _walk(
    order: NDArray[np.int64], number: NDArray[np.int64], side: NDArray[np.uint8], deed: NDArray[np.uint8],
    time: NDArray[np.int64], reach: tuple[NDArray[np.int64], NDArray[np.int64]], count: int,
) -> _Walk:  # fmt: skip
    walk = _Walk(
        first=np.zeros(count, np.int64), last=np.zeros(count, np.int64), idle=np.zeros(count, np.int64),
        idle_at=np.zeros(count, np.int64), opener=np.full(count, NOBODY), answer=np.full(count, NOBODY),
        reset=np.full(count, NOBODY), packets=np.zeros((count, 2), np.int64),
        resent=np.zeros((count, 2), np.int64), lost=np.zeros((count, 2), np.int64),
        low=np.full((count, 2), FARTHEST), high=np.full((count, 2), -FARTHEST), done=np.zeros((count, 2), np.int64),
    )  # fmt: skip
    walk_connections(
        order, number, side, deed, time, *reach, walk.first, walk.last, walk.idle, walk.idle_at, walk.opener,
        walk.answer, walk.reset, walk.packets, walk.resent, walk.lost, walk.low, walk.high, walk.done,
    )  # fmt: skip
    return walk


def _chosen(walk: _Walk, stalled: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the connections to list, in the order of their beginning."""
    count = len(walk.first)
    unanswered = (walk.opener >= 0) & (walk.answer < 0)
    wrong = walk.lost.any(axis=1) | (walk.reset >= 0) | unanswered | stalled
    kept = np.lexsort((-walk.packets.sum(axis=1), ~wrong))[:MOST_CONNECTIONS] if count > MOST_CONNECTIONS else (
        np.arange(count)
    )  # fmt: skip
    return kept[np.argsort(walk.first[kept], kind="stable")]


def _client_side(
    scene: Scene, leading: NDArray[np.int64], led_by: NDArray[np.uint8], side: NDArray[np.uint8], walk: _Walk
) -> NDArray[np.uint8]:
    """Return by connection which side is the client: who opened, else who did not answer, else as the paths say.

    Args: *leading* is the first token of each, *led_by* its side.
    """
    client = led_by ^ (scene.routes.direction[leading] == REVERSE).astype(np.uint8)
    client = np.where(walk.answer >= 0, side[walk.answer] ^ 1, client)
    return np.where(walk.opener >= 0, side[walk.opener], client).astype(np.uint8)


def _connection(
    scene: Scene, walk: _Walk, n: int, client: int, token: NDArray[np.int64], mine: NDArray[np.int64],
    side: NDArray[np.uint8], deed: NDArray[np.uint8], origins: dict[tuple[int, int], Origin], latest_ns: int,
) -> Connection:  # fmt: skip
    """Describe one connection; *mine* are its tokens, side and deed theirs; the capture ends at *latest_ns*."""
    tcp = int(scene.packets.protocol[scene.tokens.first_row[mine[0]]]) == TCP
    flow, elsewhere = _addresses(scene, mine, side == client)
    closed, closed_by = _closing(scene, walk, n, client, mine, token, side)
    origin = _origin(scene, int(token[walk.reset[n]]), origins) if closed == "reset" else None
    if closed == "reset" and origin != "endpoint":
        closed_by = "unknown"  # whoever it names need not have sent it
    halves = [_half(scene, walk, n, s, mine[side == s], tcp=tcp) for s in (client, 1 - client)]
    return Connection(
        flow=flow, elsewhere=elsewhere, first_ns=int(walk.first[n]), last_ns=int(walk.last[n]),
        opened=_opening(scene, mine, side == client, deed, latest_ns) if tcp else "datagrams",
        closed=closed, closed_by=closed_by, origin=origin,
        client=halves[0], server=halves[1], handshake=time_handshakes(scene, mine, side == client, deed),
        idle_ns=int(walk.idle[n]), idle_at_ns=int(walk.idle_at[n]), heartbeat=_heartbeat(scene, mine, deed),
    )  # fmt: skip


def _opening(
    scene: Scene, mine: NDArray[np.int64], from_client: NDArray[np.bool_], deed: NDArray[np.uint8], latest_ns: int
) -> Opened:
    """Return how it began; a client that acknowledges, or sends data, was answered, whoever saw that or not."""
    if (deed & ANSWERS).any():
        return "handshake"
    if not (deed & OPENS).any():
        return "mid-stream"
    flags = scene.packets.flags[scene.tokens.first_row[mine]]
    if (((deed & (OPENS | RESETS)) == 0) & ((flags & ACK) > 0)).any():
        return "unseen"
    if from_client.all():
        return "unanswered" if int(scene.verdicts.time_ns[mine[0]]) + ANSWER_NS <= latest_ns else "unseen"
    return "refused" if (~from_client & ((deed & RESETS) > 0)).any() else "unseen"


def _closing(
    scene: Scene, walk: _Walk, n: int, client: int, mine: NDArray[np.int64], token: NDArray[np.int64],
    side: NDArray[np.uint8],
) -> tuple[Closed, Side]:  # fmt: skip
    """Return how it ended, and at whose wish: who claims to have sent the reset, or whose FIN came first."""
    if walk.done[n].all():
        return "fin", _who(_first_to_finish(scene, mine, side), client)
    if walk.reset[n] >= 0:
        return "reset", _who(int(side[mine == token[walk.reset[n]]][0]), client)
    if walk.done[n].any():
        return "half", _who(int(walk.done[n, 1]), client)
    return "open", "unknown"


def _who(side: int | None, client: int) -> Side:
    return "unknown" if side is None else "client" if side == client else "server"


def _first_to_finish(scene: Scene, mine: NDArray[np.int64], side: NDArray[np.uint8]) -> int | None:
    """Return the side whose FIN the other one's answers; None where they crossed on the way.

    Only acknowledgements tell: between points the clocks may be off by more than the time between both.
    """
    first = scene.tokens.first_row[mine]
    fins = (scene.packets.flags[first] & (FIN | RST)) == FIN
    known = fins & (scene.verdicts.acked[mine] >= 0)
    answers = [False, False]
    for one in (0, 1):
        theirs, own = mine[fins & (side != one)], mine[known & (side == one)]
        if len(theirs) and len(own):
            answers[one] = int(scene.verdicts.acked[own].min()) >= int(scene.verdicts.end[theirs].max())
    if answers[0] == answers[1]:
        return None
    return 1 if answers[0] else 0


def _half(scene: Scene, walk: _Walk, n: int, side: int, mine: NDArray[np.int64], *, tcp: bool) -> Half:
    if tcp:
        size = max(int(walk.high[n, side] - walk.low[n, side]), 0) if walk.high[n, side] > -FARTHEST else 0
    else:
        size = int(scene.packets.payload[scene.tokens.first_row[mine]].sum())
    return Half(
        packets=int(walk.packets[n, side]),
        bytes=size,
        resent=int(walk.resent[n, side]),
        vanished=int(walk.lost[n, side]),
    )  # fmt: skip


def _heartbeat(scene: Scene, mine: NDArray[np.int64], deed: NDArray[np.uint8]) -> Heartbeat | None:
    """Return the heartbeat of one connection; what is sent again is no beat."""
    data = mine[(deed & (CARRIES | AGAIN)) == CARRIES]
    sizes = scene.packets.payload[scene.tokens.first_row[data]].astype(np.int64)
    return find_heartbeat(scene.verdicts.time_ns[data], sizes)


def _origin(scene: Scene, token: int, origins: dict[tuple[int, int], Origin]) -> Origin:
    """Return what the reset *token* was found to be; those beyond the most that are looked into stay unknown."""
    for point in range(scene.tokens.row.shape[1]):
        row = int(scene.tokens.row[token, point])
        if row >= 0 and (point, int(scene.frames[row])) in origins:
            return origins[point, int(scene.frames[row])]
    return "unknown"


def _addresses(
    scene: Scene, mine: NDArray[np.int64], from_client: NDArray[np.bool_]
) -> tuple[FlowKey, tuple[tuple[str, FlowKey], ...]]:
    """Return the ends as the first point on the way from the client knows them, and points that know others."""
    rows = scene.tokens.row[mine]
    seen = rows >= 0
    example = rows[np.argmax(seen, axis=0), np.arange(rows.shape[1])]
    points = np.flatnonzero(seen.any(axis=0))
    back = scene.routes.direction[mine[0]] == REVERSE
    near = points[-1] if bool(back) == bool(from_client[0]) else points[0]
    keys = {}
    for point in points.tolist():
        if point == near or scene.packets.flow[example[point]] != scene.packets.flow[example[near]]:
            key = flow_key(scene.packets, int(example[point]))
            forward = from_client[int(np.argmax(seen[:, point]))]
            keys[point] = key if forward else key.turned()
    own = keys.pop(int(near))
    return own, tuple((scene.names[p], key) for p, key in keys.items())
