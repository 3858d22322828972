"""What the tests of mechanisms look at: packets of one segment in order of departure, with their fate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.passage import exact_delays
from orchestrator.core.rates import episode_starts
from orchestrator.core.routes import FORWARD
from orchestrator.model.hash_kernels import GOLDEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.passage import Passage
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets

UNKNOWN = np.int64(-1)
HEADER_BYTES = 40
"""Beside the payload, for whoever counts bytes on a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Arrays by packet in order of departure from the near point."""

    sent_ns: NDArray[np.int64]
    lost: NDArray[np.bool_]
    excess_ns: NDArray[np.int64]
    """Delay less the smallest delay; UNKNOWN of what is lost or came in a super-segment."""
    payload: NDArray[np.int64]
    way: NDArray[np.int64]
    """Flow direction."""
    host: NDArray[np.uint64]
    """Address nearer to the clients, hashed."""
    service: NDArray[np.uint64]
    """Protocol, address and port nearer to the servers, hashed."""

    def __len__(self) -> int:
        """Return the number of packets."""
        return len(self.lost)

    @property
    def gone(self) -> NDArray[np.int64]:
        """Return the places of the lost."""
        return np.flatnonzero(self.lost)

    @property
    def begins(self) -> NDArray[np.int64]:
        """Return the place of the first loss of each episode."""
        gone = self.gone
        return gone[episode_starts(gone)]

    def part(self, start: int, count: int) -> Sample:
        """Return *count* packets from *start* on."""
        fields = {name: getattr(self, name)[start : start + count] for name in self.__dataclass_fields__}
        return Sample(**fields)


def draw_sample(
    packets: Packets, tokens: Tokens, corrected_ns: NDArray[np.int64], passage: Passage, direction: int
) -> Sample:
    """Return the sample of *passage*, whose packets travel in *direction*."""
    left = passage.left
    excess = np.full(len(left), UNKNOWN)
    places, delay_ns = exact_delays(packets, corrected_ns, passage)
    if len(places):
        excess[places] = delay_ns - delay_ns.min()
    client, server = ("src", "dst") if direction == FORWARD else ("dst", "src")
    sides = {
        side: getattr(packets, f"{side}_hi")[left] * GOLDEN + getattr(packets, f"{side}_lo")[left]
        for side in (client, server)
    }
    port = (packets.dport if direction == FORWARD else packets.sport)[left].astype(np.uint64)
    service = (sides[server] * GOLDEN + port) * GOLDEN + packets.protocol[left].astype(np.uint64)
    return Sample(
        sent_ns=np.maximum.accumulate(corrected_ns[left]), lost=passage.lost, excess_ns=excess,
        payload=packets.payload[left].astype(np.int64),
        way=tokens.way[passage.token], host=sides[client],
        service=service,
    )  # fmt: skip
