"""Write the packets of a run as pcapng: a named interface a point, corrected times, bytes untouched.

Corrected times stand in the packets themselves.  Packets are merged in batches, so that memory does not grow with the
captures; while one batch is put together the next is read and the last is written.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.errors import InputError
from orchestrator.pcap.blocks import Statistics, interface_block, plain_text, section_block, statistics_block
from orchestrator.pcap.frames import FrameReader
from orchestrator.pcap.interfaces import number_interfaces
from orchestrator.pcap.sink import Sink
from orchestrator.pcap.streams import Streams, chosen_in_order, in_order
from orchestrator.pcap.write_kernels import write_packets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets
    from orchestrator.pcap.frames import Frames
    from orchestrator.pcap.interfaces import Label, Numbering, Source
    from orchestrator.pcap.streams import Line

    Progress = Callable[[int, int], None]

APPLICATION = "vanishpoint"
OVERHEAD = 256
"""Bytes that a block has at most beside its frame and its comment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The packets of a run and what is known of them; arrays by row, points one after the other, each in file order."""

    packets: Packets
    time_ns: NDArray[np.int64]
    """Corrected."""
    token: NDArray[np.int64]
    """-1 for none."""
    points: Sequence[Label]
    sources: Sequence[Source]
    """In the order of their rows."""
    comments: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How packets are written."""

    about: str
    """Comment of the section."""
    rows: NDArray[np.int64] | None = None
    """The packets to write, ascending; all by default."""
    point: int | None = None
    """The only point to write, in the order of its files; all in order of time by default."""
    ethernet: bool = False
    """Replace link headers by Ethernet with invented addresses."""


def write_capture(target: Path, contents: Contents, form: Form, progress: Progress | None = None) -> int:
    """Write *contents* to *target*; return how many packets.

    A single point carries its frames and times and nothing else; otherwise packets have the number of their token,
    their comments and, where a link header tells it, their direction.

    Raises:
        InputError: *target* cannot be written, or is one of the captures.
        EvidenceError: A capture changed meanwhile.
    """
    refuse_to_write_over(target, (s.path for s in contents.sources))
    numbering = number_interfaces(
        contents.points, contents.sources, contents.packets, ethernet=form.ethernet, only=form.point
    )
    streams = Streams(contents.time_ns, contents.packets.caplen, _lines(contents, form))
    shift_ns = _shift(contents.time_ns)
    ends = np.array([s.stop for s in contents.sources], np.int64)
    paths = [s.path for s in contents.sources]
    with Sink(target) as sink, FrameReader(paths, ends, contents.packets) as reader:
        sink.write(section_block(form.about, APPLICATION))
        for interface in numbering.interfaces:
            sink.write(interface_block(interface))
        composer = _Composer(sink, contents, form, numbering, shift_ns)
        for frames in _ahead(streams, reader):
            composer.write(frames)
            if progress:
                progress(streams.done, streams.total)
        if form.rows is None and form.point is None:
            for statistics in _statistics(numbering, contents, shift_ns):
                sink.write(statistics_block(statistics))
    return streams.total


def refuse_to_write_over(target: Path, captures: Iterable[Path]) -> None:
    """Make sure that *target* is none of *captures*, by whatever name.

    Raises:
        InputError: It is one.
    """
    if target.exists() and any(path.exists() and target.samefile(path) for path in captures):
        msg = f"{target}: is one of the captures"
        raise InputError(msg, hint="Captures are evidence and are never written over: name another file.")


def _lines(contents: Contents, form: Form) -> list[Line]:
    """Return the rows to write by point."""
    lines: list[Line] = []
    for point in range(len(contents.points)) if form.point is None else [form.point]:
        files = [s for s in contents.sources if s.point == point]
        rows = range(files[0].start, files[-1].stop) if files else range(0)
        if form.point is not None:
            lines.append(rows)
        elif form.rows is None:
            lines.append(in_order(contents.time_ns, rows))
        else:
            low, high = np.searchsorted(form.rows, (rows.start, rows.stop)).tolist()
            lines.append(chosen_in_order(contents.time_ns, form.rows[low:high]))
    return lines


def _shift(time_ns: NDArray[np.int64]) -> int:
    """Return what is added to all times: pcapng has none before 1970."""
    return max(0, -int(time_ns.min())) if len(time_ns) else 0


def _ahead(streams: Streams, reader: FrameReader) -> Iterator[Frames]:
    """Yield batches of frames, each read while the one before it is used."""

    def load() -> Frames | None:
        rows = streams.take()
        return reader.load(rows) if len(rows) else None

    with ThreadPoolExecutor(1, "reader") as pool:
        coming = pool.submit(load)
        while (frames := coming.result()) is not None:
            coming = pool.submit(load)
            yield frames


class _Composer:
    """Puts blocks together in the buffers of a sink."""

    def __init__(self, sink: Sink, contents: Contents, form: Form, numbering: Numbering, shift_ns: int) -> None:
        self._sink = sink
        self._options = form.point is None
        self._caplen = contents.packets.caplen
        self._comments = contents.comments if self._options else {}
        self._commented = np.zeros(len(contents.packets) if self._comments else 0, np.bool_)
        self._commented[list(self._comments)] = True
        packets = contents.packets
        points = np.array([s.point for s in contents.sources], np.int64)
        self._columns = (
            packets.caplen, packets.wirelen, contents.time_ns, shift_ns, packets.interface, packets.swapped,
            contents.token, numbering.first_of_file, numbering.number_of, numbering.link_of, points,
        )  # fmt: skip
        self._ethernet = form.ethernet

    def write(self, frames: Frames) -> None:
        """Write one batch."""
        ends, blob = self._comments_of(frames.rows)
        done, count = 0, len(frames.rows)
        while done < count:
            comment = int(ends[done] - (ends[done - 1] if done else 0))
            buffer, at = self._sink.room(int(self._caplen[frames.rows[done]]) + comment + OVERHEAD)
            at, done = write_packets(
                buffer, buffer.view(np.uint32), at, done, frames.data, frames.where, frames.rows, frames.file,
                *self._columns, ends, blob, self._ethernet, self._options,
            )  # fmt: skip
            self._sink.filled(at)

    def _comments_of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return (where the comment of each of *rows* ends, all of them in a row): few packets of millions have one."""
        ends = np.zeros(len(rows), np.int64)
        if not len(self._commented):
            return ends, np.zeros(1, np.uint8)
        places = np.flatnonzero(self._commented[rows])
        texts = [plain_text(self._comments[row]) for row in rows[places].tolist()]
        ends[places] = [len(text) for text in texts]
        return np.cumsum(ends), np.frombuffer(b"".join(texts) or b"\0", np.uint8)


def _statistics(numbering: Numbering, contents: Contents, shift_ns: int) -> list[Statistics]:
    """Return the counters of each interface; what a point counted as a whole stands at its first."""
    last = {s.point: int(contents.time_ns[s.start : s.stop].max()) for s in contents.sources if s.stop > s.start}
    found = []
    for number, (point, packets) in enumerate(zip(numbering.point, numbering.packets, strict=True)):
        label = contents.points[point]
        first = point not in numbering.point[:number]
        found.append(
            Statistics(
                interface=number,
                time_ns=last.get(point, 0) + shift_ns,
                delivered=packets,
                accepted=label.accepted if first else None,
                kernel_drops=label.kernel_drops if first else None,
                interface_drops=label.interface_drops if first else None,
            )
        )
    return found
