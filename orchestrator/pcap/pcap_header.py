"""Read the file header of a classic pcap, and tell apart the dialects that share its magic numbers."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from orchestrator.pcap.record_kernels import (
    ALWAYS_SWAPPED,
    LARGEST_RECORD,
    NEVER_SWAPPED,
    SWAPPED_WHERE_LONGER,
)

HEADER_BYTES = 24
PROBE_BYTES = 1 << 18
"""From the beginning of a file; enough for the first records, from which dialects are told apart."""

MICRO, NANO = 1000, 1
MAGIC = {
    0xA1B2C3D4: (MICRO, HEADER_BYTES, (16, 20, 24)),  # libpcap; Nokia IPSO and Linux patches of 1999 add to its records
    0xA1B23C4D: (NANO, HEADER_BYTES, (16,)),
    0xA1B2CD34: (MICRO, HEADER_BYTES, (24, 28)),  # Kuznetzov's "modified" pcap and a successor
    0x1C0001AC: (MICRO, HEADER_BYTES + 4, (16,)),  # Ixia hardware and software: the size of all records follows
    0x1C0001AB: (MICRO, HEADER_BYTES + 4, (16,)),
}
"""By magic number: nanoseconds a unit of the fraction, bytes before the first record, bytes of a record header."""

DG_UX_VERSION = (543, 0)
AIX_VERSION = (2, 2)
AIX_LINK_TYPES = {6: 1, 9: 6, 15: 10, 24: 0}
"""AIX writes interface types, and nanoseconds: here the link types that they stand for."""
PROBED_RECORDS = 3
SECOND_NS = 1_000_000_000
YEAR_S = 31_536_000
LARGEST_FRAME = 1 << 16


@dataclass(frozen=True, slots=True)
class PcapHeader:
    """How the records of a classic pcap are laid out."""

    big: bool
    unit_ns: int
    start: int
    """Offset of the first record."""
    header: int
    """Bytes of a record header."""
    swapped: int
    link_type: int


def read_pcap_header(head: bytes) -> PcapHeader | None:
    """Return the layout of a file that begins with *head*, None where it is no classic pcap.

    A header that is cut is filled up with zeros: there are no records behind it.
    """
    for order in ("<", ">"):
        magic = struct.unpack(order + "I", head[:4].ljust(4, b"\0"))[0]
        if magic in MAGIC:
            unit_ns, start, headers = MAGIC[magic]
            major, minor, _, _, _, network = struct.unpack(order + "HHiIII", head[4:24].ljust(20, b"\0"))
            link_type = network & 0xFFFF  # the upper half holds the length of the frame check sequence
            if (major, minor) == AIX_VERSION and network in AIX_LINK_TYPES:
                unit_ns, link_type = NANO, AIX_LINK_TYPES[network]
            swapped = _swapped(major, minor)
            header = _record_header(head[start:], order, headers, unit_ns)
            return PcapHeader(order == ">", unit_ns, start, header, swapped, link_type)
    return None


def _swapped(major: int, minor: int) -> int:
    """Return how this version of the format orders the two lengths of a record."""
    if (major, minor) == DG_UX_VERSION or (major == 2 and minor < 3):  # noqa: PLR2004
        return ALWAYS_SWAPPED
    return SWAPPED_WHERE_LONGER if (major, minor) == (2, 3) else NEVER_SWAPPED


def _record_header(data: bytes, order: str, sizes: tuple[int, ...], unit_ns: int) -> int:
    """Return the one of *sizes* with which the first records make sense, the first where that is not clear."""
    if len(sizes) == 1 or _make_sense(data, order, sizes[0], unit_ns):
        return sizes[0]
    return next((size for size in sizes[1:] if _make_sense(data, order, size, unit_ns, strictly=True)), sizes[0])


def _make_sense(data: bytes, order: str, size: int, unit_ns: int, *, strictly: bool = False) -> bool:
    """Say whether the first records of *data* are plausible with headers of *size* bytes."""
    at = 0
    started = None
    for _ in range(PROBED_RECORDS):
        if at + size > len(data):
            return at == len(data) or at > PROBE_BYTES - LARGEST_FRAME
        seconds, fraction, kept, wire = struct.unpack(order + "IIII", data[at : at + 16])
        if fraction * unit_ns >= SECOND_NS or kept > LARGEST_RECORD:
            return False
        started = seconds if started is None else started
        if strictly and (kept > wire or wire > LARGEST_FRAME or abs(seconds - started) > YEAR_S):
            return False
        at += size + kept
    return True
