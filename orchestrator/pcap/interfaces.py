"""Which interface of a written file a packet belongs to: one a point, several where a point has several link types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.pcap.blocks import Interface
from orchestrator.pcap.capture_file import LINK_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

ETHERNET = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One capture file: its packets are rows ``start`` to ``stop``; the files of one point follow each other."""

    path: Path
    point: int
    link_types: tuple[int, ...]
    """By interface, as in the file."""
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is written about a point."""

    name: str
    description: str = ""
    comment: str = ""
    filter: str = ""
    accepted: int | None = None
    kernel_drops: int | None = None
    interface_drops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The interfaces of a file, and how packets find theirs."""

    interfaces: tuple[Interface, ...]
    point: tuple[int, ...]
    """By interface."""
    packets: tuple[int, ...]
    """By interface."""
    first_of_file: NDArray[np.int64]
    """By file: where its interfaces begin in the next two."""
    number_of: NDArray[np.int64]
    """Number in the written file, by interface of a source."""
    link_of: NDArray[np.int64]
    """Link type, by interface of a source."""


def number_interfaces(
    points: Sequence[Label], sources: Sequence[Source], packets: Packets, *, ethernet: bool, only: int | None = None
) -> Numbering:
    """Return the interfaces that *sources* need, in the order of *points*.

    Args: ethernet, whether every frame is written as Ethernet; only, the one point that is written.
    """
    counts = [_packets_by_interface(source, packets) for source in sources]
    numbers: dict[tuple[int, int], int] = {}
    held: list[int] = []
    for point in range(len(points)) if only is None else [only]:
        mine = [(s, c) for s, c in zip(sources, counts, strict=True) if s.point == point]
        for link_type, count in _link_types(mine, ethernet=ethernet).items():
            numbers[point, link_type] = len(numbers)
            held.append(count)
    number_of = [
        numbers.get((s.point, ETHERNET if ethernet else link_type), 0) for s in sources for link_type in s.link_types
    ]
    lengths = [len(s.link_types) for s in sources]
    return Numbering(
        interfaces=tuple(_interface(points[p], link_type, _several(numbers, p)) for p, link_type in numbers),
        point=tuple(p for p, _ in numbers),
        packets=tuple(held),
        first_of_file=np.cumsum([0, *lengths], dtype=np.int64)[:-1],
        number_of=np.array(number_of, np.int64),
        link_of=np.array([t for s in sources for t in s.link_types], np.int64),
    )


def _packets_by_interface(source: Source, packets: Packets) -> list[int]:
    """Return how many packets each interface of *source* holds."""
    if len(source.link_types) <= 1:
        return [source.stop - source.start] * len(source.link_types)
    numbers = packets.interface[source.start : source.stop]
    counted: list[int] = np.bincount(numbers, minlength=len(source.link_types)).tolist()
    return counted


def _link_types(files: Sequence[tuple[Source, Sequence[int]]], *, ethernet: bool) -> dict[int, int]:
    """Return the packets of a point by link type: those that have any, else the first that is named."""
    found: dict[int, int] = {}
    for source, counts in files:
        for link_type, count in zip(source.link_types, counts, strict=True):
            written = ETHERNET if ethernet else link_type
            found[written] = found.get(written, 0) + count
    return {t: n for t, n in found.items() if n} or {next(iter(found), ETHERNET): 0}


def _several(numbers: dict[tuple[int, int], int], point: int) -> bool:
    return sum(p == point for p, _ in numbers) > 1


def _interface(label: Label, link_type: int, several: bool) -> Interface:  # noqa: FBT001
    """Return the description of one interface; its link type is in its name only where a point has several."""
    interface = Interface(
        name=label.name, link_type=link_type, description=label.description, comment=label.comment, filter=label.filter
    )
    if not several:
        return interface
    return replace(interface, name=f"{label.name} ({LINK_TYPES.get(link_type, f'link type {link_type}')})")
