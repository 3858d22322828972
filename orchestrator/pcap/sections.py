"""Blocks of a pcapng that are no packets: sections, interfaces and their counters. Everything else is passed over."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECTION, INTERFACE, STATISTICS = 0x0A0D0D0A, 1, 5
SECTION_MARK = b"\x0a\x0d\x0d\x0a"
"""A section header reads the same in both byte orders."""
LITTLE, BIG = b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"
SHORTEST_BLOCK, SHORTEST_SECTION, SHORTEST_INTERFACE, SHORTEST_STATISTICS = 12, 28, 20, 24
LONGEST_DESCRIPTION = 1 << 16
"""Bytes of an interface description or statistics block that are looked at."""
IF_TSRESOL, IF_TSOFFSET = 9, 14
ISB_IFDROP, ISB_OSDROP = 5, 7
MICROSECONDS = 1_000_000
FINEST_DECIMAL, FINEST_BINARY = 19, 63
"""Exponents of the finest resolutions that a 64-bit count can be of; with finer ones no second ever passes."""
LARGEST_OFFSET = 1 << 34
"""Seconds; far outside of what 64 bits of nanoseconds hold, so what is beyond is cut to the same."""
MOST_INTERFACES = 0xFFFF
FEW = 16


class Sections:
    """What the sections read so far said of their interfaces; interfaces are numbered on through all sections."""

    def __init__(self) -> None:
        self.big = False
        self.first = 0
        """Number of the first interface of the present section."""
        self.count = 0
        """Interfaces of all sections so far."""
        self.complaints: list[str] = []
        self._link_types = np.zeros(FEW, np.int64)
        self._rates = np.ones(FEW, np.uint64)
        self._offsets = np.zeros(FEW, np.int64)
        self._snaplens = np.zeros(FEW, np.int64)
        self._dropped: dict[int, int] = {}

    @property
    def link_types(self) -> NDArray[np.int64]:
        """Link types by interface."""
        return self._link_types[: self.count]

    @property
    def clocks(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
        """Ticks a second, offsets in seconds and snaplens by interface of the present section; never empty."""
        here = slice(self.first, None)
        return self._rates[here], self._offsets[here], self._snaplens[here]

    @property
    def drops(self) -> int | None:
        """Drops that interface statistics tell of: counters run, so the last of an interface counts."""
        return sum(self._dropped.values()) if self._dropped else None

    @property
    def order(self) -> str:
        """Byte order of the present section, as struct names it."""
        return ">" if self.big else "<"

    def take(self, data: NDArray[np.uint8]) -> tuple[int, str]:
        """Take in the block that *data* begins with; return (its length, what is wrong with it or nothing).

        The length is 0 where something is wrong or more bytes are needed; it may reach beyond *data*.
        """
        head = bytes(data[:16])
        is_section = head.startswith(SECTION_MARK)
        if len(head) < (16 if is_section else SHORTEST_BLOCK):
            return 0, ""
        if is_section and (wrong := self._begin(head)):
            return 0, wrong
        kind, stated = struct.unpack(self.order + "II", head[:8])
        length = (stated + 3) // 4 * 4  # some writers do not count the padding
        if length < (SHORTEST_SECTION if is_section else SHORTEST_BLOCK):
            return 0, f"claims {size_in_words(stated)}"
        if length <= len(data) and struct.unpack(self.order + "I", bytes(data[length - 4 : length]))[0] != stated:
            return 0, "has two different lengths"
        if kind in (INTERFACE, STATISTICS):
            return self._describe(kind, data, length)
        return length, ""

    def _describe(self, kind: int, data: NDArray[np.uint8], length: int) -> tuple[int, str]:
        """Read an interface description or its statistics; return as take does."""
        if len(data) < length <= LONGEST_DESCRIPTION:
            return 0, ""
        block = bytes(data[: min(length, LONGEST_DESCRIPTION)])
        wrong = self._add_interface(block) if kind == INTERFACE else self._add_statistics(block)
        return 0 if wrong else length, wrong

    def _begin(self, start: bytes) -> str:
        """Enter the section that begins with the 16 bytes *start*; return what is wrong with it, if anything."""
        mark = start[8:12]
        if mark not in (LITTLE, BIG):
            return "is a section without a byte order"
        self.big = mark == BIG
        major = struct.unpack(self.order + "H", start[12:14])[0]
        if major != 1:
            return f"is of pcapng version {major}, which is not known"
        self.first = self.count
        self._make_room()
        return ""

    def _add_interface(self, block: bytes) -> str:
        """Note an interface description; return what is wrong with it, if anything."""
        if len(block) < SHORTEST_INTERFACE:
            return "is too short for an interface"
        if self.count == MOST_INTERFACES:
            return f"describes one interface more than {MOST_INTERFACES:,}"
        link_type, _, snaplen = struct.unpack(self.order + "HHI", block[8:16])
        rate, offset = MICROSECONDS, 0
        for code, value in _options(block[16:-4], self.order):
            if code == IF_TSRESOL and value:
                rate = self._rate(value[0])
            elif code == IF_TSOFFSET and len(value) == 8:  # noqa: PLR2004
                offset = struct.unpack(self.order + "q", value)[0]
        self._link_types[self.count] = link_type
        self._rates[self.count] = rate
        self._offsets[self.count] = max(-LARGEST_OFFSET, min(LARGEST_OFFSET, offset))
        self._snaplens[self.count] = snaplen
        self.count += 1
        self._make_room()
        return ""

    def _make_room(self) -> None:
        """Keep one place free behind the last interface."""
        if self.count < len(self._rates):
            return
        self._link_types, self._rates, self._offsets, self._snaplens = (
            np.concatenate([column, np.ones_like(column)])
            for column in (self._link_types, self._rates, self._offsets, self._snaplens)
        )

    def _rate(self, resolution: int) -> int:
        """Return the ticks a second of an if_tsresol byte."""
        exponent = resolution & 0x7F
        base, finest = (2, FINEST_BINARY) if resolution & 0x80 else (10, FINEST_DECIMAL)
        if exponent > finest:
            number = self.count
            self.complaints.append(f"interface {number} claims a clock of {base}^-{exponent} s, its times mean nothing")
        return int(base ** min(exponent, finest))

    def _add_statistics(self, block: bytes) -> str:
        """Note the drop counters of an interface statistics block; return what is wrong with it, if anything."""
        if len(block) < SHORTEST_STATISTICS:
            return "is too short for statistics"
        interface = self.first + struct.unpack(self.order + "I", block[8:12])[0]
        known = [
            struct.unpack(self.order + "Q", value)[0]
            for code, value in _options(block[20:-4], self.order)
            if code in (ISB_IFDROP, ISB_OSDROP) and len(value) == 8  # noqa: PLR2004
        ]
        if known:
            self._dropped[interface] = sum(known)
        return ""


def _options(data: bytes, order: str) -> list[tuple[int, bytes]]:
    """Return the options in *data*, as far as they are whole."""
    found = []
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack(order + "HH", data[at : at + 4])
        if code == 0 or at + 4 + length > len(data):
            break
        found.append((code, data[at + 4 : at + 4 + length]))
        at += 4 + (length + 3) // 4 * 4
    return found


def size_in_words(count: int) -> str:
    """Return a number of bytes as people write it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{round(count / unit, 1):g} {name}"
    return f"{count} bytes"
