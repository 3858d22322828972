"""Programs inside hosts whose connections end badly, each in its own way: ``endings.py VERB …``.

Servers:  silent PORT    closes PORT    forgets PORT
Clients:  aborts ADDRESS PORT SIZE {linger|unread}       insists ADDRESS PORT      refused ADDRESS PORT
          rests ADDRESS PORT SECONDS [SECONDS …]         guards ADDRESS PORT       waits ADDRESS PORT SECONDS
          keeps ADDRESS PORT

Servers, and who keeps a connection, say a line when they are ready and run until they are killed; other
clients say a line when they are done.
Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import select
import socket
import struct
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TCP_REPAIR = 19
"""A socket that is closed in repair mode is gone without a word to the other end (tcp(7) of CRIU)."""
PAUSE_S = 0.2
PATIENCE_S = 15.0
STILL = 5
"""Looks at what came, one like the other, after which no more is expected."""


def say(**fields: object) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def serve(port: str, each: Callable[[socket.socket], None]) -> None:
    """Take connections for ever; *each* gets one in a thread of its own."""
    with socket.create_server(("", int(port)), backlog=64) as listener:
        say(listening=int(port))
        while True:
            threading.Thread(target=each, args=(listener.accept()[0],), daemon=True).start()


def silent(port: str) -> None:
    """Read everything and never answer."""

    def read(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(65_536):
                pass

    serve(port, read)


def closes(port: str) -> None:
    """Answer once, and close while the client goes on."""

    def once(connection: socket.socket) -> None:
        connection.sendall(connection.recv(65_536))
        connection.close()

    serve(port, once)


def forgets(port: str) -> None:
    """Answer once, and lose the connection as a host does that starts anew."""

    def once(connection: socket.socket) -> None:
        connection.sendall(connection.recv(65_536))
        time.sleep(PAUSE_S / 2)  # until the answer is acknowledged: a socket with data in flight is not forgotten
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        connection.close()

    serve(port, once)


def opened(address: str, port: str) -> socket.socket:
    """Return a connection that has carried a question and its answer."""
    connection = socket.create_connection((address, int(port)), timeout=PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"question" * 12)
    connection.recv(65_536)
    return connection


def aborts(address: str, port: str, size: str, how: str) -> None:
    """Send *size* bytes to an echo and abort, with the answer read or unread."""
    connection = opened(address, port)
    if how == "unread":
        threading.Thread(target=push, args=(connection, int(size)), daemon=True).start()
    else:
        connection.sendall(b"a" * int(size))
    left = int(size) if how == "linger" else 0
    while left:
        left -= len(connection.recv(65_536))
    if how == "linger":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        settled(connection)
    connection.close()
    say(ended=how)


def push(connection: socket.socket, size: int) -> None:
    """Send so much, as far as the other end takes it."""
    with contextlib.suppress(OSError):
        connection.sendall(b"a" * size)


def settled(connection: socket.socket) -> None:
    """Wait until no more comes, and leave what came unread."""
    before, same = -1, 0
    while same < STILL:
        time.sleep(PAUSE_S / STILL)
        now = struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, b"\0\0\0\0"))[0]
        before, same = now, same + 1 if now == before else 0


def insists(address: str, port: str) -> None:
    """Go on sending whatever the other end does, until the connection is gone."""
    connection = opened(address, port)
    error = ""
    for _ in range(20):
        time.sleep(PAUSE_S)
        try:
            connection.sendall(b"more of it" * 10)
            select.select([connection], [], [], PAUSE_S)
            connection.recv(65_536)
        except OSError as raised:
            error = type(raised).__name__
            break
    say(ended=error)


def refused(address: str, port: str) -> None:
    """Try to connect for two seconds."""
    try:
        socket.create_connection((address, int(port)), timeout=2).close()
        say(ended="")
    except OSError as raised:
        say(ended=type(raised).__name__)


def rests(address: str, port: str, *seconds: str) -> None:
    """Ask, rest, ask again, until the connection is gone."""
    connection = opened(address, port)
    error = ""
    try:
        for pause in seconds:
            readable, _, _ = select.select([connection], [], [], float(pause))
            if readable:
                connection.recv(65_536)
            connection.sendall(b"again" * 20)
            connection.recv(65_536)
    except OSError as raised:
        error = type(raised).__name__
    say(ended=error)


def guards(address: str, port: str) -> None:
    """Rest with keepalive probes every second until three are not answered."""
    connection = opened(address, port)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    try:
        connection.recv(65_536)
        say(ended="")
    except OSError as raised:
        say(ended=type(raised).__name__)


def keeps(address: str, port: str) -> None:
    """Ask and be answered twenty times a second, without an end."""
    connection = opened(address, port)
    say(listening=connection.getsockname()[1])
    while True:
        connection.sendall(b"question" * 12)
        connection.recv(65_536)
        time.sleep(PAUSE_S / 4)


def waits(address: str, port: str, seconds: str) -> None:
    """Ask, wait that long for an answer, and give up."""
    connection = socket.create_connection((address, int(port)), timeout=PATIENCE_S)
    connection.sendall(b"question" * 12)
    answered, _, _ = select.select([connection], [], [], float(seconds))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    say(ended="" if answered else "gave up")


VERBS: dict[str, Callable[..., None]] = {
    "silent": silent, "closes": closes, "forgets": forgets, "aborts": aborts, "insists": insists, "refused": refused,
    "rests": rests, "guards": guards, "waits": waits, "keeps": keeps,
}  # fmt: skip

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
