"""Say in a few words what a packet is, and how it differs from another sighting of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.analyses.modifications import ECN_NAMES
from orchestrator.core.routes import address
from orchestrator.model.columns import ACK, FIN, ICMP, ICMP6, MARK_ICMP_ERROR, PSH, RST, SYN, TCP, UDP

if TYPE_CHECKING:
    from orchestrator.model.columns import Packets

URG = 32
SEQUENCE_SPACE = 1 << 32
FIRST_PLAIN, LAST_PLAIN = 0x21, 0x7E
"""ASCII that shows."""
SIGNALS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (URG, "URG"))


def describe(packets: Packets, row: int, base: tuple[int | None, int | None]) -> str:
    """Return what the packet of *row* is: ``SYN``, ``data 1:101 (100 bytes)``, ``ack 101``, ``UDP 160 bytes``.

    Args: base, the sequence numbers that are counted from, its sender's and its receiver's; None where unknown.
    """
    protocol, payload = int(packets.protocol[row]), int(packets.payload[row])
    if protocol == TCP and not packets.fragment[row]:
        return _describe_tcp(packets, row, base)
    piece = f", fragment at {(int(packets.fragment[row]) & 0x1FFF) * 8:,}" if packets.fragment[row] else ""
    if protocol == UDP:
        return f"UDP {payload:,} bytes{piece}"
    if protocol in {ICMP, ICMP6}:
        error = " error" if int(packets.marks[row]) & MARK_ICMP_ERROR else ""
        return f"ICMP{error} type {int(packets.flags[row])}{piece}"
    return f"IP protocol {protocol}, {payload:,} bytes{piece}"


def _describe_tcp(packets: Packets, row: int, base: tuple[int | None, int | None]) -> str:
    flags, size = int(packets.flags[row]), int(packets.payload[row])
    begin = relative(int(packets.seq[row]), base[0])
    words = [name for flag, name in SIGNALS if flags & flag]
    if size:
        words.append(f"data {begin:,}:{begin + size:,} ({size:,} bytes)")
    elif words and not flags & SYN:
        words.append(f"at {begin:,}")
    if flags & ACK and (not size or words[:-1]):
        words.append(f"ack {relative(int(packets.ack[row]), base[1]):,}")
    if not int(packets.window[row]) and not flags & RST:
        words.append("window 0")
    known = SYN | FIN | RST | PSH | ACK | URG
    return " ".join(words) or f"TCP flags {flags & ~known:#04x}"


def relative(number: int, base: int | None) -> int:
    """Return a sequence number counted from *base*, negative where it lies before it."""
    if base is None:
        return number
    half = SEQUENCE_SPACE // 2
    return (number - base + half) % SEQUENCE_SPACE - half


def changes(packets: Packets, before: int, after: int) -> tuple[str, ...]:
    """Return what differs between two sightings of one packet, in words; the TTL, which always does, is left out."""
    said = []
    for side, port in (("src", "sport"), ("dst", "dport")):
        ends = [end_of(packets, row, side, port) for row in (before, after)]
        if ends[0] != ends[1]:
            said.append(f"{side} {ends[0]} → {ends[1]}")
    for name, title in (("ip_id", "IP id"), ("seq", "seq"), ("ack", "ack"), ("window", "window"), ("mss", "MSS")):
        values = [int(getattr(packets, name)[row]) for row in (before, after)]
        if values[0] != values[1]:
            said.append(f"{title} {values[0]:,} → {values[1]:,}")
    tos = [int(packets.tos[row]) for row in (before, after)]
    if tos[0] >> 2 != tos[1] >> 2:
        said.append(f"DSCP {tos[0] >> 2} → {tos[1] >> 2}")
    if tos[0] & 3 != tos[1] & 3:
        said.append(f"ECN {ECN_NAMES[tos[0] & 3]} → {ECN_NAMES[tos[1] & 3]}")
    return tuple(said)


def end_of(packets: Packets, row: int, side: str, port: str) -> str:
    """Return address and port as text."""
    high, low = int(getattr(packets, f"{side}_hi")[row]), int(getattr(packets, f"{side}_lo")[row])
    text = str(address(high, low, int(packets.family[row])))
    number = int(getattr(packets, port)[row])
    return f"{text}:{number}" if int(packets.protocol[row]) in {TCP, UDP} else text


def domain_name(name: bytes) -> str:
    """Return a name as DNS carries it in the way people write it: bytes that are not plain as backslash and number."""
    labels, at = [], 0
    while at < len(name) and name[at]:
        labels.append("".join(_plain(byte) for byte in name[at + 1 : at + 1 + name[at]]))
        at += 1 + name[at]
    return ".".join(labels) or "."


def _plain(byte: int) -> str:
    """Return one byte of a label."""
    if byte in b".\\":
        return f"\\{byte:c}"
    return chr(byte) if FIRST_PLAIN <= byte <= LAST_PLAIN else f"\\{byte:03d}"
