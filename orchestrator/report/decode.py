"""Take one frame apart, field by field, with scapy: for the few that somebody looks at, never for many."""

from __future__ import annotations

import logging
from typing import Any

LAYERS = {0: "Loopback", 1: "Ether", 101: "IP", 113: "CookedLinux", 228: "IP", 229: "IPv6", 276: "CookedLinuxV2"}
"""Outermost layer by link type, LINKTYPE_ numbers."""
VERSION_SHIFT, IPV6 = 4, 6


def decode(frame: bytes, link_type: int) -> tuple[str, ...]:
    """Return the fields of *frame* as lines; where nothing takes it apart, a line that says so."""
    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    from scapy.layers import inet, inet6, l2  # noqa: PLC0415  # half a second, only where it is asked for

    name = LAYERS.get(link_type)
    if link_type == 101 and frame and frame[0] >> VERSION_SHIFT == IPV6:  # noqa: PLR2004
        name = "IPv6"
    kinds: dict[str, Any] = vars(l2) | {"IP": inet.IP, "IPv6": inet6.IPv6}
    if name is None or name not in kinds:
        return (f"{len(frame):,} bytes of link type {link_type}, which is not taken apart here",)
    try:
        shown = kinds[name](frame).show(dump=True)
    except Exception as error:  # noqa: BLE001  # the bytes are anybody's, and scapy raises what it likes
        return (f"{len(frame):,} bytes that cannot be taken apart: {type(error).__name__}",)
    return tuple(line.rstrip() for line in str(shown).splitlines() if line.strip())
