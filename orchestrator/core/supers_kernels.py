"""How large the frames of every conversation are, in two walks over all packets."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel
from orchestrator.model.columns import TCP


@kernel
def survey_segments(protocol, payload, wirelen, point, flow, bit, most_options, shortest, fullest):
    """Find the shortest headers of data, then the most that a frame fills: payload and the options beyond these.

    Args: by row: columns of model.columns.Packets, point uint8[:], flow int32[:] (-1: none), bit uint8[:]; outputs by
    flow direction and point: shortest int64[:, :] of the largest number, fullest int64[:, :] of 0.
    """
    for row in range(protocol.size):
        if protocol[row] == TCP and payload[row] > 0 and flow[row] >= 0:
            way = np.int64(flow[row]) * 2 + np.int64(bit[row])
            headers = np.int64(wirelen[row]) - np.int64(payload[row])
            shortest[way, point[row]] = min(shortest[way, point[row]], headers)
    for row in range(protocol.size):
        if protocol[row] == TCP and payload[row] > 0 and flow[row] >= 0:
            way = np.int64(flow[row]) * 2 + np.int64(bit[row])
            headers = np.int64(wirelen[row]) - np.int64(payload[row])
            further = min(max(headers - shortest[way, point[row]], 0), most_options)
            filled = np.int64(payload[row]) + further
            fullest[way, point[row]] = max(fullest[way, point[row]], filled)
