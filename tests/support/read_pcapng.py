"""Read a little-endian pcapng block by block, with nothing of the product: what a test holds written files against."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Block:
    """One block with its options by code; several of one code follow each other."""

    options: dict[int, list[bytes]]
    link_type: int = 0
    snaplen: int = 0
    interface: int = 0
    time_ns: int = 0
    frame: bytes = b""
    wire: int = 0

    def text(self, code: int) -> str:
        return "\n".join(v.decode() for v in self.options.get(code, []))

    def number(self, code: int) -> int | None:
        return int.from_bytes(self.options[code][0], "little") if code in self.options else None


@dataclass
class Document:
    """All blocks of a file by kind."""

    section: Block
    interfaces: list[Block] = field(default_factory=list)
    packets: list[Block] = field(default_factory=list)
    statistics: list[Block] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [i.text(2) for i in self.interfaces]

    def held(self) -> list[tuple[str, int, bytes, int]]:
        """Return (interface name, time, frame, length on the wire) of every packet, sorted."""
        return sorted((self.names[p.interface], p.time_ns, p.frame, p.wire) for p in self.packets)


def read(path: Path) -> Document:
    data = path.read_bytes()
    document = None
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == 0x0A0D0D0A:
            assert document is None, "a second section"
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            document = Document(Block(_options(body[16:])))
            continue
        assert document is not None
        if kind == 1:
            link_type, _, snaplen = struct.unpack_from("<HHI", body)
            document.interfaces.append(Block(_options(body[8:]), link_type=link_type, snaplen=snaplen))
        elif kind == 6:
            interface, high, low, kept, wire = struct.unpack_from("<IIIII", body)
            end = 20 + kept + -kept % 4
            assert not any(body[20 + kept : end]), "padding is not zero"
            document.packets.append(
                Block(_options(body[end:]), interface=interface, time_ns=(high << 32) | low,
                      frame=body[20 : 20 + kept], wire=wire)
            )  # fmt: skip
        elif kind == 5:
            interface, high, low = struct.unpack_from("<III", body)
            document.statistics.append(Block(_options(body[12:]), interface=interface, time_ns=(high << 32) | low))
        else:
            raise AssertionError(kind)  # custom blocks and the like: programs number them as frames
    assert document is not None
    return document


def _options(data: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            assert at + 4 == len(data)
            return found
        found.setdefault(code, []).append(data[at + 4 : at + 4 + length])
        at += 4 + length + -length % 4
    assert not data, "options without an end"
    return found
