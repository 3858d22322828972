"""What was read of messages that hosts and routers exchange in the clear: DNS, errors of ICMP, alerts of TLS.

Tables with one row a frame that holds one; ``row`` says where in the table of all frames that is, points one after the
other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DNS_PORT = 53
UNREAD, HEADER, QUESTION = 0, 1, 2
"""How much of a DNS message could be read: nothing of it, its header, the question too."""
RESPONSE, TRUNCATED, RCODE = 0x8000, 0x0200, 0x000F
"""Bits of the second word of a DNS header."""
NAME_BYTES = 255
"""The longest name that DNS allows, as it travels."""

DNS = np.dtype(
    [
        ("row", "i8"), ("name", "u8"), ("flow", "u8"), ("state", "u1"), ("length", "u1"), ("ident", "u2"),
        ("flags", "u2"), ("qtype", "u2"), ("answers", "u2"),
    ]
)  # fmt: skip
"""Frames from or to port 53 that carry data. ``name`` hash of the name, type and class that are asked for, in which
case tells nothing, 0 where they were not read; ``flow`` as the column of that name, also of a fragment; ``length``
bytes of the name as it travels."""
ICMP_ERRORS = np.dtype(
    [
        ("row", "i8"), ("flow", "u8"), ("src_hi", "u8"), ("src_lo", "u8"), ("dst_hi", "u8"), ("dst_lo", "u8"),
        ("mtu", "u4"), ("sport", "u2"), ("dport", "u2"), ("type", "u1"), ("code", "u1"), ("family", "u1"),
        ("protocol", "u1"),
    ]
)  # fmt: skip
"""``mtu`` of the next hop, where it says that a packet is too large for it; ``family`` of the packet that it quotes: 4,
6, or 0 where that cannot be read. Addresses, ports, protocol and the hash ``flow`` are of that packet too."""
ALERTS = np.dtype([("row", "i8"), ("level", "u1"), ("description", "u1"), ("encrypted", "u1")])
"""TCP segments that begin with an alert of TLS. ``level`` 0 where none in the clear is in it; ``encrypted`` alerts that
cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """All of a run, in order of rows."""

    dns: NDArray[np.void]
    names: NDArray[np.uint8]
    """The names that DNS messages ask for as they travel, one behind the other, pointers followed."""
    icmp: NDArray[np.void]
    alerts: NDArray[np.void]
