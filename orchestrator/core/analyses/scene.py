"""What all analyses look at once every token has its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Packets, tokens, routes and verdicts of one run."""

    packets: Packets
    raw: Packets
    """The same rows with the numbers that each point saw, where a device replaces them (core.shifts)."""
    frames: NDArray[np.int64]
    """By row its 1-based number within its point."""
    tokens: Tokens
    routes: Routes
    verdicts: Verdicts
    kind: NDArray[np.uint8]
    corrected_ns: NDArray[np.int64]
    facts: Sequence[PointFacts]
    names: Sequence[str]
    clocks_agree: bool
    """False where packets prove that some clock is not understood."""
