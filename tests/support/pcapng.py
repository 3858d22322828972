"""Build a pcapng in a test, block by block, in either byte order."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Blocks:
    """Blocks of one byte order: ``<`` or ``>``."""

    order: str = "<"

    def block(self, kind: int, body: bytes) -> bytes:
        padded = body + b"\0" * (-len(body) % 4)
        length = struct.pack(self.order + "I", len(padded) + 12)
        return struct.pack(self.order + "I", kind) + length + padded + length

    def option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self.order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)

    def section(self, length: int = -1, version: tuple[int, int] = (1, 0)) -> bytes:
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, *version, length))

    def interface(
        self, link_type: int = 101, snaplen: int = 0, resolution: int | None = None, offset_s: int | None = None
    ) -> bytes:
        body = struct.pack(self.order + "HHI", link_type, 0, snaplen) + self.option(2, b"eth0")
        if resolution is not None:
            body += self.option(9, bytes([resolution]))
        if offset_s is not None:
            body += self.option(14, struct.pack(self.order + "q", offset_s))
        return self.block(1, body + self.option(0, b""))

    def packet(
        self, frame: bytes, ticks: int, interface: int = 0, options: bytes = b"", wire: int | None = None
    ) -> bytes:
        head = struct.pack(
            self.order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), wire or len(frame)
        )
        return self.block(6, head + frame + b"\0" * (-len(frame) % 4) + options)

    def simple(self, frame: bytes, wire: int | None = None) -> bytes:
        return self.block(3, struct.pack(self.order + "I", wire or len(frame)) + frame)

    def obsolete(self, frame: bytes, ticks: int, interface: int = 0, drops: int = 0xFFFF) -> bytes:
        head = struct.pack(
            self.order + "HHIIII", interface, drops, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
        )
        return self.block(2, head + frame)

    def statistics(self, interface: int, **counters: int) -> bytes:
        codes = {"ifrecv": 4, "ifdrop": 5, "filteraccept": 6, "osdrop": 7, "usrdeliv": 8}
        body = struct.pack(self.order + "III", interface, 0, 0)
        for name, count in counters.items():
            body += self.option(codes[name], struct.pack(self.order + "Q", count))
        return self.block(5, body + self.option(0, b""))
