"""Every block of a pcapng that matters, in both byte orders; everything else is passed over."""

from __future__ import annotations

import struct

import pytest

from orchestrator.pcap.reader import read_capture
from tests.support.pcapng import Blocks
from tests.support.wire import Packet

IP = Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=b"hello").bytes()
LITTLE, BIG = Blocks("<"), Blocks(">")
BOTH = pytest.mark.parametrize("make", [LITTLE, BIG], ids=["little", "big"])


def read(folder, *blocks):
    path = folder / "a.pcapng"
    path.write_bytes(b"".join(blocks))
    return read_capture(path)


@BOTH
@pytest.mark.parametrize(
    ("resolution", "offset_s", "ticks", "time_ns"),
    [
        pytest.param(None, None, 1_700_000_000_123_456, 1_700_000_000_123_456_000, id="microseconds-unless-said"),
        pytest.param(0, None, 12_345, 12_345 * 10**9, id="seconds"),
        pytest.param(3, None, 4_102_444_800_123, 4_102_444_800_123 * 10**6, id="milliseconds-in-2100"),
        pytest.param(9, None, 1_924_991_999_999_999_999, 1_924_991_999_999_999_999, id="nanoseconds-in-2031"),
        pytest.param(9, None, 0, 0, id="1970"),
        pytest.param(12, None, 1_700_000_999_999_999_999, 1_700_000_999_999_999, id="picoseconds-rounded-down"),
        pytest.param(19, None, 2**64 - 1, 1_844_674_407, id="as-fine-as-64-bits-hold"),
        pytest.param(0x8A, None, 1_700_000_000 << 10 | 1023, 1_700_000_000_999_023_437, id="1024ths"),
        pytest.param(0xA0, None, 1_700_000_000 << 32 | 0xFFFFFFFF, 1_700_000_000_999_999_999, id="2^-32"),
        pytest.param(0xA2, None, (1_700 << 34) + (1 << 33), 1_700_500_000_000, id="2^-34"),
        pytest.param(0xBF, None, 2**64 - 1, 1_999_999_999, id="2^-63"),
        pytest.param(6, -5, 123, -4_999_877_000, id="before-1970"),
        pytest.param(6, 2**31, 1, (2**31 * 10**6 + 1) * 1000, id="offset-beyond-2038"),
        pytest.param(6, 2**40, 1, 9_223_372_035_000_001_000, id="beyond-2262-is-its-last-second"),
    ],
)
def test_times_are_exact(tmp_path, make, resolution, offset_s, ticks, time_ns):
    """Decimal and binary resolutions, offsets of either sign: rounded down to the nanosecond, never through a float."""
    interface = make.interface(resolution=resolution, offset_s=offset_s)
    packets, file = read(tmp_path, make.section(), interface, make.packet(IP, ticks))
    assert packets.time_ns.tolist() == [time_ns]
    assert file.defects == []


@pytest.mark.parametrize("resolution", [20, 127, 0xC0, 0xFF])
def test_a_clock_finer_than_64_bits_is_a_defect(tmp_path, resolution):
    """Its packets are kept, their times mean nothing."""
    packets, file = read(tmp_path, LITTLE.section(), LITTLE.interface(resolution=resolution), LITTLE.packet(IP, 5))
    assert len(packets) == 1
    assert [d.startswith("interface 0 claims a clock of") for d in file.defects] == [True]


def test_sections_of_different_byte_order(tmp_path):
    """Interfaces are numbered on; resolution and link type of one section do not leak into the next."""
    packets, file = read(
        tmp_path,
        LITTLE.section(), LITTLE.interface(12), LITTLE.interface(101, resolution=9), LITTLE.packet(IP, 7, interface=1),
        BIG.section(), BIG.interface(228), BIG.packet(IP, 7),
        LITTLE.section(), LITTLE.interface(101), LITTLE.packet(IP, 8),
    )  # fmt: skip
    assert packets.time_ns.tolist() == [7, 7_000, 8_000]
    assert packets.interface.tolist() == [1, 2, 3]
    assert packets.dport.tolist() == [80, 80, 80]
    assert file.link_types == [12, 101, 228, 101]


