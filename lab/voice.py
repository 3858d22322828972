"""One end of a voice call: ``voice.py OWN_PORT ADDRESS PORT SECONDS SSRC``. RTP both ways, RTCP beside it (RFC 3550).

Sends a packet of PCMU every 20 ms, a report every second, and says at the end what it sent, heard and missed.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

PCMU, STEP_S, SAMPLES = 0, 0.02, 160
SENDER_REPORT, NTP_EPOCH_S = 200, 2_208_988_800
SILENCE = b"\xff" * SAMPLES


@dataclass
class Heard:
    """What came of the other end's stream."""

    ssrc: int = 0
    first: int | None = None
    highest: int = 0
    packets: int = 0
    transit: int | None = None
    jitter: float = 0.0
    sequences: set[int] = field(default_factory=set)

    def take(self, packet: bytes, now: float) -> None:
        """Count one packet (RFC 3550 §6.4.1, A.8)."""
        _, _, sequence, stamp, self.ssrc = struct.unpack("!BBHII", packet[:12])
        self.first = sequence if self.first is None else self.first
        self.highest, self.packets = max(self.highest, sequence), self.packets + 1
        self.sequences.add(sequence)
        transit = int(now * 8_000) - stamp
        if self.transit is not None:
            self.jitter += (abs(transit - self.transit) - self.jitter) / 16
        self.transit = transit

    @property
    def lost(self) -> int:
        """Return the cumulative number of packets lost (§6.4.1)."""
        return 0 if self.first is None else self.highest - self.first + 1 - self.packets


def report(ssrc: int, sent: int, heard: Heard) -> bytes:
    """Return a sender report with one block about what was heard, if anything was."""
    now = time.time() + NTP_EPOCH_S
    blocks = b""
    if heard.packets:
        expected = heard.lost + heard.packets
        fraction = max(0, heard.lost) * 256 // max(1, expected) & 0xFF
        lost = heard.lost & 0xFFFFFF
        blocks = struct.pack(
            "!IIIIII", heard.ssrc, fraction << 24 | lost, heard.highest, int(heard.jitter), 0, 0
        )  # fmt: skip
    head = struct.pack("!BBHI", 0x80 | bool(blocks), SENDER_REPORT, 6 + len(blocks) // 4, ssrc)
    seconds = int(now)
    ntp = struct.pack("!II", seconds, int((now - seconds) * 2**32))
    return head + ntp + struct.pack("!III", sent * SAMPLES, sent, sent * SAMPLES) + blocks


def main() -> None:
    """Talk for a while."""
    own, address, port, seconds, ssrc = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
    media, control = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    media.bind(("", own))
    control.bind(("", own + 1))
    number, heard, sent = int(ssrc, 16), Heard(), 0
    sys.stdout.write(json.dumps({"listening": own}) + "\n")
    sys.stdout.flush()
    begun = time.monotonic()
    while (at := begun + sent * STEP_S) < begun + seconds:
        while (left := at - time.monotonic()) > 0:
            if select.select([media], [], [], left)[0]:
                heard.take(media.recv(2_048), time.monotonic())
        media.sendto(
            struct.pack("!BBHII", 0x80, PCMU, sent & 0xFFFF, sent * SAMPLES, number) + SILENCE, (address, port)
        )
        sent += 1
        if sent % 50 == 0:
            control.sendto(report(number, sent, heard), (address, port + 1))
    print(json.dumps({"sent": sent, "heard": heard.packets, "lost": heard.lost, "highest": heard.highest}))


if __name__ == "__main__":
    main()
