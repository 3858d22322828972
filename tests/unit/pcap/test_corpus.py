"""Every file of the reference captures is read, and as tshark reads it."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.model.columns import MARK_CUT, MARK_FRAGMENT, TCP
from orchestrator.pcap.reader import read_capture
from tests.support.corpus import corpus_files, needs_corpus, needs_tshark, tshark

pytestmark = [pytest.mark.data, needs_corpus]

CUSTOM = [f"test{number}{order}.pcapng" for number in ("017", "018", "102", "202") for order in ("", "-be", "-le")]
"""tshark numbers custom blocks like packets; they are none."""
ATM = {"atm-heapoverflow.pcap", "atm-oam-heapoverflow.pcap", "atm-oam-loopback-print-overrun.pcap"}
"""tshark takes the four bytes of a pseudo-header off the frame, and one of the files for another format."""
FRACTION_BEYOND_A_SECOND = {"rx_serviceid_oobr.pcap", "timestamp_invalid_micro.pcap", "timestamp_invalid_nano.pcap"}
"""tshark keeps the fraction in 32 bits with a sign, whatever it is."""


def test_every_file_is_read():
    """No file is refused, whatever is wrong with it; defects are single lines."""
    lines = [line for path in corpus_files() for line in read_capture(path)[1].defects]
    assert len(corpus_files()) > 1_000
    assert [line for line in lines if "\n" in line or len(line) > 120] == []


@pytest.mark.nightly
@pytest.mark.timeout(3_000)
@needs_tshark
def test_counts_times_and_lengths_agree_with_tshark():
    """Wherever tshark reads a file to its end, we read the same packets, at the same nanosecond."""
    files = corpus_files()
    with ThreadPoolExecutor(2) as pool:
        oracle = list(pool.map(as_tshark_reads, files))

    different = {
        path.name
        for path, (status, want) in zip(files, oracle, strict=True)
        if not status and as_read(path, want) != want
    }

    assert sum(not status for status, _ in oracle) > 1_000
    assert different.difference(CUSTOM) == ATM | FRACTION_BEYOND_A_SECOND


def as_tshark_reads(path):
    """Return (exit code of tshark, (time, bytes kept, bytes on the wire) of all packets; time None without one)."""
    status, rows = tshark(path, "-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len")
    return status, [(time_ns(time), int(kept), int(wire)) for time, kept, wire in rows]


def as_read(path, want):
    """Return the same as we read it; no time where tshark says that there is none."""
    packets, _ = read_capture(path)
    timed = [time is not None for time, _, _ in want] + [True] * len(packets)
    columns = (packets.time_ns.tolist(), packets.caplen.tolist(), packets.wirelen.tolist())
    return [(time if known else None, kept, wire) for time, kept, wire, known in zip(*columns, timed, strict=False)]


def time_ns(text):
    if not text:
        return None
    whole, _, fraction = text.lstrip("-").partition(".")
    value = int(whole) * 10**9 + int(fraction.ljust(9, "0"))
    return -value if text.startswith("-") else value


NOT_DECODED = {
    "802_15_4-data.pcap", "LINKTYPE_PKTAP.pcap", "LINKTYPE_USER2_PKTAP.pcap", "arcnet-rfc1051-arp-icmp-http.pcap",
    "arcnet-rfc1201-arp-icmp-http.pcap", "arista_ether.pcap", "bgp-aigp.pcap", "icmp-icmp_print-oobr-2.pcap",
    "vrrp-vrrp_print-oobr.pcap",
}  # fmt: skip
"""Link types, a vendor's header, and long addresses of frame relay: counted and named here."""
ONLY_QUOTED = {
    "PIM_register_register-stop.pcap", "nhrp-trace.pcap", "of13_ericsson.pcapng", "pim-packet-assortment.pcap",
    "sflow-print-v6.pcap", "sflow_expanded.pcap", "various_gre.pcap",
}  # fmt: skip
"""tshark also dissects packets that a control protocol quotes; those did not pass the point."""
FOLLOWED_FURTHER = {
    "bigtcp-ipv4-geneve-ipv6.pcap", "bigtcp-ipv4-vxlan-ipv6.pcap", "bigtcp-ipv6-geneve-ipv6.pcap",
    "bigtcp-ipv6-vxlan-ipv6.pcap", "vxlan_port_8472.pcap",
}  # fmt: skip
"""Datagrams of more than 64 KiB, and a port that tshark has to be told of."""
NOT_BELIEVED = {"decode-teredo-01_input.pcap", "ipv6-srh-ipproto-ether.pcap", "tok2str-oobr-2.pcap", "wb-oobr.pcap"}
"""Teredo with a header of its own, Ethernet behind a routing header, and damaged IPv4 headers behind MPLS."""
CUT_ADDRESSES = {"ipv4_invalid_length.pcap", "ipv6_39_byte_header.pcap", "ipv6_invalid_length.pcap"}
"""tshark prints the source where the destination is cut."""
BEFORE_ICMP = ("icmp", "icmpv6")
LAYERS = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")
FIELDS = (*LAYERS, "tcp.seq_raw", "frame.protocols")


