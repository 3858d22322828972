"""All frames as they stand in the files: messages are read of frames, while everything else is said of packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets


@dataclass(frozen=True, slots=True, kw_only=True)
class AllFrames:
    """Arrays by frame, points one after the other."""

    packets: Packets
    point: NDArray[np.uint8]
    token: NDArray[np.int64]
    """The packet that it shows, -1 for none."""
    time_ns: NDArray[np.int64]
    """On the reference clock."""
    number: NDArray[np.int64]
    """From 1, within its point."""
