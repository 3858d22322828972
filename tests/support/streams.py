"""Invent a capture pair with known truth: TCP flows whose acknowledgements and resends follow the losses.

Point B lies behind a line with delay and loss and has another clock.  Frames are cut at 128 bytes.  Data flows one way
and acknowledgements are never lost, so what must be found is exactly what was dropped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KEPT = 128
PAYLOAD = 1000
HEADERS = 66
RESEND_NS = 220_000_000
LINE_NS = 5_000_000
CLIENT, SERVER = 0x0A000000, 0x0A640002


@dataclass(frozen=True, slots=True)
class Truth:
    """What happened on the invented line."""

    lost: frozenset[tuple[int, int]]
    """(client port, IP identification) of each lost packet, client to server."""
    frames: tuple[int, ...]
    """The same as frame numbers in a.pcap, from 1, ascending."""
    packets: tuple[int, int]
    """In a.pcap and in b.pcap."""
    offset_ns: int
    drift: float


def generate(
    folder: Path,
    packets: int,
    *,
    loss: float = 0.005,
    seed: int = 1,
    offset_ns: int = 7_250_000_000,
    drift: float = 3e-4,
) -> Truth:
    """Write a.pcap and b.pcap of about *packets* packets each to *folder*; return the truth."""
    random = np.random.default_rng(seed)
    per_flow = min(1000, max(20, packets // 8))
    flows = max(1, packets // (2 * per_flow))
    parts, lost = [], set()
    for flow in range(flows):
        part, gone = _flow(random, flow, per_flow, loss)
        parts.append(part)
        lost |= gone
    table = np.concatenate(parts)
    start = 1_700_000_000_000_000_000
    frames: tuple[int, ...] = ()
    counts = []
    for name, column in (("a", "at_a"), ("b", "at_b")):
        seen = table[table[column] >= 0]
        time = seen[column] + start
        if name == "b":
            time = time + offset_ns + (drift * (time - start)).astype(np.int64)
        order = np.argsort(time, kind="stable")
        _write(folder / f"{name}.pcap", seen[order], time[order], ttl_less=int(name == "b"))
        counts.append(len(order))
        if name == "a":
            frames = tuple((np.flatnonzero(seen["at_b"][order] < 0) + 1).tolist())
    return Truth(frozenset(lost), frames, (counts[0], counts[1]), offset_ns, drift)


ROW = np.dtype([
    ("at_a", "i8"), ("at_b", "i8"), ("up", "?"), ("flow", "u4"), ("id", "u2"), ("seq", "u4"), ("ack", "u4"),
    ("size", "u2"), ("tsval", "u4"),
])  # fmt: skip


def _flow(
    random: np.random.Generator, flow: int, count: int, loss: float
) -> tuple[NDArray[np.void], set[tuple[int, int]]]:
    """Return the packets of one flow, and which of them were lost."""
    sent = np.sort(random.integers(0, 20_000_000_000, count)) + 1_000_000 * (flow % 100)
    delay = LINE_NS + random.exponential(40_000, count).astype(np.int64)
    gone = random.random(count) < loss
    resend = np.flatnonzero(gone)
    first = np.zeros(count + len(resend), ROW)
    first["at_a"] = np.concatenate((sent, sent[resend] + RESEND_NS))
    first["at_b"] = np.concatenate((np.where(gone, -1, sent + delay), sent[resend] + RESEND_NS + delay[resend]))
    first["seq"] = np.concatenate((np.arange(count), resend)) * PAYLOAD + 1
    first["size"] = PAYLOAD
    first["up"] = True
    first["ack"] = 1
    order = np.argsort(first["at_a"], kind="stable")
    first = first[order]
    first["id"] = np.arange(len(first)) & 0xFFFF
    arrival = np.where(gone, sent + RESEND_NS + delay, sent + delay)
    whole = np.maximum.accumulate(arrival)
    heard = np.sort(first["at_b"][first["at_b"] >= 0])
    answers = np.zeros(len(heard), ROW)
    answers["at_b"] = heard + 20_000
    answers["at_a"] = heard + 20_000 + LINE_NS + random.exponential(40_000, len(heard)).astype(np.int64)
    answers["ack"] = np.searchsorted(whole, heard, "right") * PAYLOAD + 1
    answers["seq"] = 1
    answers["id"] = np.arange(len(heard)) & 0xFFFF
    both = np.concatenate((first, answers))
    both["flow"] = flow
    both["tsval"] = (np.where(both["up"], both["at_a"], both["at_b"]) // 1_000_000).astype(np.uint32)
    dead = first["id"][first["at_b"] < 0].tolist()
    return both, {(10_000 + flow, int(number)) for number in dead}


def _write(path: Path, rows: NDArray[np.void], time: NDArray[np.int64], *, ttl_less: int) -> None:
    """Write *rows* as a nanosecond pcap."""
    size = rows["size"].astype(np.int64)
    wire = HEADERS + size
    kept = np.minimum(wire, KEPT)
    frame = np.zeros((len(rows), 16 + KEPT), np.uint8)
    head = np.stack((time // 1_000_000_000, time % 1_000_000_000, kept, wire), axis=1).astype("<u4")
    frame[:, :16] = head.view(np.uint8)
    up = rows["up"]
    put = _Put(frame)
    put.field(16 + 12, np.full(len(rows), 0x0800), 2)
    put.field(30, np.full(len(rows), 0x45), 1)
    put.field(32, 52 + size, 2)
    put.field(34, rows["id"], 2)
    put.field(38, np.where(rows["up"], 64 - ttl_less, 63 + ttl_less), 1)  # one router between a and b
    put.field(39, np.full(len(rows), 6), 1)
    client = CLIENT + 1 + rows["flow"] % 200
    put.field(42, np.where(up, client, SERVER), 4)
    put.field(46, np.where(up, SERVER, client), 4)
    port = 10_000 + rows["flow"].astype(np.int64)
    put.field(50, np.where(up, port, 5002), 2)
    put.field(52, np.where(up, 5002, port), 2)
    put.field(54, rows["seq"], 4)
    put.field(58, rows["ack"], 4)
    put.field(62, np.full(len(rows), 0x80), 1)
    put.field(63, np.where(size > 0, 0x18, 0x10), 1)
    put.field(64, np.full(len(rows), 512), 2)
    frame[:, 70:74] = (1, 1, 8, 10)
    put.field(74, rows["tsval"], 4)
    frame[:, 82:] = (rows["seq"] % 251).astype(np.uint8)[:, None]
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, KEPT, 1))
        keep = np.arange(16 + KEPT)[None, :] < (16 + kept)[:, None]
        out.write(frame[keep].tobytes())


class _Put:
    """Store big-endian numbers in a column of frames."""

    def __init__(self, frame: NDArray[np.uint8]) -> None:
        self.frame = frame

    def field(self, at: int, value: NDArray[np.generic], size: int) -> None:
        """Store *value* in *size* bytes from column *at* on."""
        number = value.astype(np.int64)
        for k in range(size):
            self.frame[:, at + k] = (number >> (8 * (size - 1 - k))) & 0xFF
