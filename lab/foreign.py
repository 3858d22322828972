"""A client whose TCP is not Linux: ``foreign.py OWN ADDRESS PORT``. Inside a client, on raw sockets.

As Windows does it: no time stamps, one identification counter for everything the host sends, and an abort whose reset
carries an acknowledgement and window 0. The kernel's own resets for the port are kept in by a rule.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

from lab.forge import checksum

FIN, SYN, RST, PUSH, ACK = 1, 2, 4, 8, 16
SYN_OPTIONS = bytes([2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2])
"""Largest segment 1,460, window scale 8, selective acknowledgements; no time stamps."""
TTL, WINDOW, MARK = 128, 1_026, 7
OWN_PORT = 49_733
ALLOW = f"""
table ip lab_foreign {{
  chain out {{
    type filter hook output priority 0;
    tcp sport {OWN_PORT} meta mark != {MARK} drop
  }}
}}
"""
PATIENCE_S = 5.0
OTHER_TRAFFIC = 3
"""By how much the counter moves between two packets of this connection: the host has others."""


@dataclass
class Talk:
    """One end of one connection."""

    own: str
    address: str
    port: int
    seq: int = 0x1234_0000
    ack: int = 0
    ident: int = 0x6B21

    def __post_init__(self) -> None:
        """Open what sends and what hears."""
        self.out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.out.setsockopt(socket.SOL_SOCKET, 36, MARK)  # SO_MARK
        self.into = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.into.settimeout(PATIENCE_S)

    def send(self, flags: int, data: bytes = b"", options: bytes = b"", window: int = WINDOW) -> None:
        """Send one segment and count it."""
        ends = socket.inet_aton(self.own), socket.inet_aton(self.address)
        words = 5 + len(options) // 4
        head = struct.pack(
            "!HHIIBBHHH", OWN_PORT, self.port, self.seq, self.ack, words << 4, flags, window, 0, 0
        ) + options  # fmt: skip
        odd = b"\0" * (len(data) % 2)
        total = checksum(
            b"".join(ends) + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head) + len(data)) + head + data + odd
        )
        head = head[:16] + struct.pack("!H", total) + head[18:]
        size = 20 + len(head) + len(data)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, self.ident, 0x4000, TTL, socket.IPPROTO_TCP, 0, *ends)
        self.out.sendto(ip + head + data, (self.address, 0))
        self.ident = (self.ident + OTHER_TRAFFIC) & 0xFFFF
        self.seq = (self.seq + len(data) + bool(flags & (SYN | FIN))) & 0xFFFFFFFF

    def hear(self) -> None:
        """Wait for a segment that brings something, and be ready to acknowledge it."""
        while True:
            packet = self.into.recv(65_536)
            at = (packet[0] & 15) * 4
            sport, dport, seq, _, words, flags = struct.unpack("!HHIIBB", packet[at : at + 14])
            carried = len(packet) - at - (words >> 4) * 4 + bool(flags & (SYN | FIN))
            if (sport, dport) == (self.port, OWN_PORT) and carried:
                self.ack = (seq + carried) & 0xFFFFFFFF
                return


def main() -> None:
    """Open a connection, ask five times, abort it."""
    talk = Talk(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    subprocess.run(["nft", "-f", "-"], input=ALLOW, text=True, check=True)
    try:
        talk.send(SYN, options=SYN_OPTIONS, window=64_240)
        talk.hear()
        talk.send(ACK)
        for _ in range(5):
            talk.send(PUSH | ACK, b"question" * 12)
            talk.hear()
            talk.send(ACK)
            time.sleep(0.05)
        talk.send(RST | ACK, window=0)
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "lab_foreign"], check=True)
    sys.stdout.write(json.dumps({"ended": "aborted"}) + "\n")


if __name__ == "__main__":
    main()
