"""Read capture files into columns: pcap and pcapng, both byte orders, whatever is readable of a damaged file.

Files are read with pread in chunks, never mapped: a file that shrinks under a map kills the process.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import CaptureFileError
from orchestrator.pcap.dissect_kernels import dissect
from orchestrator.pcap.growing import GrowingTable
from orchestrator.pcap.record_kernels import (
    BAD_LENGTH,
    FULL,
    LARGEST_RECORD,
    STOPPED_AT_BLOCK,
    walk_pcap,
    walk_pcapng,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

CHUNK_BYTES = 1 << 20
RECORDS_A_CALL = 1 << 15

LINK_TYPES = {
    0: "NULL", 1: "EN10MB", 9: "PPP", 12: "RAW", 14: "RAW", 50: "PPP_SERIAL", 101: "RAW", 104: "C_HDLC",
    105: "IEEE802_11", 108: "LOOP", 113: "LINUX_SLL", 127: "IEEE802_11_RADIO", 228: "IPV4", 229: "IPV6",
    276: "LINUX_SLL2",
}  # fmt: skip

PCAP_MAGIC = {
    0xA1B2C3D4: (16, 1000),
    0xA1B23C4D: (16, 1),
    0xA1B2CD34: (24, 1000),  # "modified" pcap: eight more bytes a record
}
OTHER_FORMATS = {
    b"\x1f\x8b": "gzip-compressed: run `gunzip` first",
    b"\x28\xb5\x2f\xfd": "zstd-compressed: run `unzstd` first",
    b"snoop\0\0\0": "a snoop file: convert it with `editcap -F pcap`",
}


@dataclass(slots=True)
class CaptureFile:
    """What the header and the walk over one file told."""

    path: Path
    link_types: list[int] = field(default_factory=list)
    """By interface, numbered on through the sections of the file."""
    defects: list[str] = field(default_factory=list)
    drops: int | None = None
    """Interface statistics of a pcapng, where written."""

    @property
    def link_type_name(self) -> str:
        """The link types found, as text."""
        names = {LINK_TYPES.get(t, f"type {t} (not decoded)") for t in self.link_types}
        return ", ".join(sorted(names)) or "unknown"


@dataclass(slots=True)
class _Walk:
    """State of one walk over a file."""

    file: CaptureFile
    descriptor: int
    is_pcapng: bool = False
    big: bool = False
    header: int = 16
    unit_ns: int = 1000
    first_interface: int = 0
    rates: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    snaplens: list[int] = field(default_factory=list)
    table: GrowingTable = field(default_factory=GrowingTable)
    size: int = 0
    """Bytes of the file when it was opened."""

    @property
    def count(self) -> int:
        """Packets so far."""
        return self.table.count


def read_capture(path: Path) -> tuple[Packets, CaptureFile]:
    """Return the packets of *path* in file order, and what is to be known about the file.

    Raises:
        CaptureFileError: There is no such file, or it is no capture file at all.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise CaptureFileError(msg, hint="Check the path and the rights of the file.") from error
    try:
        walk = _Walk(CaptureFile(path), descriptor, size=os.fstat(descriptor).st_size)
        start = _read_header(walk)
        _read_records(walk, start)
    except IsADirectoryError as error:
        msg = f"{path}: is a directory"
        raise CaptureFileError(msg, hint="Name a capture file.") from error
    finally:
        os.close(descriptor)
    return walk.table.finished(), walk.file


def _read_header(walk: _Walk) -> int:
    """Recognise the format; return where the records start."""
    head = os.pread(walk.descriptor, 24, 0)
    path = walk.file.path
    for magic, what in OTHER_FORMATS.items():
        if head.startswith(magic):
            msg = f"{path}: {what}"
            raise CaptureFileError(msg, hint="pcap and pcapng are read.")
    if head[:4] == b"\x0a\x0d\x0d\x0a":
        walk.is_pcapng = True
        return 0
    for big in (False, True):
        magic_number = struct.unpack(">I" if big else "<I", head[:4])[0] if len(head) >= 4 else 0  # noqa: PLR2004
        if magic_number in PCAP_MAGIC:
            walk.big = big
            walk.header, walk.unit_ns = PCAP_MAGIC[magic_number]
            if len(head) < 24:  # noqa: PLR2004
                walk.file.defects.append("the file header is cut")
                return len(head)
            walk.file.link_types = [struct.unpack(">I" if big else "<I", head[20:24])[0] & 0xFFFF]
            return 24
    msg = f"{path}: neither pcap nor pcapng (it starts with {head[:4].hex() or 'nothing'})"
    raise CaptureFileError(
        msg,
        hint="Convert it with Wireshark's `editcap -F pcapng`, or check what wrote it.",
    )


def _read_records(walk: _Walk, start: int) -> None:
    """Walk the file chunk by chunk from offset *start*."""
    arrays = (
        np.empty(RECORDS_A_CALL, np.int64), np.empty(RECORDS_A_CALL, np.uint32), np.empty(RECORDS_A_CALL, np.uint32),
        np.empty(RECORDS_A_CALL, np.int64), np.zeros(RECORDS_A_CALL, np.uint16),
    )  # fmt: skip
    buffer = bytearray(CHUNK_BYTES)  # one for all chunks: fresh memory costs more than the read into it
    position = start
    while True:
        got = os.preadv(walk.descriptor, [buffer], position)
        if not got:
            return
        used, reason = _walk_chunk(walk, np.frombuffer(buffer, np.uint8, got), position, arrays)
        position += used
        if reason == BAD_LENGTH:
            walk.file.defects.append(f"record {walk.count + 1:,} has an impossible length, file cut there")
            return
        if used == 0:
            if got < len(buffer):
                walk.file.defects.append(f"the file ends inside record {walk.count + 1:,}")
                return
            buffer = bytearray(2 * len(buffer))
            if len(buffer) > 4 * LARGEST_RECORD:
                walk.file.defects.append(
                    f"record {walk.count + 1:,} claims more than {LARGEST_RECORD:,} bytes, file cut there"
                )
                return
        elif len(buffer) > CHUNK_BYTES:
            buffer = bytearray(CHUNK_BYTES)


