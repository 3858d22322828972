"""A point's clock against the reference clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockModel:
    """offset(t) = offset_ns + drift · (t − at_ns), t on the reference clock; this clock minus the reference."""

    reference: str
    at_ns: int
    offset_ns: int = 0
    drift: float = 0.0
    """Seconds a second; 1e-6 is 1 ppm."""
    uncertainty_ns: int | None = 0
    """Hard half-width; None where one side is unbounded."""
    method: Literal["reference", "packets", "prior", "none"] = "none"
    notes: tuple[str, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    """(raw time at which the clock was set, by how much) while it captured; the line is for times without them."""

    def to_reference(self, raw_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return *raw_ns* of this clock on the reference clock."""
        elapsed = raw_ns - _wrapped(self.at_ns + self.offset_ns)
        slip = (elapsed.astype(np.float64) * (self.drift / (1.0 + self.drift))).astype(np.int64)
        corrected: NDArray[np.int64] = raw_ns - _wrapped(self.offset_ns) - slip
        return corrected

    def offset_at(self, reference_ns: int) -> int:
        """Return the offset at *reference_ns*."""
        return self.offset_ns + round(self.drift * (reference_ns - self.at_ns))


def _wrapped(value_ns: int) -> int:
    """Return *value_ns* modulo 2**64 as an int64: damaged files claim times at both ends of what fits."""
    return (value_ns + 2**63) % 2**64 - 2**63
