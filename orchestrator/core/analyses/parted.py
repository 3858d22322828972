"""Which packet belongs to which connection, and what it does there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections_kernels import (
    AGAIN,
    ANSWERS,
    CARRIES,
    FINISHES,
    GONE,
    OPENS,
    RESETS,
    part_connections,
)
from orchestrator.core.analyses.copies_kernels import AGAIN as RESENT
from orchestrator.core.sort import stable_order
from orchestrator.model.columns import ACK, FIN, RST, SYN, TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.copies import Copies
    from orchestrator.core.analyses.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """Arrays by place, one place a TCP or UDP packet; connections are numbered from 0."""

    token: NDArray[np.int64]
    order: NDArray[np.int64]
    """Places by connection, then time."""
    number: NDArray[np.int64]
    """Its connection."""
    side: NDArray[np.uint8]
    deed: NDArray[np.uint8]
    """Bits of connections_kernels."""
    time_ns: NDArray[np.int64]
    tcp: NDArray[np.bool_]
    count: int
    begins: NDArray[np.int64]
    """By connection where it begins in ``order``, and one more."""

    @property
    def leading(self) -> NDArray[np.int64]:
        """Return by connection the place of its first packet."""
        return self.order[self.begins[:-1]]

    @property
    def resets(self) -> NDArray[np.bool_]:
        """Say by place whether it is a reset."""
        return np.asarray((self.deed & RESETS) > 0)


def part(scene: Scene, copies: Copies) -> Parted:
    """Return the connections of all packets."""
    packets, verdicts = scene.packets, scene.verdicts
    first = scene.tokens.first_row
    token = np.flatnonzero(np.isin(packets.protocol[first], (TCP, UDP)) & (packets.fragment[first] == 0))
    stream, time = verdicts.stream[token], verdicts.time_ns[token]
    deed = _deeds(scene, copies, token)
    pair = stream >> 1
    order = stable_order(time, pair)
    number = np.empty(len(token), np.int64)
    count = part_connections(order, pair, deed, packets.seq[first[token]], number) if len(token) else 0
    return Parted(
        token=token, order=order, number=number, side=(stream & 1).astype(np.uint8), deed=deed, time_ns=time,
        tcp=packets.protocol[first[token]] == TCP, count=count,
        begins=np.searchsorted(number[order], np.arange(count + 1)),
    )  # fmt: skip


def _deeds(scene: Scene, copies: Copies, token: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return what each packet does."""
    packets, first = scene.packets, scene.tokens.first_row[token]
    tcp = packets.protocol[first] == TCP
    flags = np.where(tcp, packets.flags[first], 0)
    opens = (flags & SYN) > 0
    answers = opens & ((flags & ACK) > 0)
    return (
        np.where(opens & ~answers, OPENS, 0) | np.where(answers, ANSWERS, 0)
        | np.where((flags & FIN) > 0, FINISHES, 0) | np.where((flags & RST) > 0, RESETS, 0)
        | np.where(packets.payload[first] > 0, CARRIES, 0)
        | np.where((copies.found[token] & RESENT) > 0, AGAIN, 0)
        | np.where(scene.verdicts.claims()[token], GONE, 0)
    ).astype(np.uint8)  # fmt: skip
