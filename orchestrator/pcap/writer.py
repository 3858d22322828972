"""Write merged captures: one pcapng, one named interface a point, packets in corrected order, bytes untouched.

Corrected times stand in the packets themselves: ``if_tsoffset`` holds whole seconds only and tools disagree on it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.pcap.write_kernels import write_packets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

BATCH = 1 << 15
ORDINARY_SPAN_BYTES = 1 << 26
"""Bytes of one file that a batch may span before it is read in smaller steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One capture file in a merge: its packets are rows ``start`` to ``stop`` of the table."""

    path: Path
    name: str
    link_types: tuple[int, ...]
    start: int
    stop: int
    note: str = ""


class _Comments:
    """Comments on a few rows of very many: a packet without one costs a look into a mask."""

    def __init__(self, by_row: Mapping[int, str], rows: int) -> None:
        self._by_row = by_row
        self._present = np.zeros(rows, np.bool_)
        self._present[list(by_row)] = True

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return (bytes of the comment of each of *rows*, all of them in a row)."""
        places = np.flatnonzero(self._present[rows])
        texts = [self._by_row[row].encode()[:60_000] for row in rows[places].tolist()]
        lengths = np.zeros(len(rows), np.int64)
        lengths[places] = [len(text) for text in texts]
        return lengths, np.frombuffer(b"".join(texts) or b"\0", np.uint8)


def write_merged(
    target: Path, sources: Sequence[Source], packets: Packets, time_ns: NDArray[np.int64], token: NDArray[np.int64],
    comments: Mapping[int, str], about: str,
) -> int:  # fmt: skip
    """Write all *packets* of *sources* to *target* in the order of *time_ns*; return how many.

    Args: token and time_ns by row; comments by row. Written beside the target and renamed, so that no half file is
        found.
    """
    interface, blocks = _interfaces(sources, packets)
    first = int(time_ns.min()) if len(time_ns) else 0
    shift = -first if first < 0 else 0  # pcapng has no time before 1970
    order = np.argsort(time_ns, kind="stable")
    notes = _Comments(comments, len(packets))
    beside = target.with_name(target.name + ".part")
    file_of_row = np.zeros(len(packets), np.int64)
    for number, source in enumerate(sources):
        file_of_row[source.start : source.stop] = number
    descriptors = [os.open(s.path, os.O_RDONLY | os.O_CLOEXEC) for s in sources]
    try:
        with beside.open("wb") as out:
            out.write(_section(about))
            out.writelines(blocks)
            for begin in range(0, len(order), BATCH):
                rows = order[begin : begin + BATCH]
                _write_batch(out, descriptors, rows, file_of_row, packets, time_ns + shift, token, interface, notes)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    beside.replace(target)
    return len(order)


def _interfaces(sources: Sequence[Source], packets: Packets) -> tuple[NDArray[np.int64], list[bytes]]:
    """Return (interface number by row, interface blocks): one for each point and link type."""
    numbers: dict[tuple[str, int], int] = {}
    blocks = []
    interface = np.zeros(len(packets), np.int64)
    for source in sources:
        own = []
        for link_type in source.link_types or (1,):
            key = (source.name, link_type)
            if key not in numbers:
                numbers[key] = len(numbers)
                blocks.append(_interface_block(source.name, link_type, source.note))
            own.append(numbers[key])
        rows = slice(source.start, source.stop)
        interface[rows] = np.array(own, np.int64)[packets.interface[rows]]
    return interface, blocks


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _section(about: str) -> bytes:
    options = _option(1, about.encode()[:65_000]) + _option(4, b"vanishpoint") + _option(0, b"")
    return _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)


def _interface_block(name: str, link_type: int, note: str) -> bytes:
    options = _option(2, name.encode()) + _option(9, b"\x09")
    if note:
        options += _option(1, note.encode()[:65_000])
    return _block(1, struct.pack("<HHI", link_type, 0, 0) + options + _option(0, b""))


def _write_batch(
    out: BinaryIO, descriptors: Sequence[int], rows: NDArray[np.int64], file_of_row: NDArray[np.int64], packets:
    Packets,
    time_ns: NDArray[np.int64], token: NDArray[np.int64], interface: NDArray[np.int64], comments: _Comments,
) -> None:  # fmt: skip
    """Write the packets *rows*, which are in order."""
    source, where = _load(descriptors, rows, file_of_row, packets)
    lengths, blob = comments.of(rows)
    ends = np.cumsum(lengths)
    kept = packets.caplen[rows]
    buffer = np.empty(int(kept.sum()) + int(lengths.sum()) + 64 * len(rows), np.uint8)
    size = write_packets(
        buffer, source, where, kept, packets.wirelen[rows], time_ns[rows], interface[rows], token[rows],
        ends - lengths, ends, blob,
    )  # fmt: skip
    out.write(memoryview(buffer.data)[:size])


def _load(
    descriptors: Sequence[int], rows: NDArray[np.int64], file_of_row: NDArray[np.int64], packets: Packets
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return (bytes, offset of each row's frame in them)."""
    parts: list[NDArray[np.uint8]] = []
    where = np.empty(len(rows), np.int64)
    used = 0
    files = file_of_row[rows]
    for number in np.unique(files).tolist():
        mine = np.flatnonzero(files == number)
        position = packets.position[rows[mine]]
        low, high = int(position.min()), int((position + packets.caplen[rows[mine]]).max())
        if high - low <= ORDINARY_SPAN_BYTES:
            data = _read(descriptors[number], low, high - low)
            where[mine] = used + position - low
            parts.append(data)
            used += len(data)
            continue
        for row in mine.tolist():  # a file whose times jump about: frame by frame
            data = _read(descriptors[number], int(packets.position[rows[row]]), int(packets.caplen[rows[row]]))
            where[row] = used
            parts.append(data)
            used += len(data)
    return np.concatenate(parts), where


def _read(descriptor: int, position: int, size: int) -> NDArray[np.uint8]:
    """Return *size* bytes at *position*; shorter only where the file was cut meanwhile."""
    pieces = []
    while size > 0:
        piece = os.pread(descriptor, size, position)
        if not piece:
            pieces.append(b"\0" * size)
            break
        pieces.append(piece)
        position += len(piece)
        size -= len(piece)
    return np.frombuffer(b"".join(pieces), np.uint8)
