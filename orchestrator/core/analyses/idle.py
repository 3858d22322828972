"""Silences of connections and how they ended: the measure against which an idle timeout is held (ALGORITHMS D.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.idle_kernels import SURVIVED, find_silences
from orchestrator.core.analyses.reset_around import IDLE_NS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.parted import Parted
    from orchestrator.core.analyses.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Silences:
    """Arrays by silence, by connection and then in time order."""

    connection: NDArray[np.int64]
    length_ns: NDArray[np.int64]
    until_ns: NDArray[np.int64]
    fate: NDArray[np.uint8]
    seen: NDArray[np.bool_]
    """Shape (silences, points): whether that point saw the connection."""

    def survived_at(self, point: int) -> NDArray[np.int64]:
        """Return the lengths of silences that connections seen at *point* survived."""
        return np.asarray(self.length_ns[(self.fate == SURVIVED) & self.seen[:, point]])


def list_silences(scene: Scene, parted: Parted) -> Silences:
    """Return every silence of the TCP connections of *parted*."""
    order = parted.order[parted.tcp[parted.order]]
    number, time = parted.number, parted.time_ns
    same = (np.diff(number[order]) == 0) & (np.diff(time[order]) >= IDLE_NS) if len(order) else np.empty(0, np.bool_)
    count = int(same.sum())
    connection, length, until = np.empty((3, count), np.int64)
    fate = np.empty(count, np.uint8)
    if count:
        find_silences(order, number, parted.side, parted.resets, time, IDLE_NS, connection, length, until, fate)
    seen = scene.tokens.row[parted.token[parted.leading[connection]]] >= 0
    return Silences(connection=connection, length_ns=length, until_ns=until, fate=fate, seen=seen)
