"""Who the client of each connection is, where it is seen first, and when it was active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections_kernels import ANSWERS, OPENS
from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.precursors.watch import Activity
from orchestrator.core.routes import REVERSE, address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.parted import Parted
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets
    from orchestrator.model.finding import FlowKey

SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Arrays by connection."""

    row: NDArray[np.int64]
    """Its first packet at the point nearest to the client."""
    point: NDArray[np.int64]
    """That point."""
    from_client: NDArray[np.bool_]
    """Whether the client sent that packet."""

    def flow(self, packets: Packets, n: int) -> FlowKey:
        """Return the flow of connection *n*, from client to server."""
        key = flow_key(packets, int(self.row[n]))
        return key if self.from_client[n] else key.turned()


def find_ends(scene: Scene, parted: Parted) -> Ends:
    """Return the ends of all connections: the client is who opened, else who did not answer, else as paths say."""
    leading = parted.leading
    back = scene.routes.direction[parted.token[leading]] == REVERSE
    client = parted.side[leading] ^ back.astype(np.uint8)
    for deed, turn in ((ANSWERS, 1), (OPENS, 0)):
        places = parted.order[(parted.deed[parted.order] & deed) > 0]
        which, first = np.unique(parted.number[places], return_index=True)
        client[which] = parted.side[places[first]] ^ turn
    from_client = parted.side[leading] == client
    seen = scene.tokens.row[parted.token[leading]] >= 0
    lowest, highest = seen.argmax(axis=1), seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    point = np.where(back == from_client, highest, lowest).astype(np.int64)
    row = scene.tokens.row[parted.token[leading], point].astype(np.int64)
    return Ends(row=row, point=point, from_client=from_client)


def activity_of(scene: Scene, parted: Parted, ends: Ends) -> tuple[Activity, dict[str, str]]:
    """Return when clients had connections open, and by client the point that sees it first; empty where it is alone."""
    packets, order = scene.packets, parted.order
    opened = np.zeros(parted.count, np.bool_)
    opened[parted.number[(parted.deed & OPENS) == 0]] = True  # an attempt is no connection
    chosen = np.flatnonzero(opened)
    rows, out = ends.row[chosen], ends.from_client[chosen]
    sender = packets.src_lo[rows] ^ packets.src_hi[rows] * SPREAD
    receiver = packets.dst_lo[rows] ^ packets.dst_hi[rows] * SPREAD
    _, example, client = np.unique(np.where(out, sender, receiver), return_index=True, return_inverse=True)
    names = tuple(_client_name(packets, int(rows[k]), sends=bool(out[k])) for k in example.tolist())
    by_client = np.argsort(client, kind="stable")
    begins, lasts = order[parted.begins[chosen]], order[parted.begins[chosen + 1] - 1]
    activity = Activity(
        clients=names, client=client[by_client].astype(np.int64),
        server=np.where(out, receiver, sender)[by_client].view(np.int64),
        first_ns=parted.time_ns[begins][by_client], last_ns=parted.time_ns[lasts][by_client],
    )  # fmt: skip
    points = ends.point[chosen][example]
    alone = np.bincount(points, minlength=len(scene.names)) == 1
    return activity, {
        name: "" if alone[point] else scene.names[point] for name, point in zip(names, points.tolist(), strict=True)
    }


def _client_name(packets: Packets, row: int, *, sends: bool) -> str:
    family = int(packets.family[row])
    if sends:
        return str(address(int(packets.src_hi[row]), int(packets.src_lo[row]), family))
    return str(address(int(packets.dst_hi[row]), int(packets.dst_lo[row]), family))
