"""Read again the frames that hold DNS, errors of ICMP or alerts of TLS.

Most captures hold few, and all other frames cost no more than a look at their columns.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.model.columns import (
    MARK_CUT,
    MARK_GROUP,
    MARK_ICMP_ERROR,
    MARK_TLS_ALERT,
    TCP,
    UDP,
    Packets,
)
from orchestrator.model.messages import ALERTS, DNS, DNS_PORT, ICMP_ERRORS, NAME_BYTES, Messages
from orchestrator.pcap.frames import FrameReader
from orchestrator.pcap.link_kernels import CODES
from orchestrator.pcap.locate_kernels import locate, look_deeper
from orchestrator.pcap.messages_kernels import read_alerts, read_dns, read_icmp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from orchestrator.pcap.capture_file import CaptureFile
    from orchestrator.pcap.frames import Frames
    from orchestrator.pcap.index import PointIndex

FRAMES_AT_ONCE = 8_192
"""Each may cost a read of as much as lies between two of them."""
ASKS, QUOTES, WARNS = 1, 2, 3
"""What a frame holds: DNS, an error of ICMP, an alert of TLS."""


def read_messages(indexes: Sequence[PointIndex]) -> Messages:
    """Return what the frames of all points say in the clear.

    Raises:
        EvidenceError: A file has become shorter than it was.
    """
    packets = Packets.concatenate([index.packets for index in indexes])
    what = _sorted_out(packets)
    rows = np.flatnonzero(what)
    files = [file for index in indexes for file in index.files]
    ends = np.array(list(accumulate(count for index in indexes for count in index.counts)), np.int64)
    found: list[list[NDArray[Any]]] = [[], [], [], []]
    if len(rows):
        with FrameReader([file.path for file in files], ends, packets) as reader:
            for number, part in _batches(rows, ends):
                read = _Batch(reader.load(part), packets, files[number]).read(what[part])
                for tables, table in zip(found, read, strict=True):
                    tables.append(table)
    kinds = DNS, np.dtype(np.uint8), ICMP_ERRORS, ALERTS
    dns, names, icmp, alerts = (np.concatenate([np.zeros(0, k), *t]) for k, t in zip(kinds, found, strict=True))
    return Messages(dns=dns, names=names, icmp=icmp, alerts=alerts)


def _sorted_out(packets: Packets) -> NDArray[np.uint8]:
    """Say of each frame what it holds, 0 for nothing that is read here."""
    what = np.zeros(len(packets), np.uint8)
    what[(packets.marks & MARK_ICMP_ERROR) > 0] = QUOTES
    what[(packets.marks & MARK_TLS_ALERT) > 0] = WARNS
    named = (packets.sport == DNS_PORT) | (packets.dport == DNS_PORT)
    asks = np.flatnonzero(named)
    protocol = packets.protocol[asks]
    carries = ((protocol == TCP) & (packets.payload[asks] > 0)) | (protocol == UDP)
    what[asks[carries & ((packets.marks[asks] & (MARK_GROUP | MARK_CUT)) == 0)]] = ASKS
    return what


def _batches(rows: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield (number of a file, some of *rows* that are in it)."""
    file = np.searchsorted(ends, rows, "right")
    for part in np.split(rows, np.flatnonzero(np.diff(file)) + 1):
        number = int(np.searchsorted(ends, part[0], "right"))
        for begin in range(0, len(part), FRAMES_AT_ONCE):
            yield number, part[begin : begin + FRAMES_AT_ONCE]


class _Batch:
    """Frames of one file, and where in them IP begins and ends."""

    def __init__(self, frames: Frames, packets: Packets, file: CaptureFile) -> None:
        count = len(frames.rows)
        self._frames = frames
        self._wirelen = packets.wirelen[frames.rows]
        caplen, interface = packets.caplen[frames.rows], packets.interface[frames.rows]
        links = np.array(file.link_types, np.int64)
        self._ip_at, self._ip_end, deeper = np.empty((3, count), np.int64)
        _, _, b4, b2, b1 = Packets.allocate(count).blocks
        data, where = frames.data, frames.where
        later = locate(data, where, caplen, interface, count, links, self._ip_at, self._ip_end, deeper, b4, b1, 0)
        if later:
            look_deeper(
                data, where, caplen, self._wirelen, interface, deeper, later, links, np.zeros(CODES, np.int64),
                self._ip_at, self._ip_end, b4, b2, b1, 0,
            )  # fmt: skip

    def read(self, what: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the tables of what the frames hold, *what* being told: DNS and its names, ICMP, TLS."""
        dns, chosen = self._table(DNS, what == ASKS)
        names = np.zeros((len(chosen), NAME_BYTES), np.uint8)
        places = self._frames.data, self._frames.where, self._wirelen, self._ip_at, self._ip_end
        read_dns(*places, chosen, dns, names)
        icmp, chosen = self._table(ICMP_ERRORS, what == QUOTES)
        read_icmp(*places, chosen, icmp)
        alerts, chosen = self._table(ALERTS, what == WARNS)
        read_alerts(*places, chosen, alerts)
        return dns, names[np.arange(NAME_BYTES) < dns["length"][:, None]], icmp, alerts

    def _table(self, kind: np.dtype[np.void], which: NDArray[np.bool_]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Return an empty table for the frames *which*, and their places."""
        chosen = np.flatnonzero(which)
        table = np.zeros(len(chosen), kind)
        table["row"] = self._frames.rows[chosen]
        return table, chosen
