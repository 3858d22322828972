"""The index schema: one row a packet seen at a point, one column a field.

Columns of one type are rows of one two-dimensional block, so that kernels take five arrays and every column
is contiguous.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

Run: TypeAlias = "Callable[..., Iterable[object]]"
"""Calls a function on every member of lists, like map, perhaps several at a time."""
SCHEMA: dict[str, tuple[str, ...]] = {
    "i8": ("time_ns", "position"),
    "u8": ("src_hi", "src_lo", "dst_hi", "dst_lo", "flow", "digest", "counter"),
    "u4": (
        "caplen",
        "wirelen",
        "seq",
        "ack",
        "payload",
        "tsval",
        "tsecr",
        "link",
        "kept",
        "brief",
        "series",
        "mirror_sequence",
    ),
    "u2": ("sport", "dport", "ip_id", "window", "interface", "fragment", "residue", "mss", "mirror_session"),
    "u1": ("family", "protocol", "ttl", "tos", "flags", "swapped", "marks", "tunnel", "piece", "wscale"),
}
"""Column names by NumPy type.

``time_ns`` raw timestamp, nanoseconds since the epoch; ``position`` offset of the frame in its file;
addresses as two big-endian halves (IPv4 in the low 32 bits of ``*_lo``); ``flow`` hash of the unordered
five-tuple; ``swapped`` 1 when the source is the larger end; ``digest`` hash of the first DIGEST_BYTES of payload
kept, ``brief`` of the first BRIEF_BYTES; ``residue`` ones-complement sum of the payload as the transport checksum
states it, 0 where there is none; ``mss`` of a SYN's option, 0 without; ``payload`` bytes of transport payload on the
wire; ``kept`` bytes of it in the file; ``link`` hash of the link-layer header; ``flags`` TCP flags, or type of an
ICMP message; ``family`` 4, 6, or 0 where no IP was found; ``piece`` which part of a super-segment a row is, once these
are taken apart; ``wscale`` 1 + the shift of the window in a SYN's option, 0 without.

