"""Fill the cache of compiled kernels: run every one of them once on a small invented capture."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from orchestrator.archive.layout import RunDirectory
from orchestrator.model.wanted import Wanted
from orchestrator.pipeline import analyse, cut_merged, merge, open_offline

PACKETS = 12


def main() -> None:
    """Compile everything; later starts load machine code from the cache."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "a.pcap").write_bytes(_capture(0, lose=-1))
        (folder / "b.pcapng").write_bytes(_as_pcapng(_capture(1_000, lose=5)))
        run = RunDirectory(folder / "run")
        open_offline(run, {"a": [folder / "a.pcap"], "b": [folder / "b.pcapng"]}, run_id="warmup")
        analyse(run)
        merge(run, view=True, aligned=True)
        cut_merged(run.merged, Wanted(points=("a",)), folder / "cut.pcapng")


def _capture(delay_us: int, lose: int) -> bytes:
    """Return a pcap of one TCP and one constant UDP flow."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
    for k in range(PACKETS):
        if k == lose:
            continue
        tcp = struct.pack(">HHIIBBHHH", 40000, 80, 1000 + 10 * k, 1, 0x50, 0x18, 512, 0, 0) + b"0123456789"
        udp = struct.pack(">HHHH", 40001, 53, 16, 0) + b"constant"
        for protocol, body, number in ((6, tcp, k + 1), (17, udp, 0)):
            ip = struct.pack(
                ">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), number, 0, 64, protocol, 0, b"\x0a\0\0\1", b"\x0a\0\0\2"
            )
            out.append(struct.pack("<IIII", 1, 10_000 * k + delay_us, 20 + len(body), 20 + len(body)) + ip + body)
    return b"".join(out)


def _as_pcapng(pcap: bytes) -> bytes:
    """Return the packets of a little-endian *pcap* in pcapng form."""
    out = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHII", 1, 20, 101, 0, 0, 20),
    ]
    at = 24
    while at < len(pcap):
        seconds, micros, kept, wire = struct.unpack_from("<IIII", pcap, at)
        ticks = seconds * 1_000_000 + micros
        body = pcap[at + 16 : at + 16 + kept] + b"\0" * (-kept % 4)
        length = 32 + len(body)
        out.append(
            struct.pack("<IIIIIII", 6, length, 0, ticks >> 32, ticks & 0xFFFFFFFF, kept, wire)
            + body
            + struct.pack("<I", length)
        )
        at += 16 + kept
    return b"".join(out)


if __name__ == "__main__":
    main()
