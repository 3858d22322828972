"""The capture files that a run is written as: merged, as a view for Wireshark, aligned by point, or a cut of it.

All are derived; the captures themselves are the evidence and are never written to.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from orchestrator import __version__
from orchestrator.pcap.cut import Table
from orchestrator.pcap.frames import FrameReader
from orchestrator.pcap.interfaces import Label, Source
from orchestrator.pcap.remarks import Remarks
from orchestrator.pcap.writer import Contents, Form, write_capture
from orchestrator.report.jsonl import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.core.analysis import Analysis
    from orchestrator.model.run import PointRecord, RunRecord
    from orchestrator.pcap.index import PointIndex
    from orchestrator.pcap.writer import Progress

DERIVED = "Derived; the captures themselves are the evidence."
IDENTITY = 'All copies of a packet have one frame.packet_id; find frame.comment contains "#VANISHED" or "#RST-ORIGIN".'
DIFFERENT_LINKS = "Interfaces have different link types: Wireshark reads that, libpcap tools (tcpdump) refuse it."
BEFORE_1970 = "All times are moved forward so that the first is 1970-01-01: pcapng has none before."
DEINTERLACING = (
    "Link headers are invented, one pair of addresses a point. In Wireshark 4.4 and later set Preferences, Protocols, "
    '"Deinterlacing conversations key" to MAC and interface (-o protocols.conversation_deinterlacing_key:.MI): else '
    "copies at other points are called retransmissions. Older versions: one file a point, vanishpoint merge --aligned."
)


class Written:
    """A worked-out run, ready to be written."""

    def __init__(
        self, record: RunRecord, points: Sequence[PointRecord], indexes: Sequence[PointIndex], analysis: Analysis
    ) -> None:
        """Take what the run's points hold and what the analysis found in it."""
        starts = list(accumulate((len(i.packets) for i in indexes), initial=0))
        names = [p.name for p in points]
        remarks = Remarks(names, starts, analysis.token_of_row)
        self._vanished = remarks.vanished(analysis.vanished)
        self._resets = remarks.resets(analysis.resets)
        lossy = [rate > 0 for rate in analysis.miss_rate]
        remarks.duplicates_and_unseen(analysis.packets, analysis.reference_ns, lossy, _paths(record, names))
        self._record = record
        self._names = names
        self._point = analysis.point
        self._contents = Contents(
            packets=analysis.packets,
            time_ns=analysis.reference_ns,
            token=analysis.token_of_row,
            points=[_label(record, number, len(points), p, indexes, analysis) for number, p in enumerate(points)],
            sources=_sources(indexes, starts),
            comments=remarks.by_row,
        )

    def merged(self, path: Path, progress: Progress | None = None) -> int:
        """Write all packets to *path* in order of corrected time, bytes as captured; return how many."""
        links = {t for s in self._contents.sources if s.stop > s.start for t in s.link_types}
        about = self._about("bytes as captured", IDENTITY, DIFFERENT_LINKS if len(links) > 1 else "")
        return write_capture(path, self._contents, Form(about=about), progress)

    def view(self, path: Path, progress: Progress | None = None) -> int:
        """Write all packets to *path* as Ethernet with addresses that tell the points apart; return how many."""
        about = self._about("for Wireshark", DEINTERLACING, IDENTITY)
        return write_capture(path, self._contents, Form(about=about, ethernet=True), progress)

    def aligned(self, folder: Path, progress: Progress | None = None) -> list[Path]:
        """Write one file a point into *folder*: corrected times, and nothing else changed; return the files."""
        folder.mkdir(parents=True, exist_ok=True)
        done, total = 0, len(self._contents.packets)
        paths = []
        for number, name in enumerate(self._names):
            path = folder / f"{name}.pcapng"
            about = self._about(f"{name} alone, frames and their numbers as captured")
            before = done

            def report(written: int, _: int, before: int = before) -> None:
                if progress:
                    progress(before + written, total)

            done += write_capture(path, self._contents, Form(about=about, point=number), report)
            paths.append(path)
        return paths

    def table(self) -> Table:
        """Return the packets to choose from for a cut."""
        times = self._contents.time_ns
        first = int(times.min()) if len(times) else 0
        return Table(
            packets=self._contents.packets,
            time_ns=times,
            token=self._contents.token,
            point=self._point,
            names=self._names,
            begin_ns=self._record.opened_ns or first,
            vanished=self._vanished,
            resets=self._resets,
        )

    def cut(self, path: Path, rows: NDArray[np.int64], progress: Progress | None = None) -> int:
        """Write the packets *rows* to *path* as in the merged file; return how many."""
        about = self._about(f"{len(rows):,} of {len(self._contents.packets):,} packets, bytes as captured", IDENTITY)
        return write_capture(path, self._contents, Form(about=about, rows=rows), progress)

    def frame(self, row: int) -> tuple[bytes, int]:
        """Return the bytes of one frame as captured, and its link type."""
        contents = self._contents
        source = next(s for s in contents.sources if s.start <= row < s.stop)
        ends = np.array([s.stop for s in contents.sources], np.int64)
        with FrameReader([s.path for s in contents.sources], ends, contents.packets) as reader:
            frames = reader.load(np.array([row], np.int64))
            at = int(frames.where[0])
            data = frames.data[at : at + int(contents.packets.caplen[row])].tobytes()
        return data, source.link_types[int(contents.packets.interface[row])]

    def _about(self, what: str, *notes: str) -> str:
        """Return the comment of a file."""
        points = ", ".join(self._names)
        head = f"vanishpoint {__version__}, run {self._record.run_id}: {points}; {what}; times on one clock."
        times = self._contents.time_ns
        shifted = BEFORE_1970 if len(times) and times.min() < 0 else ""
        return "\n".join(line for line in (head, DERIVED, *notes, shifted) if line)


