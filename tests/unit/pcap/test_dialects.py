"""The dialects of classic pcap, and files that are none."""

from __future__ import annotations

import struct

import pytest

from orchestrator.errors import CaptureFileError
from orchestrator.pcap.reader import read_capture
from tests.support.wire import Packet, write_pcap

IP = Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=b"hello").bytes()
BOTH = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])


def capture(path, order, *, magic=0xA1B2C3D4, version=(2, 4), network=101, behind_header=b"", extra=b"", swap=False):
    """Write three records; *extra* follows each record header."""
    out = [struct.pack(order + "IHHiIII", magic, *version, 0, 0, 65535, network), behind_header]
    for k in range(3):
        lengths = (len(IP) + 10, len(IP)) if swap else (len(IP), len(IP) + 10)
        out.append(struct.pack(order + "IIII", 1_700_000_000 + k, 999_000 + k, *lengths) + extra + IP)
    path.write_bytes(b"".join(out))
    return path


@BOTH
@pytest.mark.parametrize(
    ("options", "unit_ns"),
    [
        pytest.param({}, 1000, id="microseconds"),
        pytest.param({"magic": 0xA1B23C4D}, 1, id="nanoseconds"),
        pytest.param({"magic": 0xA1B2CD34, "extra": b"\1\0\0\0\0\x08\0\0"}, 1000, id="modified"),
        pytest.param({"magic": 0xA1B2CD34, "extra": b"\1\0\0\0\0\x08\0\0\0\0\0\0"}, 1000, id="modified-in-1999"),
        pytest.param({"extra": b"\1\2\3\4"}, 1000, id="nokia"),
        pytest.param({"extra": b"\1\0\0\0\0\x08\0\0"}, 1000, id="linux-patch-of-1999"),
        pytest.param({"magic": 0x1C0001AC, "behind_header": bytes(4)}, 1000, id="ixia-hardware"),
        pytest.param({"magic": 0x1C0001AB, "behind_header": bytes(4)}, 1000, id="ixia-software"),
        pytest.param({"network": 0x24000000 | 101}, 1000, id="length-of-the-check-sequence-given"),
        pytest.param({"version": (2, 2), "swap": True}, 1000, id="lengths-the-other-way-round"),
        pytest.param({"version": (2, 3), "swap": True}, 1000, id="lengths-perhaps-the-other-way-round"),
        pytest.param({"version": (2, 3)}, 1000, id="lengths-perhaps-not"),
        pytest.param({"version": (543, 0), "swap": True}, 1000, id="dg-ux"),
        pytest.param({"version": (2, 2), "network": 24, "swap": True}, 1, id="aix"),
    ],
)
def test_every_dialect_yields_the_same_packets(tmp_path, order, options, unit_ns):
    """As tshark reads them."""
    packets, file = read_capture(capture(tmp_path / "a.pcap", order, **options))
    assert file.defects == []
    assert file.link_types == [0 if options.get("network") == 24 else 101]
    assert packets.time_ns.tolist() == [(1_700_000_000 + k) * 10**9 + (999_000 + k) * unit_ns for k in range(3)]
    assert packets.caplen.tolist() == [len(IP)] * 3
    assert packets.wirelen.tolist() == [len(IP) + 10] * 3


@pytest.mark.parametrize("seconds", [0, 1_924_992_000, 2**31 - 1, 2**31, 2**32 - 1])
def test_seconds_have_no_sign(tmp_path, seconds):
    """1970, 2031, and the years from 2038 to 2106."""
    times = [seconds * 10**9, seconds * 10**9 + 999_999_999]
    packets, _ = read_capture(write_pcap(tmp_path / "a.pcap", [(t, IP) for t in times]))
    assert packets.time_ns.tolist() == times


