"""Decompress gzip and zstd piece by piece: no piece is larger than asked for, whatever the stream promises.

A damaged stream yields everything before the damage, to the byte, and then says what is wrong.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE_BYTES = 1 << 20
INPUT_BYTES = 1 << 18
LARGEST_ZSTD_WINDOW = 1 << 27
"""Bytes; what zstd itself takes unless told otherwise. `--long` windows above it need memory that we do not give."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
GZIP_MAGIC = b"\x1f\x8b"


class DamagedStreamError(Exception):
    """The compressed stream cannot be followed any further."""


class Raw:
    """The compressed bytes of a file, in order; as a file object, as zstandard takes it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.position = 0

    def read(self, size: int = INPUT_BYTES) -> bytes:
        """Return the next bytes, none at the end."""
        data = os.pread(self.descriptor, size, self.position)
        self.position += len(data)
        return data


def decompressor(head: bytes) -> Callable[[Raw], Iterator[bytes]] | None:
    """Return what yields the pieces of a file that begins with *head*; None where it is not compressed."""
    if head.startswith(GZIP_MAGIC):
        return gunzip
    if head.startswith(ZSTD_MAGIC) or (head[1:4] == ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50):  # noqa: PLR2004
        return unzstd
    return None


def gunzip(raw: Raw) -> Iterator[bytes]:
    """Yield the bytes of all gzip members, one after the other.

    Raises:
        DamagedStreamError: Bytes are missing or wrong; what is readable before was yielded.
    """
    data = raw.read()
    while data:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            data = data or raw.read()
            before = member.copy()
            try:
                piece = member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                yield from _up_to_the_damage(before, data)
                msg = f"the gzip stream is damaged ({_reason(error)})"
                raise DamagedStreamError(msg) from error
            if not (piece or data or member.eof):
                msg = "the gzip stream ends early"
                raise DamagedStreamError(msg)
            data = member.unconsumed_tail
            if piece:
                yield piece
        data = _next_member(member.unused_data, raw)


def _reason(error: zlib.error) -> str:
    """Return the last part of zlib's message: "Error -3 while decompressing data: incorrect data check"."""
    return str(error).rpartition(": ")[2]


def _up_to_the_damage(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Yield what *data* yields before it cannot be true; zlib drops it where that is found in one call."""
    kept = bytearray()
    for at in range(len(data)):
        try:
            kept += member.decompress(data[at : at + 1], PIECE_BYTES)
        except zlib.error:
            break
        if len(kept) >= PIECE_BYTES:
            yield bytes(kept)
            kept.clear()
    if kept:
        yield bytes(kept)


def _next_member(data: bytes, raw: Raw) -> bytes:
    """Return the bytes from the next member on; zeros that fill a block of a tape or disk are passed over."""
    while True:
        data = data.lstrip(b"\0")
        if data and not data.startswith(GZIP_MAGIC[: len(data)]):
            msg = "bytes that are not gzip follow the gzip stream"
            raise DamagedStreamError(msg)
        more = b"" if len(data) > 1 else raw.read()
        data += more
        if len(data) > 1 or not more:
            return data


def unzstd(raw: Raw) -> Iterator[bytes]:
    """Yield the bytes of all zstd frames, one after the other.

    Raises:
        DamagedStreamError: Bytes are missing or wrong; what is readable before was yielded.
    """
    reader = _zstd_reader(raw)
    done = 0
    try:
        while piece := reader.read(PIECE_BYTES):
            done += len(piece)
            yield piece
    except zstandard.ZstdError as error:
        yield from _rest_of_zstd(raw.descriptor, done)
        msg = f"the zstd stream is damaged ({str(error).removeprefix('zstd decompress error: ')})"
        raise DamagedStreamError(msg) from error
    if not _zstd_is_whole(raw.descriptor):  # the reader does not tell an end from a cut
        msg = "the zstd stream ends early"
        raise DamagedStreamError(msg)


def _zstd_reader(raw: Raw) -> zstandard.ZstdDecompressionReader:
    context = zstandard.ZstdDecompressor(max_window_size=LARGEST_ZSTD_WINDOW)
    return context.stream_reader(raw, read_size=INPUT_BYTES, read_across_frames=True)  # type: ignore[arg-type]


def _rest_of_zstd(descriptor: int, done: int) -> Iterator[bytes]:
    """Yield what follows *done* bytes up to the damage: a call that fails drops what it had, so a byte a call."""
    reader = _zstd_reader(Raw(descriptor))
    kept = bytearray()
    try:
        while done and (piece := reader.read(min(done, PIECE_BYTES))):
            done -= len(piece)
        while byte := reader.read(1):
            kept += byte
    except zstandard.ZstdError:
        if kept:
            yield bytes(kept)


def _zstd_is_whole(descriptor: int) -> bool:
    """Follow the lengths of frames and blocks; return whether the last frame is finished where the file ends."""
    size = os.fstat(descriptor).st_size
    at = 0
    while at < size:
        head = os.pread(descriptor, 18, at)
        if head[1:4] == ZSTD_SKIPPABLE:
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if len(head) < 6:  # noqa: PLR2004 shorter than any frame header with a block behind it
            return False
        at = _end_of_zstd_frame(descriptor, at, head[4])
    return at == size


def _end_of_zstd_frame(descriptor: int, at: int, flags: int) -> int:
    """Return where the frame at *at* ends, by the lengths of its blocks (RFC 8878, 3.1.1)."""
    single = flags >> 5 & 1
    at += 5 + (not single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    while True:
        block = int.from_bytes(os.pread(descriptor, 3, at).ljust(3, b"\0"), "little")
        is_run_of_one_byte = block >> 1 & 3 == 1
        at += 3 + (1 if is_run_of_one_byte else block >> 3)
        if block & 1:
            return at + (4 if flags & 4 else 0)
        if at >= os.fstat(descriptor).st_size:
            return at + 1  # behind the end: the last block is not there
