"""Numbers that encrypted and media packets carry in the clear, and headers that hide nothing."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from orchestrator.model.columns import (
    MARK_CUT,
    MARK_FRAGMENT,
    SERIES_DTLS,
    SERIES_ESP,
    SERIES_KIND,
    SERIES_RTP,
    SERIES_WIREGUARD,
    TCP,
    UDP,
)
from orchestrator.pcap.reader import read_capture
from tests.support.shells import checked, ip4, ip6, udp
from tests.support.wire import Packet, write_pcap

SEGMENT = Packet("10.0.0.1", "10.0.0.2", 1234, 80, payload=b"hello", seq=9, ack=8).bytes()[20:]


def read(folder, *packets):
    return read_capture(write_pcap(folder / "a.pcap", list(enumerate(packets))))[0]


def esp(spi, number):
    return struct.pack(">II", spi, number) + bytes(range(64))


def wireguard(receiver, number, length=32):
    return struct.pack("<IIQ", 4, receiver, number) + bytes(range(length - 16))


def dtls(epoch, number, kind=23, version=0xFEFD):
    return struct.pack(">BHHHIH", kind, version, epoch, number >> 32, number & 0xFFFFFFFF, 40) + bytes(range(40))


def rtp(ssrc, number, kind=8):
    return struct.pack(">BBHII", 0x80, kind, number, 160 * number, ssrc) + bytes(160)


@pytest.mark.parametrize(
    ("shell", "make", "kind", "numbers"),
    [
        pytest.param(lambda b: ip4(50, b), esp, SERIES_ESP, [1, 2, 2**32 - 1], id="esp"),
        pytest.param(lambda b: ip6(50, b), esp, SERIES_ESP, [1, 2, 2**32 - 1], id="esp-ipv6"),
        pytest.param(lambda b: udp(4500, b), esp, SERIES_ESP, [1, 2, 2**32 - 1], id="esp-in-udp"),
        pytest.param(lambda b: udp(61_000, b, sport=4500), esp, SERIES_ESP, [1, 3], id="esp-in-udp-back"),
        pytest.param(lambda b: udp(51_820, b), wireguard, SERIES_WIREGUARD, [0, 1, 2**40], id="wireguard"),
        pytest.param(lambda b: udp(4433, b), dtls, SERIES_DTLS, [0, 1, 2**48 - 1], id="dtls"),
        pytest.param(lambda b: udp(10_000, b), rtp, SERIES_RTP, [0, 1, 2**16 - 1], id="rtp"),
    ],
)
def test_a_series_and_its_numbers(tmp_path, shell, make, kind, numbers):
    """One series has one name, another has another; counters are exact."""
    packets = read(tmp_path, *(shell(make(7, n)) for n in numbers), shell(make(8, 5)))
    assert set((packets.series & SERIES_KIND).tolist()) == {kind}
    assert packets.counter.tolist() == [*numbers, 5]
    assert len(set(packets.series[:-1].tolist())) == 1
    assert packets.series[-1] != packets.series[0]


def test_a_full_wireguard_packet_need_not_be_padded(tmp_path):
    """Padding ends at the MTU: 1420 bytes inside make 1452."""
    packets = read(tmp_path, udp(51_820, struct.pack("<IIQ", 4, 7, 5) + bytes(1436)))
    assert packets.counter.tolist() == [5]


def test_the_name_of_a_series_does_not_depend_on_addresses(tmp_path):
    """A translator between two points leaves it alone."""
    there = ip4(50, esp(7, 1))
    behind = ip4(50, esp(7, 1), src="203.0.113.1")
    wrapped = udp(4500, esp(7, 1), sport=61_000)
    packets = read(tmp_path, there, behind, wrapped)
    assert len(set(packets.series.tolist())) == 1


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(udp(4500, b"\xff"), id="nat-keep-alive"),
        pytest.param(udp(4500, bytes(4) + bytes(range(40))), id="ike-behind-nat"),
        pytest.param(udp(51_820, wireguard(7, 1, length=31)), id="wireguard-shorter-than-its-tag"),
        pytest.param(udp(51_820, b"\1\0\0\0" + bytes(144)), id="wireguard-handshake"),
        pytest.param(udp(4433, dtls(1, 1, version=0x0303)), id="tls-is-no-dtls"),
        pytest.param(udp(4433, dtls(1, 1)[:-10]), id="dtls-record-longer-than-the-datagram"),
        pytest.param(udp(4433, dtls(1, 1, kind=19)), id="dtls-unknown-type"),
        pytest.param(udp(10_001, b"\x80\xc8" + bytes(26)), id="rtcp"),
        pytest.param(udp(10_000, b"\x8f\x08" + bytes(26)), id="rtp-with-more-sources-than-bytes"),
        pytest.param(udp(53, b"\x12\x34\1\0\0\1" + bytes(20)), id="dns"),
        pytest.param(Packet("10.0.0.1", "10.0.0.2", 1, 2, payload=rtp(7, 1)).bytes(), id="tcp"),
        pytest.param(checked(ip4(50, esp(7, 1))[:6] + b"\0\x10" + ip4(50, esp(7, 1))[8:]), id="later-fragment"),
        pytest.param(ip4(50, b"\0\0\0\7"), id="esp-cut"),
    ],
)
def test_what_has_no_number_has_no_series(tmp_path, packet):
    """Zero is none."""
    packets = read(tmp_path, packet)
    assert packets.series.tolist() == [0]
    assert packets.counter.tolist() == [0]


@pytest.mark.parametrize("shell", [ip4, ip6], ids=["ipv4", "ipv6"])
def test_an_authentication_header_hides_nothing(tmp_path, shell):
    """The segment behind it is decoded, and a better token than the number of the header."""
    plain = read(tmp_path, shell(6, SEGMENT))
    header = struct.pack(">BBHII", 6, 4, 0, 7, 99) + bytes(12)
    packets = read(tmp_path, shell(51, header + SEGMENT))
    assert packets.protocol.tolist() == [TCP]
    for column in ("sport", "dport", "seq", "ack", "payload", "digest", "flow"):
        assert getattr(packets, column)[0] == getattr(plain, column)[0], column
    assert packets.series.tolist() == [0]


OPTIONS = b"\0\0\1\4\0\0\0\0"


@pytest.mark.parametrize(
    ("first", "headers"),
    [
        pytest.param(0, b"\6" + OPTIONS[1:], id="hop-by-hop"),
        pytest.param(
            0, b"\x2b" + OPTIONS[1:] + b"\x3c\2\0\0" + bytes(20) + b"\6" + OPTIONS[1:], id="routing-destination"
        ),
        pytest.param(44, b"\6\0\0\0\0\0\0\7", id="atomic-fragment"),
        pytest.param(60, b"\x87" + OPTIONS[1:] + b"\6\0\0\0\0\0\0\0", id="mobility"),
    ],
)
def test_extension_headers_are_followed(tmp_path, first, headers):
    """To the segment behind them; cut before it, nothing is made up."""
    plain = read(tmp_path, ip6(6, SEGMENT))
    whole = ip6(first, headers + SEGMENT)
    packets = read(tmp_path, whole, whole[: 40 + len(headers) - 1])
    for column in ("protocol", "sport", "dport", "seq", "payload", "digest", "flow"):
        assert getattr(packets, column)[0] == getattr(plain, column)[0], column
    assert packets.marks[1] & MARK_CUT
    assert packets.sport[1] == 0


def test_fragments_are_marked_and_the_first_shows_the_ports(tmp_path):
    """Of either version; the identification is kept for putting them together."""
    datagram = struct.pack(">HHHH", 1, 2, 40, 0) + bytes(range(32))
    four = [ip4(17, datagram[:24]), ip4(17, datagram[24:])]
    four = [checked(four[0][:6] + b"\x20\0" + four[0][8:]), checked(four[1][:6] + b"\0\3" + four[1][8:])]
    six = [ip6(44, struct.pack(">BBHI", 17, 0, f, 77) + p) for f, p in ((1, datagram[:24]), (24, datagram[24:]))]
    packets = read(tmp_path, *four, *six)
    assert packets.protocol.tolist() == [UDP] * 4
    assert (packets.marks & MARK_FRAGMENT).all()
    assert packets.fragment.tolist() == [0x2000, 3, 1, 24]
    assert packets.ip_id.tolist() == [9, 9, 77, 77]
    assert packets.sport.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("size", [65_536, 200_000])
def test_super_segments_beyond_64_kilobytes(tmp_path, size):
    """A length of zero in IPv4, none in IPv6, or a jumbo option: the frame tells."""
    body = SEGMENT + bytes(size)
    four = ip4(6, SEGMENT)[:2] + b"\0\0" + ip4(6, SEGMENT)[4:20] + body
    six = ip6(6, SEGMENT)[:4] + b"\0\0\6\x3c" + ip6(6, SEGMENT)[8:40] + body
    jumbo_option = b"\6\0\xc2\4" + struct.pack(">I", 8 + len(body))
    jumbo = ip6(0, SEGMENT)[:4] + b"\0\0\0\x3c" + ip6(6, SEGMENT)[8:40] + jumbo_option + body
    packets = read_capture(write_pcap(tmp_path / "a.pcap", [(0, four), (1, six), (2, jumbo)], snaplen=1 << 20))[0]
    assert packets.payload.tolist() == [5 + size] * 3
    assert np.unique(packets.digest).size == 1


def test_ip_options_and_padding_are_no_payload(tmp_path):
    """The header says how long it is, and IP how long the packet is, whatever the frame holds."""
    plain = ip4(6, SEGMENT)
    packets = read(tmp_path, plain, ip4(6, SEGMENT, options=b"\1\1\1\0"), plain + bytes(30))
    assert packets.payload.tolist() == [5, 5, 5]
    assert packets.kept.tolist() == [5, 5, 5]
    assert np.unique(packets.digest).size == 1
