"""The seam between deciding and doing: who carries a step out, in this process or on a worker far away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Outcome = dict[str, Any]
"""Result of a step as JSON: ``{"ok": true, …}`` or ``{"ok": false, "code", "message", "cure"}``."""


@dataclass(frozen=True, slots=True)
class Call:
    """One step for one point. Only ids and numbers: whoever reads the queue learns nothing more."""

    step: str
    run_id: str
    point: str
    numbers: Mapping[str, int] = field(default_factory=dict)


class Runner(Protocol):
    """Carries steps out."""

    name: str
    """``embedded`` or ``redis``."""

    def gather(
        self, calls: Sequence[Call], timeout_s: float, give_up: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Call, Outcome]]:
        """Start all *calls* at once; yield each with its outcome as it ends, a time-out for what does not in time."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def failure(code: str, message: str, cure: str) -> Outcome:
    """Return the outcome of a step that failed."""
    return {"ok": False, "code": code, "message": message, "cure": cure}
