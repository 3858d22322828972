"""What numbers that encrypted and media packets carry in the clear tell of loss, as values of result.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.finding import Direction, FlowKey

Kind = Literal["esp", "wireguard", "dtls", "rtp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAtPoint:
    """One series as one point saw it."""

    point: str
    received: int
    """Different numbers."""
    lost: int
    """Numbers that no point saw, between others that this one saw: lost before it, by inference."""
    undecided: int
    """The same where the capture, its edges or fragments may be why."""
    elsewhere: int
    """Numbers missing here that another point saw: verdicts on packets say why."""
    duplicated: int
    reordered: int
    reason: str = ""
    """Why this point decides nothing; empty where it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of numbers of one flow direction."""

    kind: Kind
    flow: FlowKey
    direction: Direction | None
    points: tuple[SeriesAtPoint, ...]
    """In the direction of travel."""
    vanished: tuple[tuple[str, str, int], ...] = ()
    """(last seen, first missing, packets) as the verdicts on its packets locate them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLoss:
    """What all series of one direction tell of the part before one point."""

    point: str
    direction: Direction
    lost: int
    undecided: int
    received: int
    """By the series that the point was the first to decide."""
    series: int
    """How many of them show a loss."""
    kinds: tuple[Kind, ...]
    counted: bool
    """Whether the point counts what its capture drops."""
