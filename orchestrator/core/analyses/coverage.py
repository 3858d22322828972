"""How much of what demonstrably passed each point it saw, by class and direction: a mirror may show one way only.

A packet passed every point between two that saw it, of those that see its two hosts at all (ALGORITHMS A.11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.verdicts import KINDS
from orchestrator.model.measures import Coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.finding import Direction
    from orchestrator.model.measures import Kind

CLASSES: tuple[Kind, ...] = ("tcp-data", "tcp-control", "udp", "icmp", "other")
CLASS_OF_KIND = {"data": 0, "udp": 2, "icmp": 3, "other": 4}
"""Everything else is TCP without payload."""
DIRECTIONS: tuple[tuple[int, Direction], ...] = ((FORWARD, "forward"), (REVERSE, "reverse"))


def measure_coverage(scene: Scene) -> list[tuple[Coverage, ...]]:
    """Return by point what it saw of every class and direction of which something passed it."""
    return [_listed(total, saw) for total, saw in _counted(scene)]


def control_seen(scene: Scene) -> NDArray[np.int64]:
    """Return by point, direction (forward, reverse): TCP packets without payload that passed it, and that it saw."""
    control = slice(2 * CLASSES.index("tcp-control"), 2 * CLASSES.index("tcp-control") + 2)
    counts = [np.stack((total[control], saw[control]), axis=1) for total, saw in _counted(scene)]
    return np.array(counts, np.int64).reshape(-1, 2, 2)


def _counted(scene: Scene) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return by point (what passed it, what of that it saw), each by class and direction; resets are left out."""
    tokens, routes = scene.tokens, scene.routes
    seen = tokens.row >= 0
    low = np.argmax(seen, axis=1)
    high = seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)
    kind_class = np.array([CLASS_OF_KIND.get(kind, 1) for kind in KINDS])
    group = kind_class[scene.kind] * 2 + (routes.direction == REVERSE)
    known = scene.verdicts.counted & (routes.direction != 0) & ~tokens.ambiguous
    known &= ~scene.verdicts.proxied.between(tokens.flow, low, high) & (scene.kind != KINDS.index("rst"))
    found = []
    for point in range(seen.shape[1]):
        passed = known & (low < point) & (high > point)
        passed &= _met(scene, seen[:, point])[routes.pair]
        total, saw = (np.bincount(group[c], minlength=2 * len(CLASSES)) for c in (passed, passed & seen[:, point]))
        found.append((total, saw))
    return found


def _met(scene: Scene, here: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return by address pair whether a point saw anything of it; *here* by token what it saw."""
    pair = scene.routes.pair
    met = np.zeros(int(pair.max()) + 1 if len(pair) else 0, np.bool_)
    met[pair[here]] = True
    return met


def _listed(total: NDArray[np.int64], saw: NDArray[np.int64]) -> tuple[Coverage, ...]:
    """Return the classes and directions of which something passed."""
    rows: Sequence[tuple[int, int]] = [(c, d) for c in range(len(CLASSES)) for d in (0, 1)]
    return tuple(
        Coverage(kind=CLASSES[c], direction=DIRECTIONS[d][1], passed=int(total[2 * c + d]), seen=int(saw[2 * c + d]))
        for c, d in rows
        if total[2 * c + d]
    )