@pytest.mark.nightly
@pytest.mark.timeout(3_000)
@needs_tshark
def test_the_innermost_packets_agree_with_tshark():
    """Addresses, ports and sequence numbers behind every encapsulation, of all frames of all files."""
    files = corpus_files()
    with ThreadPoolExecutor(2) as pool:
        oracle = list(pool.map(innermost, files))

    different = {path.name for path, want in zip(files, oracle, strict=True) if disagrees(path, want)}

    assert sum(packet is not None for want in oracle for packet in want) > 99_000
    assert different == NOT_DECODED | ONLY_QUOTED | FOLLOWED_FURTHER | NOT_BELIEVED | CUT_ADDRESSES


def innermost(path):
    """Return (source, destination, ports and sequence number or None) by frame as tshark says, None without IP."""
    options = [option for field in FIELDS for option in ("-e", field)]
    whole = ("-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE")
    _, rows = tshark(path, *whole, "-E", "occurrence=a", *options)
    return [last_layer(dict(zip(FIELDS, [*row, *[""] * len(FIELDS)], strict=False))) for row in rows]


def last_layer(fields):
    protocols = fields["frame.protocols"].split(":")
    quoting = [k for k, name in enumerate(protocols) if name in BEFORE_ICMP]
    protocols = protocols[: quoting[0]] if quoting else protocols
    places = [k for k, name in enumerate(protocols) if name in ("ip", "ipv6")]
    if not places:
        return None
    family = protocols[places[-1]]
    number = protocols[: places[-1]].count(family)
    addresses = tuple(nth(fields[f"{family}.{end}"], number) for end in ("src", "dst"))
    carried = protocols[places[-1] + 1] if len(protocols) > places[-1] + 1 else ""
    if not any(addresses):
        return None
    if carried not in ("tcp", "udp"):
        return *addresses, None
    number = protocols[: places[-1]].count(carried)
    names = (f"{carried}.srcport", f"{carried}.dstport", "tcp.seq_raw" if carried == "tcp" else "")
    return *addresses, tuple(int(nth(fields.get(name, "0"), number) or 0) for name in names)


def nth(values, number):
    parts = values.split(",")
    return parts[number] if number < len(parts) else ""


def disagrees(path, want):
    packets, _ = read_capture(path)
    return len(packets) == len(want) and any(not agrees(packets, row, packet) for row, packet in enumerate(want))


def agrees(packets, row, want):
    if want is None:
        return True  # malformed: tshark names no addresses
    source, destination, ports = want
    family = packets.family[row]
    ends = [(packets.src_hi[row], packets.src_lo[row]), (packets.dst_hi[row], packets.dst_lo[row])]
    kind = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    if not family or [str(kind(int(high) << 64 | int(low))) for high, low in ends] != [source, destination]:
        return False
    if ports is None or not any(ports) or packets.marks[row] & (MARK_CUT | MARK_FRAGMENT):
        return True
    sequence = packets.seq[row] if packets.protocol[row] == TCP else 0
    return (packets.sport[row], packets.dport[row], sequence) == ports
