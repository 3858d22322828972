"""One packet in the clothes of every link layer; what holds no IP is counted by name."""

from __future__ import annotations

import struct

import pytest

from orchestrator.model.columns import MARK_CUT, MARK_GROUP
from orchestrator.pcap.reader import read_capture
from tests.support.shells import checked, ethernet
from tests.support.wire import Packet, write_pcap

IP = checked(Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=b"hello", seq=9, ack=8, tsval=55).bytes())
SNAP = b"\xaa\xaa\x03\0\0\0"
COLUMNS = ("digest", "flow", "src_lo", "dst_lo", "sport", "dport", "ip_id", "seq", "ack", "payload", "tsval", "kept")
WIFI = b"\x08\x01" + bytes(22) + SNAP + b"\x08\0" + IP
QOS = b"\x88\x01" + bytes(22) + b"\0\0"
LABEL = b"\0\0\x11\x40"


def read(path, frame, link_type, **options):
    return read_capture(write_pcap(path, [(7, frame)], link_type=link_type, **options))


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        pytest.param(1, ethernet(0x0800, IP), id="ethernet"),
        pytest.param(1, ethernet(0x8100, b"\0\x14\x08\0" + IP), id="vlan"),
        pytest.param(1, ethernet(0x88A8, b"\0\x14\x81\0\0\x15\x08\0" + IP), id="qinq"),
        pytest.param(1, ethernet(0x9100, b"\0\x14\x91\0\0\x15\x81\0\0\x16\x08\0" + IP), id="three-tags"),
        pytest.param(1, ethernet(0x8847, LABEL + IP), id="mpls"),
        pytest.param(1, ethernet(0x8100, b"\0\x14\x88\x47" + b"\0\0\x20\x40" * 3 + LABEL + IP), id="vlan-4-labels"),
        pytest.param(1, ethernet(0x8847, LABEL + bytes(4) + ethernet(0x0800, IP)), id="pseudowire-control-word"),
        pytest.param(1, ethernet(0x8847, LABEL + ethernet(0x8100, b"\0\x14\x08\0" + IP)), id="pseudowire-vlan"),
        pytest.param(1, ethernet(0x8847, LABEL + b"\x45" * 6 + ethernet(0x0800, IP)[6:]), id="pseudowire-like-ipv4"),
        pytest.param(1, ethernet(0x8864, b"\x11\0\0\x01\0\x40\0\x21" + IP), id="pppoe"),
        pytest.param(1, ethernet(len(IP) + 8, SNAP + b"\x08\0" + IP), id="llc-snap"),
        pytest.param(1, ethernet(0x0800, IP) + b"\0" * 20, id="padded"),
        pytest.param(51, b"\x11\0\0\x01\0\x40\0\x21" + IP, id="pppoe-without-ethernet"),
        pytest.param(101, IP, id="raw"),
        pytest.param(12, IP, id="raw-bsd"),
        pytest.param(14, IP, id="raw-openbsd"),
        pytest.param(228, IP, id="ipv4"),
        pytest.param(0, b"\x02\0\0\0" + IP, id="null"),
        pytest.param(108, b"\0\0\0\x02" + IP, id="loop"),
        pytest.param(109, b"\0\0\0\x02" + bytes(8) + IP, id="enc"),
        pytest.param(117, b"\x3d" + bytes(63) + IP, id="pflog"),
        pytest.param(9, b"\0\x21" + IP, id="ppp"),
        pytest.param(9, b"\x21" + IP, id="ppp-compressed"),
        pytest.param(9, b"\xff\x03\x02\x81" + LABEL + IP, id="ppp-mpls"),
        pytest.param(50, b"\xff\x03\0\x21" + IP, id="ppp-hdlc"),
        pytest.param(166, b"\x01\xff\x03\0\x21" + IP, id="pppd"),
        pytest.param(204, b"\0\xff\x03\0\x21" + IP, id="ppp-with-direction"),
        pytest.param(104, b"\x0f\0\x08\0" + IP, id="cisco-hdlc"),
        pytest.param(138, bytes(16) + b"\x08\0" + IP, id="firewire"),
        pytest.param(1, ethernet(0x88E5, b"\x20" + bytes(13) + b"\x08\0" + IP + bytes(16)), id="macsec-clear"),
        pytest.param(1, ethernet(0x8100, b"\0\x14\x89\x09\1\1\0\1\0\7\x08\0" + IP), id="cisco-security-group"),
        pytest.param(1, ethernet(0x894F, b"\0\2\2\1" + bytes(4) + IP), id="nsh"),
        pytest.param(1, ethernet(0x894F, b"\0\2\2\3" + bytes(4) + ethernet(0x0800, IP)), id="nsh-ethernet"),
        pytest.param(10, b"\x50" + bytes(12) + SNAP + b"\x08\0" + IP, id="fddi"),
        pytest.param(107, b"\x18\x41\x03\xcc" + IP, id="frame-relay"),
        pytest.param(107, b"\x18\x41\x03\x80\0\0\0\x08\0" + IP, id="frame-relay-snap"),
        pytest.param(107, b"\x18\x41\x08\0" + IP, id="frame-relay-cisco"),
        pytest.param(226, bytes(24) + IP, id="ipnet"),
        pytest.param(242, bytes(40) + b"\x08\0\0\0" + IP, id="ip-over-infiniband"),
        pytest.param(239, b"\2\0\0\0\x08\0\1\0" + bytes(4) + b"\x06\0\x0a\0x\0\0\0\x44\0\x09\0" + IP, id="nflog"),
        pytest.param(281, ethernet(0, b"")[:12] + b"\1\2\3\4\x08\0" + IP, id="broadcom-tag"),
        pytest.param(282, b"\1\2\3\4" + ethernet(0x0800, IP), id="broadcom-tag-first"),
        pytest.param(284, ethernet(0, b"")[:12] + b"\1\2\3\4\x08\0" + IP, id="marvell-tag"),
        pytest.param(285, ethernet(0, b"")[:12] + b"\1\2\3\4\5\6\7\x08\x08\0" + IP, id="marvell-long-tag"),
        pytest.param(113, b"\0\0\0\x01\0\x06\x02\0\0\0\0\x01\0\0\x08\0" + IP, id="cooked"),
        pytest.param(113, b"\0\0\0\x01\0\x06\x02\0\0\0\0\x01\0\0\x81\0\0\x14\x08\0" + IP, id="cooked-vlan"),
        pytest.param(113, b"\0\0\0\x01\0\x06\x02\0\0\0\0\x01\0\0\0\x04" + SNAP + b"\x08\0" + IP, id="cooked-llc"),
        pytest.param(276, b"\x08\0\0\0\0\0\0\x02\0\x01\0\x06\x02\0\0\0\0\x01\0\0" + IP, id="cooked-2"),
        pytest.param(105, WIFI, id="802.11"),
        pytest.param(105, b"\x08\x03" + bytes(28) + SNAP + b"\x08\0" + IP, id="802.11-bridge"),
        pytest.param(105, QOS + SNAP + b"\x08\0" + IP, id="802.11-qos"),
        pytest.param(105, b"\x88\x81" + bytes(28) + SNAP + b"\x08\0" + IP, id="802.11-ht-control"),
        pytest.param(105, QOS[:24] + b"\x80\0" + bytes(14) + SNAP + b"\x08\0" + IP, id="802.11-a-msdu"),
        pytest.param(127, b"\0\0\x08\0\0\0\0\0" + WIFI, id="radiotap"),
        pytest.param(
            127, b"\0\0\x14\0\x03\0\0\0" + bytes(8) + b"\x20\0\0\0" + QOS + b"\0\0" + SNAP + b"\x08\0" + IP,
            id="radiotap-padded",
        ),
        pytest.param(
            127, b"\0\0\x0d\0\x02\0\0\x80\0\0\0\0\x20" + QOS + b"\0\0" + SNAP + b"\x08\0" + IP,
            id="radiotap-two-presence-words",
        ),
        pytest.param(119, b"\0\0\0\x44" + struct.pack("<I", 144) + bytes(136) + WIFI, id="prism"),
        pytest.param(163, b"\x80\x21\x10\x01" + struct.pack(">I", 64) + bytes(56) + WIFI, id="avs"),
        pytest.param(119, b"\x80\x21\x10\x02" + struct.pack(">I", 68) + bytes(60) + WIFI, id="avs-announced-as-prism"),
        pytest.param(192, b"\0\0\x0c\0" + struct.pack("<I", 105) + bytes(4) + WIFI, id="ppi"),
    ],
)  # fmt: skip
def test_every_link_type_yields_the_same_packet(tmp_path, link_type, frame):
    """One packet in different clothes has one identity and one flow; cut anywhere, nothing is made up."""
    bare, _ = read(tmp_path / "bare.pcap", IP, 101)
    packets, file = read(tmp_path / "a.pcap", frame, link_type)
    assert file.defects == []
    assert file.not_decoded == {}
    for column in COLUMNS:
        assert getattr(packets, column)[0] == getattr(bare, column)[0], column
    cut, _ = read_capture(
        write_pcap(tmp_path / "cut.pcap", [(k, frame[:k]) for k in range(len(frame))], link_type=link_type)
    )
    named = (cut.family == 4) & (cut.marks & MARK_CUT == 0)
    assert set(cut.flow[named].tolist()) == {bare.flow[0]}
    assert set(cut.family.tolist()) <= {0, 4}