def test_a_tail_of_zeros_is_cut_off(tmp_path):
    """What a file system leaves after a crash; as records it would be thousands of empty frames in 1970."""
    path = write_pcap(tmp_path / "a.pcap", [(k, IP) for k in range(3)])
    path.write_bytes(path.read_bytes() + bytes(3_000_000))
    packets, file = read_capture(path)
    assert packets.time_ns.tolist() == [0, 1, 2]
    assert file.defects == ["record 4 and what follows are zeros, file cut there"]


def test_a_long_record_that_the_file_does_not_hold(tmp_path):
    """Twelve megabytes could be; they are looked for in the file, not reserved."""
    path = write_pcap(tmp_path / "a.pcap", [(k, IP) for k in range(2)])
    path.write_bytes(path.read_bytes() + struct.pack("<IIII", 3, 0, 12 << 20, 12 << 20) + b"\1" * 5_000_000)
    packets, file = read_capture(path)
    assert len(packets) == 2
    assert file.defects == ["the file ends inside record 3, which claims 12 MiB"]


@pytest.mark.parametrize(
    ("start", "name", "said", "cure"),
    [
        pytest.param(b"snoop\0\0\0\0\0\0\2", "a.snoop", "is a Solaris snoop file", "editcap -F pcapng", id="snoop"),
        pytest.param(b"btsnoop\0\0\0\0\1", "a.log", "is a Bluetooth HCI log", "editcap -F pcapng", id="btsnoop"),
        pytest.param(b"RTSS\0\2", "a.cap", "is a Microsoft Network Monitor 1", "editcap -F pcapng", id="netmon-1"),
        pytest.param(b"GMBU\0\2", "a.cap", "is a Microsoft Network Monitor 2", "editcap -F pcapng", id="netmon-2"),
        pytest.param(b"\x01\x10\x4c\x00\x01\x05Trace Display", "a.tr1", "LANalyzer", "editcap", id="lanalyzer"),
        pytest.param(b"\xaa\xaa\xaa\xaa\0\0", "a.5vw", "5Views", "editcap", id="5views"),
        pytest.param(b"+---------+---------------+----------+\r\n", "a.txt", "K12 text", "editcap", id="k12-text"),
        pytest.param(b"EyeSDN\0", "a.trc", "EyeSDN", "editcap", id="eyesdn"),
        pytest.param(b"\0" * 8 + b"\2\0\0\x40", "a.erf", "Endace ERF", "editcap", id="erf"),
        pytest.param(b"\0" * 16, "a.etl", "Windows event trace", "etl2pcapng", id="etl"),
        pytest.param(b"BZh91AY&SY", "a.pcap.bz2", "is bzip2-compressed", "bunzip2", id="bzip2"),
        pytest.param(b"\xfd7zXZ\0\0", "a.pcap.xz", "is xz-compressed", "unxz", id="xz"),
        pytest.param(b"\x04\x22\x4d\x18", "a.pcap.lz4", "is lz4-compressed", "unlz4", id="lz4"),
        pytest.param(b"PK\x03\x04", "a.zip", "is a zip archive", "unzip", id="zip"),
        pytest.param(b"a.pcap".ljust(257, b"\0") + b"ustar", "a.tar", "is a tar archive", "tar xf", id="tar"),
        pytest.param(b"", "a.pcap", "is empty", "capturing program", id="empty"),
        pytest.param(b"hello", "a.pcap", "is neither pcap nor pcapng", "editcap", id="something-else"),
    ],
)
def test_another_format_is_named_with_what_converts_it(tmp_path, start, name, said, cure):
    """One sentence and a command, never a traceback."""
    path = tmp_path / name
    path.write_bytes(start)
    with pytest.raises(CaptureFileError) as caught:
        read_capture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert cure in caught.value.hint


def test_what_cannot_be_opened_is_said(tmp_path):
    """A directory, and nothing at all."""
    with pytest.raises(CaptureFileError, match="is a directory"):
        read_capture(tmp_path)
    with pytest.raises(CaptureFileError, match="No such file"):
        read_capture(tmp_path / "none.pcap")
