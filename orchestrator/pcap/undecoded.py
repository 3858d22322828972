"""Names for frames that hold no IP: they are counted, never fatal, and a reader wants to know what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.pcap.link_kernels import (
    CUT,
    ENCRYPTED_WIFI,
    LEAST_ETHERTYPE,
    MPLS_OTHER,
    NO_IP,
    PPP_CONTROL,
    UNKNOWN_LINK,
    WIFI_CONTROL,
    WIFI_EMPTY,
    WIFI_MANAGEMENT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = {
    CUT: "cut before the IP header", UNKNOWN_LINK: "link type not decoded", NO_IP: "malformed IP",
    PPP_CONTROL: "PPP or frame relay control", MPLS_OTHER: "MPLS without IP", ENCRYPTED_WIFI: "encrypted 802.11 data",
    WIFI_MANAGEMENT: "802.11 management", WIFI_CONTROL: "802.11 control", WIFI_EMPTY: "802.11 without data",
    0x01: "LLC null", 0x05: "SNA", 0x07: "IP over LLC", 0x43: "STP", 0xE1: "IPX", 0xF1: "NetBIOS", 0xFF: "IS-IS or IPX",
    0x010B: "PVST", 0x0806: "ARP", 0x0842: "Wake-on-LAN", 0x2000: "CDP", 0x2003: "VTP", 0x2004: "DTP", 0x22F3: "TRILL",
    0x6002: "MOP", 0x6003: "DECnet", 0x8035: "RARP", 0x809B: "AppleTalk", 0x80F3: "AppleTalk ARP", 0x8137: "IPX",
    0x8808: "pause frames", 0x8809: "LACP and slow protocols", 0x8863: "PPPoE discovery", 0x887B: "HomePlug",
    0x888E: "802.1X", 0x8892: "PROFINET", 0x8899: "Realtek", 0x88A2: "ATA over Ethernet", 0x88A4: "EtherCAT",
    0x88B8: "GOOSE", 0x88BA: "sampled values", 0x88C7: "802.11 preauth", 0x88CC: "LLDP", 0x88E5: "MACsec (encrypted)",
    0x88E7: "PBB", 0x88F5: "MVRP", 0x88F7: "PTP", 0x8902: "CFM", 0x8906: "FCoE", 0x8914: "FCoE initialisation",
    0x892F: "HSR", 0x894F: "NSH", 0xD28B: "Arista timestamps", 0x9000: "loopback test",
}  # fmt: skip


def named_counts(counts: NDArray[np.int64]) -> dict[str, int]:
    """Return the *counts* by code with their names, the most first."""
    named: dict[str, int] = {}
    codes = np.flatnonzero(counts)
    for code in codes[np.argsort(-counts[codes], kind="stable")].tolist():
        name = _name(code)
        named[name] = named.get(name, 0) + int(counts[code])
    return named


def _name(code: int) -> str:
    """Return what a frame with this *code* is."""
    if code in NAMES:
        return NAMES[code]
    return f"Ethernet type 0x{code:04x}" if code >= LEAST_ETHERTYPE else f"LLC 0x{code:02x}"
