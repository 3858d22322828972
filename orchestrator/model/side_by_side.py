"""Which of a point's files were captured side by side, on several interfaces, and which one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE_AFTER_THE_OTHER = 0.2
"""Share of the shorter of two files that may overlap the one before it: a clock that was set makes a ring do so."""
MOST_MEMBERS = 64
"""Interfaces that are told apart; a flow's are remembered as bits."""


def number_members(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Number the interfaces that files with such first and last times come from; files in order of their first times.

    A file goes on where another one ends, as those of a ring do, or it is of an interface of its own.
    """
    last: list[tuple[int, int]] = []
    number = []
    for start, end in spans:
        fits = [k for k, (began, ended) in enumerate(last) if _goes_on(began, ended, start, end)]
        member = min(fits, key=lambda k: abs(start - last[k][1]), default=len(last))
        last[member : member + 1] = [(start, end)]
        number.append(min(member, MOST_MEMBERS - 1))
    return number


def _goes_on(began: int, ended: int, start: int, end: int) -> bool:
    """Say whether a file from *start* to *end* may follow one from *began* to *ended*."""
    return ended - start <= ONE_AFTER_THE_OTHER * min(ended - began, end - start)
