"""What is invented: how much traffic over how many points, what the line does to it, and how wrong the clocks are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SECOND_NS = 1_000_000_000
SOURCES = ("scenario.py", "flow_kernels.py", "frame_kernels.py", "generate.py")
"""What decides the bytes that come out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The parameters of one set of captures."""

    packets: int = 5_000_000
    """A point, about: whole flows are made until there are as many."""
    points: int = 2
    snaplen: int = 128
    """Bytes kept of each frame; 0 keeps all."""
    loss: float = 0.005
    """Over the whole path, of data, acknowledgements and datagrams alike."""
    reordered: float = 0.001
    """Over the whole path: the share that is overtaken by what comes behind it."""
    offset_ns: int = 37_123_000
    """How far the clocks of even points (the second, the fourth) are ahead; those of odd ones lag by as much."""
    drift_ppb: int = 12_000
    seed: int = 1
    packets_per_second: int = 50_000
    shortest_ns: int = 20 * SECOND_NS
    """Few packets are spread over this time."""

    @property
    def names(self) -> tuple[str, ...]:
        """The points, nearest to the clients first."""
        return tuple(f"p{number + 1:02d}" for number in range(self.points))

    @property
    def duration_ns(self) -> int:
        """The time in which flows begin."""
        return max(self.shortest_ns, self.packets * SECOND_NS // self.packets_per_second)

    @property
    def record_bytes(self) -> int:
        """What a record takes on average, about; for asking whether there is room."""
        return 1100 if self.snaplen == 0 else min(1100, self.snaplen)

    @property
    def file_bytes(self) -> int:
        """What all files of the scenario take, about."""
        return self.packets * self.points * self.record_bytes

    def clocks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return offset (ns) and drift (ppb) of every point's clock against the first one's."""
        number = np.arange(self.points)
        sign = np.where(number % 2 == 1, 1, -1)
        sign[0] = 0
        return sign * self.offset_ns * ((number + 1) // 2), sign * self.drift_ppb

    def key(self) -> str:
        """Return a name for the captures: the same for the same parameters and the same generator."""
        state = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for source in SOURCES:
            state.update(Path(__file__).with_name(source).read_bytes())
        return f"captures-{self.points}x{self.packets}-{self.snaplen or 'whole'}-{state.hexdigest()[:12]}"