def _paths(record: RunRecord, names: Sequence[str]) -> list[list[int]]:
    """Return the paths as numbers of the points that are there."""
    if record.plan is None or not record.plan.paths:
        return [list(range(len(names)))]
    numbers = {name: number for number, name in enumerate(names)}
    return [[numbers[n] for n in path.points if n in numbers] for path in record.plan.paths]


def _sources(indexes: Sequence[PointIndex], starts: Sequence[int]) -> list[Source]:
    """Return the files of all points with the rows that they hold."""
    sources = []
    for number, index in enumerate(indexes):
        ends = list(accumulate(index.counts, initial=starts[number]))
        sources += [
            Source(path=file.path, point=number, link_types=tuple(file.link_types), start=ends[k], stop=ends[k + 1])
            for k, file in enumerate(index.files)
        ]
    return sources


def _label(
    record: RunRecord, number: int, count: int, point: PointRecord, indexes: Sequence[PointIndex], analysis: Analysis
) -> Label:
    """Return what is written about a point: where it stands, its clock, its counters."""
    planned = next((p for p in record.plan.points if p.point == point.name), None) if record.plan else None
    where = [f"vanishpoint: point {number + 1} of {count}"]
    where += [f"node {point.node}"] if point.node else []
    where += [f"interface {point.interface}"] if point.interface else []
    where += [f"handed over by {point.supplied_by}"] if point.supplied_by else []
    clock = analysis.clocks[number]
    counters = point.counters
    drops = counters.kernel_drops if counters.kernel_drops is not None else indexes[number].drops
    facts = {
        "offset_ns": clock.offset_ns, "at": timestamp(clock.at_ns), "drift_ppb": round(clock.drift * 1e9),
        "uncertainty_ns": clock.uncertainty_ns, "method": clock.method, "reference": clock.reference,
        "packets": len(indexes[number].packets), "kernel_drops": drops,
        "capture_miss_rate": f"{analysis.miss_rate[number]:.6f}",
    }  # fmt: skip
    told = " ".join(f"{key}={'unknown' if value is None else value}" for key, value in facts.items())
    return Label(
        name=point.name, description=", ".join(where),
        comment=f"{told}\ntime = captured time - offset_ns - drift_ppb * (time - at) / 1e9",
        filter=planned.filter if planned else "", accepted=counters.received, kernel_drops=drops,
        interface_drops=counters.interface_drops,
    )  # fmt: skip
