"""Read capture files into columns: pcap and pcapng, plain, gzip or zstd, whatever is readable of a damaged file.

A length is a claim: what it says is never allocated, and where it cannot be true the file is cut and one line says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.pcap.capture_file import CaptureFile
from orchestrator.pcap.dissect_kernels import dissect
from orchestrator.pcap.formats import refusal
from orchestrator.pcap.growing import GrowingTable
from orchestrator.pcap.link_kernels import CODES
from orchestrator.pcap.locate_kernels import locate, look_deeper
from orchestrator.pcap.pcap_header import PROBE_BYTES, PcapHeader, read_pcap_header
from orchestrator.pcap.record_kernels import (
    CLAIMED,
    CONTRADICTING,
    DROPS,
    FIRST_CONTRADICTING,
    FULL,
    NEED_MORE,
    ONLY_ZEROS,
    STOPPED_AT_BLOCK,
    TALLIES,
    TOO_LONG,
    UNEVEN,
    WITHOUT_TIME,
    walk_pcap,
    walk_pcapng,
)
from orchestrator.pcap.sections import SECTION_MARK, Sections, size_in_words
from orchestrator.pcap.source import open_source
from orchestrator.pcap.undecoded import named_counts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets
    from orchestrator.pcap.source import CaptureSource

CHUNK_BYTES = 1 << 20
RECORDS_A_CALL = 1 << 15
FREE_RECORDS = 1 << 20
BYTES_A_RECORD = 2
"""Behind the first million, a record takes two bytes of a compressed file at least: even one packet over and over has
times of its own. Less is a file made to fill our memory."""


@dataclass(slots=True)
class _Walk:
    """State of one walk over a file."""

    file: CaptureFile
    source: CaptureSource
    header: PcapHeader | None = None
    """None for a pcapng."""
    sections: Sections = field(default_factory=Sections)
    table: GrowingTable = field(default_factory=GrowingTable)
    tally: NDArray[np.int64] = field(default_factory=lambda: np.zeros(TALLIES, np.int64))
    first_contradicting: int = 0
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty((3, RECORDS_A_CALL), np.int64))
    """By record of a call: where IP begins, where it ends, which records need a deeper look."""
    undecoded: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CODES, np.int64))
    """Frames without IP by what they are instead."""
    _over: bool = False

    @property
    def record(self) -> str:
        """Name of the record that comes next, from 1."""
        return f"record {self.table.count + 1:,}"

    def is_over(self) -> bool:
        """Say whether a defect ended the walk."""
        return self._over

    def end(self, defect: str) -> None:
        """Read no further, because of *defect*."""
        self._over = True
        self.file.cut = True
        self.file.defects.append(defect)


def read_capture(path: Path) -> tuple[Packets, CaptureFile]:
    """Return the packets of *path* in file order, and what is to be known about the file.

    Raises:
        CaptureFileError: There is no such file, or it is no capture file at all.
    """
    with open_source(path) as source:
        walk = _Walk(CaptureFile(path), source)
        _read_records(walk, _read_header(walk))
        _sum_up(walk)
    return walk.table.finished(), walk.file


def _read_header(walk: _Walk) -> int:
    """Recognise the format; return where the records start."""
    probe = bytearray(PROBE_BYTES)
    head = bytes(probe[: walk.source.read_into(probe, 0)])
    if head.startswith(SECTION_MARK):
        return 0
    walk.header = read_pcap_header(head)
    if walk.header is None:
        raise refusal(walk.file.path, head, walk.source.defect)
    if len(head) < walk.header.start:
        walk.end("the file header is cut")
    else:
        walk.file.link_types = [walk.header.link_type]
    return walk.header.start


def _read_records(walk: _Walk, position: int) -> None:
    """Walk the file chunk by chunk from offset *position*."""
    arrays = (
        np.empty(RECORDS_A_CALL, np.int64), np.empty(RECORDS_A_CALL, np.uint32), np.empty(RECORDS_A_CALL, np.uint32),
        np.empty(RECORDS_A_CALL, np.int64), np.zeros(RECORDS_A_CALL, np.uint16),
    )  # fmt: skip
    buffer = bytearray(CHUNK_BYTES)  # one for all chunks: fresh memory costs more than the read into it
    end = position
    while not walk.is_over():
        got = walk.source.read_into(buffer, position)
        if not got:
            if position > end:
                walk.end(f"the file ends inside the block before {walk.record}")
            return
        end = position + got
        used = _walk_chunk(walk, np.frombuffer(buffer, np.uint8, got), position, arrays)
        position += used
        if walk.is_over():
            return
        if used == 0 and got < len(buffer):
            walk.end(_cut(walk))
        elif used == 0:
            buffer = bytearray(2 * len(buffer))  # ends: the walk refuses what is longer than the largest record
        elif len(buffer) > CHUNK_BYTES:
            buffer = bytearray(CHUNK_BYTES)
        if walk.table.count > FREE_RECORDS + walk.source.stored_bytes() // BYTES_A_RECORD:
            walk.end(f"{walk.record}: so many do not fit into so few compressed bytes, file cut there")


def _cut(walk: _Walk) -> str:
    """Say that the file ends inside a record, and when the record cannot be as long as it claims."""
    claimed = int(walk.tally[CLAIMED])
    claim = f", which claims {size_in_words(claimed)}" if claimed > CHUNK_BYTES else ""
    return f"the file ends inside {walk.record}{claim}"


def _walk_chunk(walk: _Walk, data: NDArray[np.uint8], base: int, arrays: tuple[NDArray[Any], ...]) -> int:
    """Decode one chunk, which begins at offset *base* of the file; return how many bytes of it are done with."""
    used = 0
    reason = FULL
    while reason == FULL:
        chunk = data[used:]
        walk.tally[CLAIMED] = 0
        before = int(walk.tally[CONTRADICTING])
        count, step, reason = _walk_once(walk, chunk, arrays)
        if not before and walk.tally[CONTRADICTING]:
            walk.first_contradicting = walk.table.count + int(walk.tally[FIRST_CONTRADICTING]) + 1
        if count:
            _decode(walk, chunk, base + used, count, arrays)
        used += step
        if reason == STOPPED_AT_BLOCK:
            length, wrong = walk.sections.take(data[used:])
            if wrong:
                walk.end(f"the block before {walk.record} {wrong}, file cut there")
            used += length
            reason = FULL if length and used < len(data) else NEED_MORE
    claimed = size_in_words(int(walk.tally[CLAIMED]))
    if reason == TOO_LONG:
        walk.end(f"{walk.record} claims {claimed}, file cut there")
    elif reason == UNEVEN:
        walk.end(f"{walk.record} has two different lengths, file cut there")
    elif reason == ONLY_ZEROS:
        walk.end(f"{walk.record} and what follows are zeros, file cut there")
    return used


def _walk_once(walk: _Walk, chunk: NDArray[np.uint8], arrays: tuple[NDArray[Any], ...]) -> tuple[int, int, int]:
    where, caplen, wirelen, time_ns, interface = arrays
    header, sections = walk.header, walk.sections
    if header is not None:
        done: tuple[int, int, int] = walk_pcap(
            chunk, header.big, header.header, header.unit_ns, header.swapped, where, caplen, wirelen, time_ns,
            walk.tally,
        )  # fmt: skip
        return done
    found: tuple[int, int, int] = walk_pcapng(
        chunk, sections.big, sections.count - sections.first, *sections.clocks, where, caplen, wirelen, time_ns,
        interface, walk.tally,
    )  # fmt: skip
    return found


def _decode(walk: _Walk, chunk: NDArray[np.uint8], base: int, count: int, arrays: tuple[NDArray[Any], ...]) -> None:
    """Dissect *count* records of *chunk*, which begins at offset *base* of the file, into the table."""
    where, caplen, wirelen, time_ns, interface = arrays
    part_read = walk.source.part_read(base + int(where[count - 1]))
    blocks = walk.table.make_room(count, part_read).blocks
    if walk.sections.first:
        interface[:count] += np.uint16(walk.sections.first)
    link_types = walk.sections.link_types if walk.header is None else np.array([walk.header.link_type], np.int64)
    b8, q8, b4, b2, b1 = blocks
    ip_at, ip_end, deeper = walk.places
    row = walk.table.count
    later = locate(chunk, where, caplen, interface, count, link_types, ip_at, ip_end, deeper, b4, b1, row)
    if later:
        look_deeper(
            chunk, where, caplen, wirelen, interface, deeper, later, link_types, walk.undecoded, ip_at, ip_end,
            b4, b2, b1, row,
        )  # fmt: skip
    dissect(
        chunk, where, caplen, wirelen, time_ns, interface, count, base, ip_at, ip_end, walk.undecoded,
        b8, q8, b4, b2, b1, row,
    )  # fmt: skip
    walk.table.count += count


def _sum_up(walk: _Walk) -> None:
    """Note what was counted on the way."""
    file, tally = walk.file, walk.tally
    file.not_decoded = named_counts(walk.undecoded)
    if walk.source.defect is not None:
        file.defects = [f"{walk.source.defect}, behind record {walk.table.count:,}"]
        file.cut = True
    file.defects += walk.sections.complaints
    if walk.header is None:
        file.link_types = walk.sections.link_types.tolist()
    if walk.sections.drops is not None:
        file.drops = walk.sections.drops
    elif tally[DROPS]:
        file.drops = int(tally[DROPS])
    if tally[CONTRADICTING]:
        first = f"the first where record {walk.first_contradicting:,} is due"
        file.defects.append(f"{int(tally[CONTRADICTING]):,} packets contradict their blocks and are left out, {first}")
        file.drops = (file.drops or 0) + int(tally[CONTRADICTING])
    if tally[WITHOUT_TIME]:
        file.defects.append(f"{int(tally[WITHOUT_TIME]):,} packets have no time of their own (simple packet blocks)")
