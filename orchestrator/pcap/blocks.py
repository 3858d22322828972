"""Blocks of a pcapng file that are no packets: the section, its interfaces, their statistics.

Left out on purpose, because programs in use read them wrongly: ``if_tsoffset`` (whole seconds, applied twice or not at
all), custom blocks (numbered as frames), ``epb_verdict`` and ``epb_hash`` (corrupted or dropped when saved again).
"""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass

LONGEST_TEXT = 60_000
"""Bytes of one option's text; its length field has 16 bits."""

COMMENT, APPLICATION, NAME, DESCRIPTION, RESOLUTION, FILTER = 1, 4, 2, 3, 9, 11
INTERFACE_DROPS, FILTER_ACCEPTED, KERNEL_DROPS, DELIVERED = 5, 6, 7, 8
SECTION = 0x0A0D0D0A
NANOSECONDS = b"\x09"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface description."""

    name: str
    link_type: int
    description: str = ""
    comment: str = ""
    filter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counters of one interface; None means not reported, never zero."""

    interface: int
    time_ns: int
    delivered: int
    accepted: int | None = None
    kernel_drops: int | None = None
    interface_drops: int | None = None


def plain_text(text: str) -> bytes:
    r"""Return *text* as UTF-8 that fits an option; what steers a display or hides is written out as ``\u202e``."""
    safe = "".join(_written_out(c) if unicodedata.category(c)[0] == "C" and c != "\n" else c for c in text)
    return safe.encode()[:LONGEST_TEXT].decode(errors="ignore").encode()


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  # the reach of two hex digits


def section_block(about: str, application: str) -> bytes:
    """Return the header of a section that says in its comment what it is *about*."""
    options = _text(COMMENT, about) + _text(APPLICATION, application) + _option(0, b"")
    return _block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)


def interface_block(interface: Interface) -> bytes:
    """Return an interface description with nanosecond resolution and no snaplen.

    libpcap refuses files whose interfaces differ in snaplen, so none is stated.
    """
    options = _text(NAME, interface.name) + _text(DESCRIPTION, interface.description)
    options += _option(RESOLUTION, NANOSECONDS)
    if interface.filter:
        options += _option(FILTER, b"\0" + plain_text(interface.filter))
    options += _text(COMMENT, interface.comment)
    return _block(1, struct.pack("<HHI", interface.link_type, 0, 0) + options + _option(0, b""))


def statistics_block(statistics: Statistics) -> bytes:
    """Return the counters of an interface, those that are known."""
    counters = (
        (INTERFACE_DROPS, statistics.interface_drops),
        (FILTER_ACCEPTED, statistics.accepted),
        (KERNEL_DROPS, statistics.kernel_drops),
        (DELIVERED, statistics.delivered),
    )
    options = b"".join(_option(code, struct.pack("<Q", value)) for code, value in counters if value is not None)
    time_ns = max(statistics.time_ns, 0)
    head = struct.pack("<III", statistics.interface, time_ns >> 32, time_ns & 0xFFFFFFFF)
    return _block(5, head + options + _option(0, b""))


def _text(code: int, text: str) -> bytes:
    return _option(code, plain_text(text)) if text else b""


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