@BOTH
@pytest.mark.parametrize("length", [-1, 0, 80, 1 << 40])
def test_the_length_of_a_section_is_a_claim_that_nobody_needs(tmp_path, make, length):
    """Given, absent or wrong: blocks follow each other all the same."""
    packets, file = read(tmp_path, make.section(length), make.interface(), make.packet(IP, 1), make.packet(IP, 2))
    assert packets.time_ns.tolist() == [1_000, 2_000]
    assert file.defects == []


@BOTH
def test_blocks_that_are_no_packets_are_passed_over(tmp_path, make):
    """Names, secrets, journals, custom and unknown blocks, comments and options."""
    others = [make.block(kind, b"\1" * 20) for kind in (4, 9, 10, 0xBAD, 0x40000BAD, 0x0BADF00D, 0x80000001)]
    comment = make.option(1, "«comment»".encode()) + make.option(2, b"\0\0\0\1") + make.option(0, b"")
    packets, file = read(
        tmp_path, make.section(), make.interface(), *others, make.packet(IP, 1, options=comment), *others,
        make.packet(IP, 2),
    )  # fmt: skip
    assert packets.time_ns.tolist() == [1_000, 2_000]
    assert packets.payload.tolist() == [5, 5]
    assert file.defects == []


def test_a_block_longer_than_a_chunk_is_passed_over(tmp_path):
    """Of three megabytes of secrets nothing is read."""
    secrets = LITTLE.block(10, b"\1" * 3_000_000)
    packets, file = read(tmp_path, LITTLE.section(), LITTLE.interface(), secrets, LITTLE.packet(IP, 2))
    assert packets.time_ns.tolist() == [2_000]
    assert file.defects == []


@BOTH
def test_obsolete_packets_tell_what_was_dropped_before_them(tmp_path, make):
    """0xFFFF means that nobody counted."""
    packets, file = read(
        tmp_path, make.section(), make.interface(), make.interface(resolution=9),
        make.obsolete(IP, 5, drops=3), make.obsolete(IP, 6, interface=1, drops=4), make.obsolete(IP, 7),
    )  # fmt: skip
    assert packets.time_ns.tolist() == [5_000, 6, 7_000]
    assert packets.interface.tolist() == [0, 1, 0]
    assert file.drops == 7


@BOTH
def test_packets_with_a_drop_count(tmp_path, make):
    """The option epb_dropcount, among others."""
    drops = make.option(1, b"x") + make.option(4, struct.pack(make.order + "Q", 9)) + make.option(0, b"")
    _, file = read(tmp_path, make.section(), make.interface(), make.packet(IP, 1, options=drops), make.packet(IP, 2))
    assert file.drops == 9


@BOTH
def test_counters_run_so_the_last_of_each_interface_counts(tmp_path, make):
    """Two interfaces, the first asked twice; statistics count more than drops that packets mention."""
    drops = make.option(4, struct.pack(make.order + "Q", 9)) + make.option(0, b"")
    _, file = read(
        tmp_path, make.section(), make.interface(), make.interface(), make.packet(IP, 1, options=drops),
        make.statistics(0, ifrecv=10, ifdrop=3, osdrop=1), make.statistics(1, osdrop=4),
        make.statistics(0, ifrecv=20, ifdrop=5, osdrop=1, usrdeliv=20),
    )  # fmt: skip
    assert file.drops == 10


def test_without_drop_counters_nothing_is_known_of_drops(tmp_path):
    """Statistics that count received packets alone do not say zero."""
    _, file = read(tmp_path, LITTLE.section(), LITTLE.interface(), LITTLE.statistics(0, ifrecv=10))
    assert file.drops is None