Everything is that of the innermost IP header that can be read. ``tunnel`` code of what directly carries it, 0 for
none; ``mirror_session`` 1 + the session of the mirror shell (ERSPAN) that a switch put around the frame, 1 for a shell
without sessions, 0 for none: a sub-point of its own; ``mirror_sequence`` the number of the shell, where
MARK_MIRROR_SEQUENCE says that there is one; ``series`` of sequence numbers that an encrypted or media packet carries in
the clear, 0 for none: its kind in SERIES_KIND, the rest a hash of SPI, receiver index, epoch or SSRC, which say nothing
without the flow; ``counter`` the number of the packet in its series.
"""

DIGEST_BYTES, BRIEF_BYTES = 64, 16
"""Payload bytes that enter ``digest`` and ``brief``; fewer where fewer were kept."""

FIN, SYN, RST, PSH, ACK, CWR = 1, 2, 4, 8, 16, 128
"""TCP flags."""

MARK_GROUP = 1
"""Sent to a broadcast or multicast address: many receivers, so absence accuses nobody."""
MARK_CUT = 2
"""Fewer bytes kept than the headers need."""
MARK_TIMESTAMPS = 4
"""TCP timestamps option present."""
MARK_OPTIONS = 8
"""Any TCP option present."""
MARK_FRAGMENT = 16
"""An IP fragment."""
MARK_ICMP_ERROR = 32
"""An ICMP message that quotes another packet."""
MARK_MIRROR_SEQUENCE = 64
"""The mirror shell numbers its frames."""
MARK_TLS_ALERT = 128
"""A TCP segment whose data begin like an alert of TLS."""

SERIES_KIND = 7
"""Bits of ``series`` that say of which kind it is."""
SERIES_ESP, SERIES_WIREGUARD, SERIES_DTLS, SERIES_RTP = 1, 2, 3, 4
"""Kinds of series. Counters have 32, 64, 48 and 16 bits. RTP is a guess until its numbers are seen to run."""
TUNNELS = (
    "", "IP in IP", "GRE", "VXLAN", "GENEVE", "GTP-U", "MPLS in IP", "L2TP", "CAPWAP", "Teredo", "ERSPAN", "TZSP",
)  # fmt: skip
"""Names by ``tunnel``; ERSPAN and TZSP are mirror shells, which exist for the capture alone."""
PIECE_FOLLOWS, PIECE_LEADS = 1, 2
"""Bits of ``piece``: a segment that a host had joined with others in one frame, not the first of them, not the last."""

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58


class Packets:
    """A table of packets as columns; attributes are views of the blocks."""

    time_ns: NDArray[np.int64]
    position: NDArray[np.int64]
    src_hi: NDArray[np.uint64]
    src_lo: NDArray[np.uint64]
    dst_hi: NDArray[np.uint64]
    dst_lo: NDArray[np.uint64]
    flow: NDArray[np.uint64]
    digest: NDArray[np.uint64]
    counter: NDArray[np.uint64]
    caplen: NDArray[np.uint32]
    wirelen: NDArray[np.uint32]
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    payload: NDArray[np.uint32]
    tsval: NDArray[np.uint32]
    tsecr: NDArray[np.uint32]
    link: NDArray[np.uint32]
    kept: NDArray[np.uint32]
    brief: NDArray[np.uint32]
    series: NDArray[np.uint32]
    mirror_sequence: NDArray[np.uint32]
    sport: NDArray[np.uint16]
    dport: NDArray[np.uint16]
    ip_id: NDArray[np.uint16]
    window: NDArray[np.uint16]
    interface: NDArray[np.uint16]
    fragment: NDArray[np.uint16]
    residue: NDArray[np.uint16]
    mss: NDArray[np.uint16]
    mirror_session: NDArray[np.uint16]
    family: NDArray[np.uint8]
    protocol: NDArray[np.uint8]
    ttl: NDArray[np.uint8]
    tos: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    swapped: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    tunnel: NDArray[np.uint8]
    piece: NDArray[np.uint8]
    wscale: NDArray[np.uint8]

    whole: Packets | None = None
    """The table that this one is a part of, one behind the other; None for one of its own."""

    def __init__(self, blocks: Sequence[NDArray[Any]]) -> None:
        """Wrap *blocks*, one per type of SCHEMA, each of shape (columns, packets)."""
        self.blocks = tuple(blocks)
        for block, names in zip(self.blocks, SCHEMA.values(), strict=True):
            for row, name in enumerate(names):
                setattr(self, name, block[row])

    def __len__(self) -> int:
        """Return the number of packets."""
        return int(self.blocks[0].shape[1])

    @classmethod
    def allocate(cls, count: int) -> Packets:
        """Return *count* packets of zeros."""
        return cls([np.zeros((len(names), count), dtype=kind) for kind, names in SCHEMA.items()])

    @classmethod
    def concatenate(cls, tables: Sequence[Packets]) -> Packets:
        """Return the rows of *tables*, one table after the other; those that are one table already are not copied."""
        if len(tables) == 1:
            return tables[0]
        whole = _whole(tables)
        if whole is not None:
            return whole
        return cls.gathered([list(t.blocks) for t in tables])

    @classmethod
    def gathered(cls, parts: Sequence[list[NDArray[Any]]], run: Run = map) -> Packets:
        """Return one table of the blocks of several, which are taken out of *parts* as they are done with.

        Columns in which nothing stands, such as those of mirrors, are left as zeros that take no memory.

        Args: run calls a function on every member of lists, like map, perhaps several at a time.
        """
        if not parts:
            return cls.allocate(0)
        counts = [part[0].shape[1] for part in parts]
        starts = (np.cumsum(counts) - counts).tolist()
        blocks: list[NDArray[Any]] = []
        for kind, names in SCHEMA.items():
            block = np.zeros((len(names), sum(counts)), dtype=kind)
            columns = [
                (block[k, at : at + n], p[0][k])
                for p, at, n in zip(parts, starts, counts, strict=True)
                for k in range(len(names))
            ]
            deque(run(_fill, *zip(*columns, strict=True)), maxlen=0)
            blocks.append(block)
            del columns
            for part in parts:
                del part[0]
        return cls(blocks)

    def split(self, counts: Sequence[int]) -> list[Packets]:
        """Return views of the first rows of this table, of those that follow, and so on."""
        ends = np.cumsum(counts).tolist()
        parts = [self.take(slice(end - count, end)) for end, count in zip(ends, counts, strict=True)]
        for part in parts:
            part.whole = self
        return parts

    def take(self, rows: NDArray[np.int64] | slice) -> Packets:
        """Return the packets at *rows*."""
        return Packets([block[:, rows] for block in self.blocks])


def _fill(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy a column, unless nothing stands in it: zeros that were never written take no memory."""
    if source.any():
        target[:] = source


def _whole(tables: Sequence[Packets]) -> Packets | None:
    """Return the table of which *tables* are all parts in order, None where there is none."""
    whole = tables[0].whole if tables else None
    if whole is None or any(t.whole is not whole for t in tables) or sum(map(len, tables)) != len(whole):
        return None
    starts = [t.time_ns.__array_interface__["data"][0] for t in tables if len(t)]
    return whole if starts == sorted(starts) else None