@pytest.mark.parametrize(
    ("link_type", "frame", "name"),
    [
        pytest.param(1, ethernet(0x0806, bytes(28)), "ARP", id="arp"),
        pytest.param(1, ethernet(0x8100, b"\0\x14\x08\x06" + bytes(28)), "ARP", id="arp-in-a-vlan"),
        pytest.param(1, ethernet(38, b"\x42\x42\x03" + bytes(35)), "STP", id="stp"),
        pytest.param(1, ethernet(60, b"\xaa\xaa\x03\0\0\x0c\x20\0" + bytes(50)), "CDP", id="cdp"),
        pytest.param(1, ethernet(60, b"\xaa\xaa\x03\0\0\x0c\x01\x0b" + bytes(50)), "PVST", id="pvst"),
        pytest.param(1, ethernet(60, b"\xf0\xf0\x03" + bytes(50)), "NetBIOS", id="llc"),
        pytest.param(1, ethernet(60, b"\x98\x98\x03" + bytes(50)), "LLC 0x99", id="llc-unknown"),
        pytest.param(1, ethernet(0x88CC, bytes(50)), "LLDP", id="lldp"),
        pytest.param(1, ethernet(0x88E5, b"\x2c" + bytes(50)), "MACsec (encrypted)", id="macsec"),
        pytest.param(1, ethernet(0x8999, bytes(50)), "Ethernet type 0x8999", id="unknown-type"),
        pytest.param(
            1, ethernet(0x8864, b"\x11\0\0\x01\0\x40\xc0\x21" + bytes(50)), "PPP or frame relay control", id="lcp"
        ),
        pytest.param(1, ethernet(0x8847, LABEL + b"\x10" + bytes(50)), "MPLS without IP", id="mpls"),
        pytest.param(1, ethernet(0x0800, b"\x35" + bytes(50)), "malformed IP", id="version-3"),
        pytest.param(1, ethernet(0x0800, IP[:3]), "cut before the IP header", id="cut"),
        pytest.param(1, b"\1\2\3", "cut before the IP header", id="cut-ethernet"),
        pytest.param(105, b"\x08\x41" + bytes(60), "encrypted 802.11 data", id="wpa"),
        pytest.param(105, b"\x80\0" + bytes(60), "802.11 management", id="beacon"),
        pytest.param(105, b"\xd4\0" + bytes(8), "802.11 control", id="wifi-ack"),
        pytest.param(105, b"\x48\x01" + bytes(22), "802.11 without data", id="wifi-null"),
        pytest.param(9, b"\xc0\x21" + bytes(20), "PPP or frame relay control", id="ppp-lcp"),
        pytest.param(147, bytes(60), "link type not decoded", id="unknown-link"),
    ],
)
def test_what_holds_no_ip_is_counted_by_name(tmp_path, link_type, frame, name):
    """Never fatal; the packet is kept without a family."""
    packets, file = read_capture(
        write_pcap(tmp_path / "a.pcap", [(0, frame), (1, frame), (2, frame)], link_type=link_type)
    )
    assert file.not_decoded == {name: 3}
    assert packets.family.tolist() == [0, 0, 0]