@BOTH
def test_simple_packets_have_the_time_of_the_packet_before_and_are_a_defect(tmp_path, make):
    """They carry none; their length is cut by the snaplen of the first interface."""
    packets, file = read(
        tmp_path, make.section(), make.interface(snaplen=40), make.packet(IP[:40], 5, wire=len(IP)),
        make.simple(IP[:40], wire=len(IP)), make.packet(IP[:40], 6, wire=len(IP)),
    )  # fmt: skip
    assert packets.time_ns.tolist() == [5_000, 5_000, 6_000]
    assert packets.caplen.tolist() == [40, 40, 40]
    assert packets.wirelen.tolist() == [len(IP)] * 3
    assert file.defects == ["1 packets have no time of their own (simple packet blocks)"]


def test_a_packet_that_contradicts_its_block_is_left_out_alone(tmp_path):
    """An interface that nobody described, more bytes than the block holds: where blocks begin is still known."""
    frame = struct.pack("<IIIII", 0, 0, 2, 1000, 1000) + IP
    packets, file = read(
        tmp_path, LITTLE.section(), LITTLE.interface(), LITTLE.packet(IP, 1), LITTLE.packet(IP, 2, interface=3),
        LITTLE.block(6, frame), LITTLE.packet(IP, 4),
    )  # fmt: skip
    assert packets.time_ns.tolist() == [1_000, 4_000]
    assert file.defects == [
        "2 packets contradict their blocks and are left out, the first where record 2 is due",
    ]


WHOLE = LITTLE.section() + LITTLE.interface() + LITTLE.packet(IP, 1)


HERE = "the block before record 2"
UNEVEN = b"\1\0\0\0"


@pytest.mark.parametrize(
    ("rest", "defect"),
    [
        pytest.param(LITTLE.packet(IP, 2)[:-3], "the file ends inside record 2", id="cut-packet"),
        pytest.param(b"\x06\0\0", "the file ends inside record 2", id="cut-header"),
        pytest.param(LITTLE.block(10, bytes(400))[:300], f"the file ends inside {HERE}", id="cut-block"),
        pytest.param(struct.pack("<II", 6, 0xFFFFFFF0) + bytes(40), "record 2 claims 4 GiB", id="4-GiB"),
        pytest.param(struct.pack("<II", 6, 8) + bytes(40), "record 2 claims 8 bytes", id="shorter-than-a-block"),
        pytest.param(struct.pack("<II", 10, 4) + bytes(9), f"{HERE} claims 4 bytes", id="4-bytes"),
        pytest.param(LITTLE.packet(IP, 2)[:-4] + UNEVEN, "record 2 has two different lengths", id="uneven"),
        pytest.param(LITTLE.block(10, b"")[:-4] + UNEVEN, f"{HERE} has two different lengths", id="uneven-other"),
        pytest.param(
            LITTLE.section(version=(3, 0)), f"{HERE} is of pcapng version 3, which is not known", id="version-3"
        ),
        pytest.param(b"\x0a\x0d\x0d\x0a" + bytes(24), f"{HERE} is a section without a byte order", id="no-byte-order"),
        pytest.param(LITTLE.block(1, b"1234"), f"{HERE} is too short for an interface", id="interface"),
        pytest.param(LITTLE.block(5, b"1234"), f"{HERE} is too short for statistics", id="statistics"),
    ],
)
def test_a_defect_is_one_line_and_everything_before_it_is_kept(tmp_path, rest, defect):
    """What is behind the damage is not guessed."""
    packets, file = read(tmp_path, WHOLE + rest)
    assert packets.time_ns.tolist() == [1_000]
    assert file.defects == [defect if "ends" in defect else f"{defect}, file cut there"]


def test_more_interfaces_than_numbers_for_them(tmp_path):
    """A file of nothing but interfaces is cut, in time that grows with the file."""
    packets, file = read(tmp_path, WHOLE, LITTLE.interface() * 70_000, LITTLE.packet(IP, 2))
    assert len(packets) == 1
    assert file.defects == ["the block before record 2 describes one interface more than 65,535, file cut there"]
