"""What is to be known about one capture file beside its packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.errors import CaptureFileError

LINK_TYPES = {
    0: "NULL", 1: "EN10MB", 9: "PPP", 10: "FDDI", 12: "RAW", 14: "RAW", 50: "PPP_SERIAL", 51: "PPP_ETHER", 101: "RAW",
    104: "C_HDLC", 105: "IEEE802_11", 107: "FRELAY", 108: "LOOP", 109: "ENC", 113: "LINUX_SLL", 117: "PFLOG",
    119: "PRISM_HEADER", 127: "IEEE802_11_RADIO", 138: "APPLE_IP_OVER_IEEE1394", 163: "IEEE802_11_RADIO_AVS",
    166: "PPP_PPPD", 192: "PPI", 204: "PPP_WITH_DIR", 226: "IPNET", 228: "IPV4", 229: "IPV6", 239: "NFLOG",
    242: "IPOIB", 276: "LINUX_SLL2", 281: "DSA_TAG_BRCM", 282: "DSA_TAG_BRCM_PREPEND", 284: "DSA_TAG_DSA",
    285: "DSA_TAG_EDSA",
}  # fmt: skip


@dataclass(slots=True)
class CaptureFile:
    """What the header and the walk over one file told."""

    path: Path
    link_types: list[int] = field(default_factory=list)
    """By interface, numbered on through the sections of the file."""
    defects: list[str] = field(default_factory=list)
    cut: bool = False
    """Damaged, so that packets behind the last one are missing."""
    drops: int | None = None
    """Packets that the file itself says are missing in it; None where it says nothing."""
    not_decoded: dict[str, int] = field(default_factory=dict)
    """Frames without an IP header that can be read, by what they are: ``{"ARP": 12}``; the most first."""
    error: CaptureFileError | None = None
    """Why nothing at all could be read."""

    @property
    def link_type_name(self) -> str:
        """The link types found, as text."""
        names = {LINK_TYPES.get(t, f"type {t} (not decoded)") for t in self.link_types}
        return ", ".join(sorted(names)) or "unknown"