def _walk_chunk(walk: _Walk, data: NDArray[np.uint8], base: int, arrays: tuple[NDArray[Any], ...]) -> tuple[int, int]:
    """Decode one chunk; return (bytes used, reason for ending)."""
    used = 0
    reason = FULL
    while reason == FULL:
        chunk = data[used:]
        count, step, reason = _walk_once(walk, chunk, arrays)
        if count:
            _decode(walk, chunk, base + used, count, arrays)
        used += step
        if reason == STOPPED_AT_BLOCK:
            length = _read_block(walk, bytes(data[used : used + 65_536]), len(data) - used)
            if length < 0:
                return used, BAD_LENGTH
            if length == 0:
                return used, 0
            if used + length > len(data):
                return used + length, 0  # a long block that is skipped: go on behind it
            used += length
            reason = FULL
    return used, reason


def _walk_once(walk: _Walk, chunk: NDArray[np.uint8], arrays: tuple[NDArray[Any], ...]) -> tuple[int, int, int]:
    where, caplen, wirelen, time_ns, interface = arrays
    if not walk.is_pcapng:
        interface[:] = 0
        done: tuple[int, int, int] = walk_pcap(
            chunk, chunk.size, walk.big, walk.header, walk.unit_ns, where, caplen, wirelen, time_ns
        )
        return done
    known = len(walk.rates)
    rates = np.array(walk.rates or [1], np.int64)
    offsets = np.array(walk.offsets or [0], np.int64)
    snaplens = np.array(walk.snaplens or [0], np.int64)
    found: tuple[int, int, int] = walk_pcapng(
        chunk, chunk.size, walk.big, known, rates, offsets, snaplens, where, caplen, wirelen, time_ns, interface
    )
    return found


def _decode(walk: _Walk, chunk: NDArray[np.uint8], base: int, count: int, arrays: tuple[NDArray[Any], ...]) -> None:
    """Dissect *count* records of *chunk*, which begins at offset *base* of the file, into the table."""
    where, caplen, wirelen, time_ns, interface = arrays
    part_read = (base + int(where[count - 1])) / max(walk.size, 1)
    blocks = walk.table.make_room(count, part_read).blocks
    if walk.first_interface:
        interface[:count] += np.uint16(walk.first_interface)
    link_types = np.array(walk.file.link_types, np.int64)
    target: tuple[Any, ...] = (*blocks, walk.table.count)
    dissect(chunk, where, caplen, wirelen, time_ns, interface, count, base, link_types, *target)
    walk.table.count += count


def _read_block(walk: _Walk, block: bytes, available: int) -> int:
    """Take in a block that is no packet; return its length, 0 when more bytes are needed, -1 when it cannot be true."""
    if len(block) < 12:  # noqa: PLR2004
        return 0
    if block[:4] == b"\x0a\x0d\x0d\x0a":
        walk.big = block[8:12] == b"\x1a\x2b\x3c\x4d"
        if not walk.big and block[8:12] != b"\x4d\x3c\x2b\x1a":
            return -1
        walk.first_interface = len(walk.file.link_types)
        walk.rates, walk.offsets, walk.snaplens = [], [], []
    order = ">" if walk.big else "<"
    kind, length = struct.unpack(order + "II", block[:8])
    if length < 12 or length % 4:  # noqa: PLR2004
        return -1
    if kind in (1, 5):
        if length > available or length > len(block):
            return 0 if length <= len(block) else length
        if kind == 1:
            return length if _read_interface(walk, block[:length], order) else -1
        _read_statistics(walk, block[:length], order)
    return int(length)


def _read_interface(walk: _Walk, block: bytes, order: str) -> bool:
    """Note an interface description; return False when it is too short to be one."""
    if len(block) < 20:  # noqa: PLR2004
        return False
    link_type, _, snaplen = struct.unpack(order + "HHI", block[8:16])
    rate, offset = 1_000_000, 0
    for code, value in _options(block[16:-4], order):
        if code == 9 and len(value) >= 1:  # noqa: PLR2004 if_tsresol
            exponent = value[0] & 0x7F
            rate = 2**exponent if value[0] & 0x80 else 10**exponent
            rate = min(rate, 10**18)
        elif code == 14 and len(value) >= 8:  # noqa: PLR2004 if_tsoffset
            offset = struct.unpack(order + "q", value[:8])[0]
    walk.file.link_types.append(link_type)
    walk.rates.append(rate)
    walk.offsets.append(max(-(2**32), min(2**32, offset)))
    walk.snaplens.append(snaplen)
    return True


def _read_statistics(walk: _Walk, block: bytes, order: str) -> None:
    """Add the drop counters of an interface statistics block."""
    for code, value in _options(block[20:-4], order):
        if code in (5, 7) and len(value) >= 8:  # noqa: PLR2004 isb_ifdrop, isb_osdrop
            walk.file.drops = (walk.file.drops or 0) + struct.unpack(order + "Q", value[:8])[0]


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
