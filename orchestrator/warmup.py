"""Fill the cache of compiled kernels: run every one of them once on small invented captures."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.archive.layout import RunDirectory
from orchestrator.intake import open_offline
from orchestrator.model.wanted import Wanted
from orchestrator.pipeline import analyse, cut_merged, merge

POINTS = ("a", "b", "c")
CLIENT, SERVER, GATEWAYS = b"\x0a\0\0\1", b"\x0a\0\0\2", (b"\x0a\0\1\1", b"\x0a\0\1\2")
HIDDEN_CLIENT, HIDDEN_SERVER = b"\x0a\0\2\1", b"\x0a\0\2\2"
DATAGRAMS = 5_000
"""Above the number of rows below which NumPy sorts."""
ICMP, TCP, UDP, ESP = 1, 6, 17, 50


def main() -> None:
    """Compile everything; later starts load machine code from the cache."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        captures = _captures()
        files = {point: folder / f"{point}.pcap" for point in POINTS}
        for point, path in files.items():
            path.write_bytes(_pcap(captures.records[point]))
        files["b"] = folder / "b.pcapng"
        files["b"].write_bytes(_pcapng(captures.records["b"]))
        run = RunDirectory(folder / "run")
        open_offline(run, {point: [path] for point, path in files.items()}, run_id="warmup")
        analyse(run)
        merge(run, view=True, aligned=True)
        cut_merged(run.merged, Wanted(points=("a",)), folder / "cut.pcapng")


@dataclass(slots=True)
class _Captures:
    """Records (microseconds, packet) by point."""

    records: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: {p: [] for p in POINTS})

    def add(self, at_us: int, packet: bytes, seen_by: str = "abc", late_us: int = 0) -> None:
        """Let points see *packet* on its way from a to c."""
        for hops, point in enumerate(POINTS):
            if point in seen_by:
                self.records[point].append((at_us + 200 * hops + (late_us if hops else 0), packet))


def _captures() -> _Captures:
    """Return what happens on a path whose middle point cannot see all of it."""
    captures = _Captures()
    _datagrams(captures)
    _stream(captures)
    _tunnel(captures)
    _fragments(captures)
    _messages(captures)
    return captures


def _datagrams(captures: _Captures) -> None:
    """Lose some in bursts, let one miss and some overtake."""
    for k in range(DATAGRAMS):
        ends = (CLIENT, SERVER) if k % 3 else (SERVER, CLIENT)
        body = struct.pack(">HHHHQ", 40_000 + k % 8, 5_000, 16, 0, k)
        seen = "a" if k % 97 < k % 3 else ("ac" if k == DATAGRAMS // 2 else "abc")
        if k % 100 == 0:  # like all others of its kind
            constant = struct.pack(">HHHH", 40_009, 53, 16, 0) + b"constant"
            captures.add(1_000 * k + 500, _ip(UDP, constant, CLIENT, SERVER, number=0), "a" if k == 1_000 else "abc")  # noqa: PLR2004
        captures.add(1_000 * k, _ip(UDP, body, *ends, number=k % 65_535 + 1), seen, 1_700 if k % 101 == 0 else 0)


def _stream(captures: _Captures) -> None:
    """Send data, lose one segment, send it again."""
    for k in range(40):
        for again in (0, 1) if k == 20 else (0,):  # noqa: PLR2004
            data = struct.pack(">HHIIBBHHH", 40_100, 80, 1_000 + 10 * k, 1, 0x50, 0x18, 512, 0, 0) + b"0123456789"
            answer = struct.pack(">HHIIBBHHH", 80, 40_100, 1, 1_010 + 10 * k, 0x50, 0x10, 512, 0, 0)
            at = 50_000 * k + 20_000 * again
            dies = k == 20 and not again  # noqa: PLR2004
            captures.add(at, _ip(TCP, data, CLIENT, SERVER, number=2 * k + 100 * again + 1), "a" if dies else "abc")
            if not dies:
                captures.add(at + 900, _ip(TCP, answer, SERVER, CLIENT, number=k + 1))
    abort = struct.pack(">HHIIBBHHH", 40_100, 80, 1_400, 1, 0x50, 0x14, 0, 0, 0)  # after a silence
    captures.add(4_500_000, _ip(TCP, abort, CLIENT, SERVER, number=200))


def _tunnel(captures: _Captures) -> None:
    """Carry a flow past the middle point in an encrypted tunnel, of which one packet never came."""
    for k in range(60):
        inside = struct.pack(">HHHHQ", 40_200, 5_001, 108, 0, k) + bytes(92)
        captures.add(30_000 * k, _ip(UDP, inside, HIDDEN_CLIENT, HIDDEN_SERVER, number=k + 1), "ac")
        if k != 30:  # noqa: PLR2004
            sealed = struct.pack(">II", 77, k + 1) + bytes(164)
            captures.add(30_000 * k, _ip(ESP, sealed, *GATEWAYS, number=k + 1), "b")


def _fragments(captures: _Captures) -> None:
    """Send datagrams in pieces that the last point sees put together."""
    for k in range(5):
        whole = struct.pack(">HHHHQ", 40_300, 5_002, 1_608, 0, k) + bytes(1_592)
        at = 70_000 * k
        captures.add(at, _ip(UDP, whole[:800], CLIENT, SERVER, number=60_000 + k, fragment=0x2000), "ab")
        captures.add(at + 20, _ip(UDP, whole[800:], CLIENT, SERVER, number=60_000 + k, fragment=100), "ab")
        captures.add(at + 20, _ip(UDP, whole, CLIENT, SERVER, number=60_000 + k), "c")


def _messages(captures: _Captures) -> None:
    """Ask a name server, send an error that quotes the question, and an alert of TLS."""
    name = b"\4name\0" + struct.pack(">HH", 1, 1)
    asked = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name
    packet = _ip(UDP, struct.pack(">HHHH", 40_400, 53, 8 + len(asked), 0) + asked, CLIENT, SERVER, number=61_000)
    captures.add(90_000, packet)
    captures.add(90_900, _ip(ICMP, struct.pack(">BBHI", 3, 3, 0, 0) + packet[:28], SERVER, CLIENT, number=61_001))
    alert = struct.pack(">HHIIBBHHHBBBHBB", 443, 40_500, 1, 1, 0x50, 0x18, 512, 0, 0, 21, 3, 3, 2, 2, 40)
    captures.add(91_000, _ip(TCP, alert, SERVER, CLIENT, number=61_002))


def _ip(protocol: int, body: bytes, source: bytes, target: bytes, *, number: int, fragment: int = 0) -> bytes:
    """Return an IPv4 packet."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), number, fragment, 64, protocol, 0, source, target)
    return head + body


def _pcap(records: list[tuple[int, bytes]]) -> bytes:
    """Return a pcap of raw IP packets."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)]
    for at_us, packet in sorted(records):
        out.append(struct.pack("<IIII", 1 + at_us // 10**6, at_us % 10**6, len(packet), len(packet)) + packet)
    return b"".join(out)


def _pcapng(records: list[tuple[int, bytes]]) -> bytes:
    """Return the same as a pcapng."""
    out = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHII", 1, 20, 101, 0, 0, 20),
    ]
    for at_us, packet in sorted(records):
        ticks = 10**6 + at_us
        body = packet + b"\0" * (-len(packet) % 4)
        facts = (6, 32 + len(body), 0, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
        out.append(struct.pack("<IIIIIII", *facts) + body + struct.pack("<I", 32 + len(body)))
    return b"".join(out)


if __name__ == "__main__":
    main()
