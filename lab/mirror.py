"""A switch that mirrors a port to a collector in ERSPAN: ``mirror.py INTERFACE COLLECTOR SESSION LOSS LOG``.

Type II, numbered. Copies that the switch is to lose use a number like the others; LOG gets a line of JSON a copy.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
from pathlib import Path

from lab.line import LARGEST_FRAME, describe

EVERY_PROTOCOL, SO_RCVBUFFORCE = 0x0003, 33
BUFFER_BYTES = 32 << 20
GRE_NUMBERED, ERSPAN_II = 0x1000, 0x88BE
VERSION = 1
PORT_INDEX = 5


def main() -> None:
    """Mirror what passes INTERFACE, both ways, until killed."""
    interface, collector, session, loss, log = sys.argv[1:]
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sniffer.bind((interface, EVERY_PROTOCOL))
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
    draw = random.Random(1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with Path(log).open("w", buffering=1) as copies:
        number = 0
        while True:
            frame = sniffer.recv(LARGEST_FRAME)
            fate = "dropped" if draw.random() < float(loss) else "sent"
            if fate == "sent":
                sender.sendto(shell(number, int(session)) + frame, (collector, 0))
            copies.write(json.dumps({"number": number, "fate": fate, **describe(frame)}) + "\n")
            number += 1


def shell(number: int, session: int) -> bytes:
    """Return the headers that go before a mirrored frame."""
    numbered = struct.pack("!HHI", GRE_NUMBERED, ERSPAN_II, number & 0xFFFFFFFF)
    return numbered + struct.pack("!HHI", VERSION << 12, session, PORT_INDEX)


if __name__ == "__main__":
    main()
