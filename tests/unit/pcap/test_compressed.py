"""Captures inside gzip and zstd are read as if they were plain, as far as the stream is sound."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.errors import CaptureFileError
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.source import KEPT_BYTES, open_source
from tests.support.wire import Packet, write_pcap

COUNT = 3_000


def frame(k):
    noise = b"".join(zlib.crc32(bytes([k & 0xFF, k >> 8, n & 0xFF, n >> 8])).to_bytes(4, "big") for n in range(250))
    return Packet("10.0.0.1", "10.0.0.2", 1, 2, k & 0xFFFF, payload=noise, seq=k).bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Three megabytes of packets that hardly compress."""
    return write_pcap(tmp_path_factory.mktemp("plain") / "a.pcap", [(k, frame(k)) for k in range(COUNT)])


def zstd(data):
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def skippable(data):
    return b"\x5a\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


PACK = pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(lambda d: gzip.compress(d[:999]) + gzip.compress(d[999:]), id="gzip-members"),
        pytest.param(lambda d: gzip.compress(d) + bytes(1000), id="gzip-padded"),
        pytest.param(zstd, id="zstd"),
        pytest.param(lambda d: skippable(b"x") + zstd(d[:999]) + skippable(b"") + zstd(d[999:]), id="zstd-frames"),
        pytest.param(lambda d: zstandard.ZstdCompressor(write_content_size=False).compress(d), id="zstd-without-size"),
    ],
)
def test_a_compressed_capture_is_read_like_the_plain_one(tmp_path, plain, pack):
    """The same columns, and offsets in the decompressed stream."""
    path = tmp_path / "a.pcap.packed"
    path.write_bytes(pack(plain.read_bytes()))
    want, _ = read_capture(plain)
    got, file = read_capture(path)
    assert file.defects == []
    assert all((a == b).all() for a, b in zip(got.blocks, want.blocks, strict=True))


@PACK
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_stream_keeps_what_is_readable(tmp_path, plain, pack, part):
    """Everything before the cut, and one line."""
    packed = pack(plain.read_bytes())
    path = tmp_path / "a.pcap.packed"
    path.write_bytes(packed[: int(len(packed) * part)])
    packets, file = read_capture(path)
    assert packets.seq.tolist() == list(range(len(packets)))
    assert part * COUNT - 300 < len(packets) <= COUNT  # a zstd block holds 128 KiB
    assert len(file.defects) == 1
    assert file.defects[0].endswith(f"stream ends early, behind record {len(packets):,}")


@PACK
def test_a_damaged_stream_keeps_what_is_readable(tmp_path, plain, pack):
    """Up to the damage, however much of it one call would have decompressed."""
    packed = bytearray(pack(plain.read_bytes()))
    middle = len(packed) // 2
    packed[middle : middle + 64] = bytes(range(64))
    path = tmp_path / "a.pcap.packed"
    path.write_bytes(bytes(packed))
    packets, file = read_capture(path)
    assert len(packets) > COUNT // 2 - 300
    assert packets.seq[: COUNT // 2 - 300].tolist() == list(range(COUNT // 2 - 300))
    assert len(file.defects) == 1


@PACK
def test_a_wrong_checksum_loses_nothing(tmp_path, plain, pack):
    """All packets are there (zstd keeps the very last byte back), and the file is said to be damaged."""
    packed = bytearray(pack(plain.read_bytes()))
    packed[-8 if pack is gzip.compress else -1] ^= 1
    path = tmp_path / "a.pcap.packed"
    path.write_bytes(bytes(packed))
    packets, file = read_capture(path)
    assert len(packets) == COUNT - (pack is zstd)
    assert "stream is damaged" in file.defects[0]


def test_bytes_behind_a_gzip_stream_are_told(tmp_path, plain):
    """Zeros are filling; anything else is not."""
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()) + b"\0\0something")
    packets, file = read_capture(path)
    assert len(packets) == COUNT
    assert file.defects == [f"bytes that are not gzip follow the gzip stream, behind record {COUNT:,}"]


@PACK
def test_what_holds_no_capture_is_refused(tmp_path, pack):
    """What is inside is named; a stream that yields nothing is said to be damaged."""
    path = tmp_path / "a.packed"
    path.write_bytes(pack(b"snoop\0\0\0\0\0\0\2"))
    with pytest.raises(CaptureFileError, match="Solaris snoop"):
        read_capture(path)
    path.write_bytes(pack(pack(b"x")))
    with pytest.raises(CaptureFileError, match="compressed twice"):
        read_capture(path)
    path.write_bytes(pack(b"x")[:4] + b"\xff" * 20)
    with pytest.raises(CaptureFileError, match=r"cannot be unpacked, the (gzip|zstd) stream"):
        read_capture(path)


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_a_bomb_is_harmless(tmp_path, pack):
    """A few kilobytes that claim to be millions of packets: what a file of their size can mean is kept, no more."""
    path = tmp_path / "a.pcap.packed"
    record = struct.pack("<IIII", 7, 7, 0, 64)
    path.write_bytes(pack(write_pcap(tmp_path / "empty.pcap", []).read_bytes() + record * 8_000_000))
    tracemalloc.start()
    try:
        packets, file = read_capture(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(packets) < 1_500_000
    assert peak < 1 << 30
    assert file.defects[0].endswith("so many do not fit into so few compressed bytes, file cut there")


def test_a_window_larger_than_we_give_is_refused(tmp_path, plain):
    """`zstd --long=31` needs two gigabytes to read: said, not tried."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "a.pcap.zst"
    path.write_bytes(packed.compress(plain.read_bytes()) + packed.flush())
    with pytest.raises(CaptureFileError, match="too much memory"):
        read_capture(path)


@PACK
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_source_gives_the_bytes_at_any_offset(tmp_path, plain, pack, data):
    """Forward, a little back, and to the beginning again: always as in the plain file."""
    whole = plain.read_bytes() * 4
    assert len(whole) > KEPT_BYTES
    path = tmp_path / "a.packed"
    if not path.exists():
        path.write_bytes(pack(whole))
    with open_source(path) as source:
        for _ in range(data.draw(st.integers(1, 6))):
            position = data.draw(st.integers(0, len(whole) + 10))
            buffer = bytearray(data.draw(st.sampled_from([1, 100, 1 << 20])))
            got = source.read_into(buffer, position)
            assert buffer[:got] == whole[position : position + len(buffer)]