def test_counts_are_in_order_with_the_most_first(tmp_path):
    """As they are printed."""
    kinds = [0x0806] * 2 + [0x88CC] * 3 + [0x0800]
    body = IP
    path = write_pcap(tmp_path / "a.pcap", [(k, ethernet(kind, body)) for k, kind in enumerate(kinds)], link_type=1)
    assert list(read_capture(path)[1].not_decoded.items()) == [("LLDP", 3), ("ARP", 2)]


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        pytest.param(1, b"\xff" * 6 + ethernet(0x0800, IP)[6:], id="broadcast"),
        pytest.param(1, b"\x01" + ethernet(0x8100, b"\0\x14\x08\0" + IP)[1:], id="multicast-vlan"),
        pytest.param(113, b"\0\1" + bytes(12) + b"\x08\0" + IP, id="cooked-broadcast"),
        pytest.param(276, b"\x08\0" + bytes(8) + b"\2" + bytes(9) + IP, id="cooked-2-multicast"),
        pytest.param(105, b"\x08\x01\0\0\x01" + WIFI[5:], id="802.11-multicast"),
        pytest.param(101, Packet("10.0.0.1", "239.1.1.1", 1, 2, protocol=17).bytes(), id="ip-multicast"),
    ],
)
def test_what_is_sent_to_a_group_is_marked(tmp_path, link_type, frame):
    """Its absence accuses nobody."""
    packets, _ = read(tmp_path / "a.pcap", frame, link_type)
    assert packets.marks[0] & MARK_GROUP
    assert packets.family[0] == 4


def test_the_hash_of_the_link_tells_tags_and_addresses_apart(tmp_path):
    """So that the copies that a switch makes before and behind itself are sub-points."""
    frames = [
        ethernet(0x0800, IP), ethernet(0x8100, b"\0\x14\x08\0" + IP), ethernet(0x8100, b"\0\x15\x08\0" + IP),
        b"\4" + ethernet(0x0800, IP)[1:], ethernet(0x0800, IP),
    ]  # fmt: skip
    packets, _ = read_capture(write_pcap(tmp_path / "a.pcap", list(enumerate(frames)), link_type=1))
    assert len(set(packets.link.tolist())) == 4
    assert packets.link[0] == packets.link[4]
