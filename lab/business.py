"""The agents' program: ``business.py SECONDS CALLS``. Holds three connections; then calls the public service.

CALLS is ``call`` or ``quiet``.  When the service does not answer within three seconds the program dies, and its
connections are closed abortively, as by an operating system that ends a crashed process.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
import urllib.request

HEARTBEAT, DATA, SESSION = ("10.10.10.2", 7001), ("10.10.10.2", 7002), ("10.10.10.3", 7003)
PUBLIC_URL = "http://203.0.113.80/"
PATIENCE_S = 3.0


def main() -> None:
    """Work, call, and crash when the call fails."""
    work_s, calls = float(sys.argv[1]), sys.argv[2] == "call"
    connections = [socket.create_connection(a, timeout=5) for a in (HEARTBEAT, DATA, SESSION)]
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _work(connections, work_s)
    report: dict[str, object] = {"called_ns": time.time_ns()}
    if calls:
        try:
            with urllib.request.urlopen(PUBLIC_URL, timeout=PATIENCE_S) as answer:
                report["answer"] = answer.status
        except OSError as error:
            report |= {"crashed_ns": time.time_ns(), "error": str(error)}
    if "crashed_ns" not in report:
        _work(connections, work_s)
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    for connection in connections:
        connection.close()
    sys.stdout.write(json.dumps(report) + "\n")


def _work(connections: list[socket.socket], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for connection in connections:
            connection.sendall(b"beat")
            connection.recv(64)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
