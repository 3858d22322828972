"""What makes two frames the same packet (RFC 5475: a digest over content that does not change on the way)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.identity_kernels import BRIEF, NOTHING, WHOLE, identify
from orchestrator.model.columns import BRIEF_BYTES, DIGEST_BYTES, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets


def identities(packets: Packets, level: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return one hash a row, shape (rows,); *level* by row says how much of the payload takes part."""
    found = np.empty(len(packets), np.uint64)
    identify(
        packets.protocol, packets.flags, packets.fragment, packets.window, packets.seq, packets.ack, packets.tsval,
        packets.tsecr, packets.payload, packets.digest, packets.brief, level, found,
    )  # fmt: skip
    return found


def payload_levels(packets: Packets, group: NDArray[np.int32], groups: int) -> NDArray[np.uint8]:
    """Return by row how much payload every row of its *group* has kept: WHOLE, BRIEF or NOTHING.

    The same packet must have the same identity at every point, so the point that kept least decides for a flow, and
    for that flow alone.
    """
    missing = packets.kept < np.minimum(packets.payload, DIGEST_BYTES)
    missing &= (packets.family > 0) & (packets.protocol != TCP) & (group >= 0)
    level = np.full(groups + 1, WHOLE, np.uint8)  # the last, which is -1, stands for rows that are in no group
    if missing.any():
        level[group[missing]] = BRIEF
        short = missing & (packets.kept < np.minimum(packets.payload, BRIEF_BYTES))
        level[group[short]] = NOTHING
    found: NDArray[np.uint8] = level[group]
    return found
