"""A TCP proxy on the path that nobody sees: ``splitter.py LISTEN_PORT``, inside a router.

The router's rules hand it connections that pass (TPROXY). It answers each in the server's name and opens another in
the client's, same addresses and ports at both: two connections, each with numbers and acknowledgements of its own.
"""

from __future__ import annotations

import socket
import sys
import threading

IP_TRANSPARENT = 19
BACKLOG = 64
BUFFER = 65_536


def main() -> None:
    """Take connections until killed."""
    with _transparent() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", int(sys.argv[1])))
        listener.listen(BACKLOG)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while True:
            near, client = listener.accept()
            threading.Thread(target=_serve, args=(near, client), daemon=True).start()


def _transparent() -> socket.socket:
    """Return a socket that may use addresses that this host does not have."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    return made


def _serve(near: socket.socket, client: tuple[str, int]) -> None:
    """Open the second half of a connection and carry both ways until both have ended."""
    with near, _transparent() as far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        far.bind(client)
        far.connect(near.getsockname())
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_carry, args=(far, near))
        back.start()
        _carry(near, far)
        back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(BUFFER):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            one.close()


if __name__ == "__main__":
    main()
