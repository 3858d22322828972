"""Cut a merged capture that was written before: blocks are copied as they stand, with comments and numbers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.errors import CaptureFileError
from orchestrator.pcap.blocks import NAME, SECTION
from orchestrator.pcap.cut import Table
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.recut_kernels import DAMAGED, copy_blocks, read_options
from orchestrator.pcap.sink import Sink
from orchestrator.pcap.source import open_source
from orchestrator.pcap.writer import refuse_to_write_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.pcap.source import CaptureSource
    from orchestrator.pcap.writer import Progress

CHUNK_BYTES = 1 << 22
LARGEST_HEAD = 1 << 26
HEADER = 28
"""Bytes of a packet block before its frame."""
OPTIONS = 66_048
"""Bytes behind a frame that the longest options of a written packet take."""
VANISHED, RESET = 1, 2
"""What `read_options` notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A file that `merge` wrote."""

    path: Path
    head: bytes
    """The section and its interfaces."""
    table: Table


def read_merged(path: Path) -> Merged:
    """Return what the merged capture *path* holds.

    Raises:
        CaptureFileError: It is no capture, or none that `merge` wrote.
    """
    packets, _ = read_capture(path)
    with open_source(path) as source:
        before_packets = int(packets.position.min(initial=LARGEST_HEAD)) - HEADER
        head, names = _read_head(path, source, before_packets, has_packets=len(packets) > 0)
        token = np.full(len(packets), -1, np.int64)
        notes = np.zeros(len(packets), np.uint8)
        for data, base, first, stop in _chunks(source, packets.position, packets.caplen, np.arange(len(packets))):
            part = slice(first, stop)
            done = read_options(
                data, base, packets.position[part], packets.caplen[part], OPTIONS, token[part], notes[part]
            )
            if done == DAMAGED:
                raise _foreign(path)
    points = list(dict.fromkeys(name.partition(" (")[0] for name in names))
    of_interface = np.array([points.index(name.partition(" (")[0]) for name in names] or [0], np.int64)
    if int(packets.interface.max(initial=0)) >= len(of_interface):
        raise _foreign(path)
    if token.max(initial=-1) > 4 * len(packets):  # a cut of a long capture, or anything in a file of somebody else
        known = token >= 0
        token[known] = np.unique(token[known], return_inverse=True)[1]
    table = Table(
        packets=packets, time_ns=packets.time_ns, token=token, point=of_interface[packets.interface], names=points,
        begin_ns=int(packets.time_ns.min(initial=2**62)), vanished=np.flatnonzero(notes & VANISHED),
        resets=np.flatnonzero(notes & RESET),
    )  # fmt: skip
    return Merged(path=path, head=head, table=table)


def write_recut(target: Path, merged: Merged, rows: NDArray[np.int64], progress: Progress | None = None) -> int:
    """Write the packets *rows* of *merged* to *target*; return how many.

    Raises:
        InputError: *target* cannot be written.
    """
    refuse_to_write_over(target, [merged.path])
    packets = merged.table.packets
    with open_source(merged.path) as source, Sink(target) as sink:
        sink.write(merged.head)
        for data, base, first, stop in _chunks(source, packets.position, packets.caplen, rows):
            chosen, done = packets.position[rows[first:stop]], 0
            while done < len(chosen):
                buffer, at = sink.room(int(packets.caplen[rows[first + done]]) + HEADER + OPTIONS)
                at, done = copy_blocks(buffer, at, done, data, base, chosen)
                sink.filled(at)
            if progress:
                progress(stop, len(rows))
    return len(rows)


def _read_head(path: Path, source: CaptureSource, size: int, *, has_packets: bool) -> tuple[bytes, list[str]]:
    """Return (everything before the first packet, names of the interfaces)."""
    buffer = bytearray(min(max(size, 0), LARGEST_HEAD))
    head = bytes(buffer[: source.read_into(buffer, 0)])
    names, at, end = [], 0, 0
    while at + 12 <= len(head):
        kind, length = struct.unpack_from("<II", head, at)
        if length < 12 or length % 4 or at + length > len(head):  # noqa: PLR2004
            break
        if kind == 1:
            names.append(_name(head[at + 16 : at + length - 4]))
        elif kind != SECTION or at:
            break  # statistics of a file without packets
        at = end = at + length
    if head[8:12] != b"\x4d\x3c\x2b\x1a" or not names or (end != size and has_packets):
        raise _foreign(path)
    return head[:end], names


def _name(options: bytes) -> str:
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from("<HH", options, at)
        if code == NAME:
            return options[at + 4 : at + 4 + length].decode(errors="replace")
        at += 4 + length + -length % 4
    return "?"


def _foreign(path: Path) -> CaptureFileError:
    msg = f"{path}: is not a file that `vanishpoint merge` wrote"
    return CaptureFileError(
        msg, hint="Merge the captures first: vanishpoint merge --point NAME=FILE … -o merged.pcapng"
    )


def _chunks(
    source: CaptureSource, position: NDArray[np.int64], caplen: NDArray[np.uint32], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.uint8], int, int, int]]:
    """Yield (bytes, their offset in the file, first and behind the last place in *rows* whose blocks they hold)."""
    buffer = bytearray(CHUNK_BYTES + OPTIONS)
    first = 0
    while first < len(rows):
        base = int(position[rows[first]]) - HEADER
        frame_end = int(position[rows[first]]) + int(caplen[rows[first]])
        reach = max(base + CHUNK_BYTES, frame_end)
        stop = first + 1
        near = position[rows[first + 1 : first + CHUNK_BYTES // 32]]
        stop += int(np.searchsorted(near + caplen[rows[first + 1 : first + 1 + len(near)]], reach, side="right"))
        last = rows[stop - 1]
        size = int(position[last]) + int(caplen[last]) + OPTIONS - base
        if size > len(buffer):
            buffer = bytearray(size)
        with memoryview(buffer) as view:
            got = source.read_into(view[:size], base)
        yield np.frombuffer(buffer, np.uint8, got), base, first, stop
        first = stop
