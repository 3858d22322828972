"""The view is Ethernet whatever was captured, with addresses that tell points apart and directions together."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from orchestrator.model.columns import Packets
from orchestrator.pcap.interfaces import Label, Source
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.writer import Contents, Form, write_capture
from tests.support.read_pcapng import read
from tests.support.wire import Packet, write_pcap

THERE = Packet("10.0.0.1", "10.0.0.2", 40000, 80, 7, payload=b"there")
BACK = Packet("10.0.0.2", "10.0.0.1", 80, 40000, 8, payload=b"back")
IP6 = bytes.fromhex("6000000000083b40") + bytes(15) + b"\x01" + bytes(15) + b"\x02" + bytes(8)
MACS = bytes.fromhex("aabbccddee01aabbccddee02")
LOWER, UPPER = bytes.fromhex("025000000001"), bytes.fromhex("025000000002")
"""Of the end with the lower and of that with the higher address; in a frame the receiver's comes first."""
SNAP = bytes.fromhex("aaaa030000000800")
WIFI = bytes.fromhex("0801") + bytes(22)
QOS = bytes.fromhex("8801") + bytes(24)


def view(folder, link_type, *frames):
    """Return the view of one point's *frames*."""
    path = write_pcap(folder / "a.pcap", [(k, f) for k, f in enumerate(frames)], link_type=link_type)
    packets, file = read_capture(path)
    source = Source(path=path, point=0, link_types=tuple(file.link_types), start=0, stop=len(packets))
    contents = Contents(
        packets=packets, time_ns=packets.time_ns, token=np.full(len(packets), -1), points=[Label(name="a")],
        sources=[source],
    )  # fmt: skip
    write_capture(folder / "v.pcapng", contents, Form(about="", ethernet=True))
    return read(folder / "v.pcapng")


@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        pytest.param(1, MACS + b"\x08\0", id="ethernet"),
        pytest.param(101, b"", id="raw"),
        pytest.param(12, b"", id="raw-of-bsd"),
        pytest.param(228, b"", id="ipv4"),
        pytest.param(0, b"\x02\0\0\0", id="null"),
        pytest.param(108, b"\0\0\0\x02", id="loop"),
        pytest.param(113, bytes(14) + b"\x08\0", id="cooked"),
        pytest.param(276, b"\x08\0" + bytes(18), id="cooked-2"),
        pytest.param(9, b"\xff\x03\0\x21", id="ppp"),
        pytest.param(9, b"\0\x21", id="ppp-without-address"),
        pytest.param(9, b"\x21", id="ppp-compressed"),
        pytest.param(50, b"\xff\x03\0\x21", id="ppp-hdlc"),
        pytest.param(104, b"\x0f\0\x08\0", id="cisco-hdlc"),
        pytest.param(105, WIFI + SNAP, id="wifi"),
        pytest.param(105, QOS + SNAP, id="wifi-qos"),
        pytest.param(127, b"\0\0\x08\0\0\0\0\0" + WIFI + SNAP, id="radiotap"),
    ],
)
def test_every_link_type_becomes_ethernet(tmp_path, link_type, header):
    """What stands behind the link header is kept, both directions have one pair of addresses."""
    written = view(tmp_path, link_type, header + THERE.bytes(), header + BACK.bytes())

    assert [i.link_type for i in written.interfaces] == [1]
    assert [p.frame for p in written.packets] == [
        UPPER + LOWER + b"\x08\0" + THERE.bytes(),
        LOWER + UPPER + b"\x08\0" + BACK.bytes(),
    ]
    assert [p.wire for p in written.packets] == [len(p.frame) for p in written.packets]


def test_ipv6_is_named_so(tmp_path):
    """By the version that the header begins with."""
    assert view(tmp_path, 101, IP6).packets[0].frame[12:] == b"\x86\xdd" + IP6


def test_tags_and_labels_stay(tmp_path):
    """Only the addresses of an Ethernet frame are replaced."""
    tagged = b"\x81\0\0\x14\x88\x47\0\0\x11\x40" + THERE.bytes()

    assert view(tmp_path, 1, MACS + tagged).packets[0].frame[12:] == tagged


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        pytest.param(147, b"something of its own", id="unknown-link-type"),
        pytest.param(105, b"\x80\0" + bytes(30), id="wifi-beacon"),
        pytest.param(105, b"\x08\x41" + bytes(30), id="wifi-encrypted"),
        pytest.param(113, b"\0\0short", id="cooked-and-cut"),
        pytest.param(9, b"\xc0\x21lcp", id="ppp-control"),
        pytest.param(101, b"\xffnot IP", id="raw-not-ip"),
        pytest.param(101, b"", id="nothing"),
        pytest.param(127, b"\0\0\xff\xff", id="radiotap-that-lies"),
    ],
)
def test_what_has_no_ethertype_is_kept_whole(tmp_path, link_type, frame):
    """Behind an EtherType for experiments, so that no byte is lost and nothing is called IP that is not."""
    assert view(tmp_path, link_type, frame).packets[0].frame == UPPER + LOWER + b"\x88\xb5" + frame


def test_an_ethernet_frame_cut_inside_its_addresses_gets_whole_ones(tmp_path):
    """With the bytes behind it that are there: none."""
    written = view(tmp_path, 1, MACS[:7])

    assert written.packets[0].frame == UPPER + LOWER


def test_a_cut_frame_keeps_its_length_on_the_wire(tmp_path):
    """Less the link header, more the invented one."""
    path = write_pcap(tmp_path / "a.pcap", [(0, bytes(14) + b"\x08\0" + THERE.bytes())], link_type=113, snaplen=60)
    packets, file = read_capture(path)
    contents = Contents(
        packets=Packets.concatenate([packets]), time_ns=packets.time_ns, token=np.zeros(1, np.int64),
        points=[Label(name="a")],
        sources=[Source(path=path, point=0, link_types=tuple(file.link_types), start=0, stop=1)],
    )  # fmt: skip
    write_capture(tmp_path / "v.pcapng", contents, Form(about="", ethernet=True))

    (packet,) = read(tmp_path / "v.pcapng").packets
    assert (len(packet.frame), packet.wire) == (58, 14 + len(THERE.bytes()))
    assert struct.unpack(">H", packet.frame[12:14]) == (0x0800,)
