"""How far along its way each token was seen, counted in the direction of travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.routes import REVERSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Arrays by token; a place is the number of points before it in the direction of travel."""

    way: NDArray[np.int64]
    """Flow direction: twice the flow, plus the bit."""
    back: NDArray[np.bool_]
    """Whether it travels against the order of the points."""
    entered: NDArray[np.int64]
    """First place that saw it."""
    left: NDArray[np.int64]
    """Last place that saw it."""
    end: NDArray[np.int64]
    """Last place of its route."""
    reach: NDArray[np.int64]
    """Place up to which tokens of its flow direction are followed; behind it they may go on in another shape."""

    @property
    def at_end(self) -> NDArray[np.bool_]:
        """Say for each token whether it was seen at the end of its route."""
        return self.left >= self.end


def find_spans(tokens: Tokens, routes: Routes) -> Spans:
    """Return the span of every token."""
    points = tokens.row.shape[1]
    seen = tokens.row >= 0
    low = np.argmax(seen, axis=1).astype(np.int64)
    high = points - 1 - np.argmax(seen[:, ::-1], axis=1).astype(np.int64)
    back = routes.direction == REVERSE
    ends = np.array([(min(p), max(p)) if p else (0, 0) for p in routes.points] + [(0, 0)], np.int64)
    left = np.where(back, points - 1 - low, high)
    end = np.where(back, points - 1 - ends[routes.route, 0], ends[routes.route, 1])
    way = tokens.way
    entered = np.where(back, points - 1 - high, low)
    followed = np.zeros(int(way.max()) + 1 if len(way) else 0, np.int64)
    several = left > entered
    np.maximum.at(followed, way[several], left[several])
    return Spans(way=way, back=back, entered=entered, left=left, end=end, reach=np.maximum(left, followed[way]))
