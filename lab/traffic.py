"""Programs that run inside hosts: ``traffic.py VERB …``. Standard library only; each prints one line of JSON when done.

udp-send ADDRESS PORT COUNT PER_SECOND SIZE [FROM_PORT]      udp-receive PORT SECONDS
tcp-send ADDRESS PORT COUNT PER_SECOND SIZE      tcp-receive PORT
exchange ADDRESS PORT CONNECTIONS BYTES          exchange-serve PORT CONNECTIONS BYTES
echo PORT [PORT …]    abort ADDRESS PORT {linger|unread}    connect ADDRESS PORT
"""

from __future__ import annotations

import fcntl
import json
import selectors
import socket
import struct
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SIOCOUTQ = termios.TIOCOUTQ
ALL_SENT_WITHIN_S = 120.0


def say(**fields: object) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def paced(count: int, per_second: float) -> object:
    """Yield 0 to *count* at a steady rate."""
    begun = time.monotonic()
    for number in range(count):
        wait = begun + number / per_second - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield number


def udp_send(address: str, port: str, count: str, per_second: str, size: str, own_port: str = "0") -> None:
    """Send numbered datagrams."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, 10, 1)  # IP_MTU_DISCOVER off: the kernel then numbers datagrams
    sender.bind(("", int(own_port)))
    sender.connect((address, int(port)))
    for number in paced(int(count), float(per_second)):  # type: ignore[attr-defined]
        sender.send(struct.pack("!I", number).ljust(int(size), b"u"))
    say(sent=int(count), port=sender.getsockname()[1])


def udp_receive(port: str, seconds: str) -> None:
    """Count datagrams until none came for a while."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("", int(port)))
    receiver.settimeout(float(seconds))
    say(listening=int(port))
    numbers = []
    try:
        while True:
            numbers.append(struct.unpack("!I", receiver.recv(65_536)[:4])[0])
    except TimeoutError:
        say(received=len(numbers), distinct=len(set(numbers)))


def tcp_send(address: str, port: str, count: str, per_second: str, size: str) -> None:
    """Send numbered messages, each a segment of its own; wait until all are acknowledged; close."""
    sender = socket.create_connection((address, int(port)), timeout=30)
    sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in paced(int(count), float(per_second)):  # type: ignore[attr-defined]
        sender.sendall(struct.pack("!I", number).ljust(int(size), b"t"))
    end = time.monotonic() + ALL_SENT_WITHIN_S
    while unsent(sender) and time.monotonic() < end:
        time.sleep(0.01)
    say(sent=int(count), unacknowledged=unsent(sender), port=sender.getsockname()[1])
    sender.close()


def unsent(connection: socket.socket) -> int:
    """Return the bytes that are not acknowledged yet."""
    return int(struct.unpack("i", fcntl.ioctl(connection, SIOCOUTQ, b"\0\0\0\0"))[0])


def tcp_receive(port: str) -> None:
    """Take one connection and count its bytes."""
    with socket.create_server(("", int(port))) as listener:
        say(listening=int(port))
        connection, _ = listener.accept()
        total = 0
        while data := connection.recv(65_536):
            total += len(data)
        say(received=total)


def exchange(address: str, port: str, connections: str, size: str) -> None:
    """Open connections and let each carry *size* bytes both ways at once, as fast as it goes."""
    opened = [socket.create_connection((address, int(port)), timeout=30) for _ in range(int(connections))]
    _exchange_on(opened, int(size))


def exchange_serve(port: str, connections: str, size: str) -> None:
    """Take connections and let each carry *size* bytes both ways at once."""
    with socket.create_server(("", int(port)), backlog=64) as listener:
        say(listening=int(port))
        opened = [listener.accept()[0] for _ in range(int(connections))]
    _exchange_on(opened, int(size))


def _exchange_on(connections: list[socket.socket], size: int) -> None:
    received = [0] * len(connections)

    def receive(number: int) -> None:
        while data := connections[number].recv(1 << 18):
            received[number] += len(data)

    def send(connection: socket.socket) -> None:
        connection.sendall(bytes(k * 37 & 255 for k in range(4096)) * (size // 4096))
        connection.shutdown(socket.SHUT_WR)

    for connection in connections:
        connection.settimeout(ALL_SENT_WITHIN_S)
    running = [threading.Thread(target=receive, args=(k,)) for k in range(len(connections))]
    running += [threading.Thread(target=send, args=(c,)) for c in connections]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    say(received=received)
    for connection in connections:
        connection.close()


def echo(*ports: str) -> None:
    """Answer on every port with what was sent; on a port that ends in 2, push data unasked."""
    selector = selectors.DefaultSelector()
    for port in ports:
        listener = socket.create_server(("", int(port)), backlog=64)
        selector.register(listener, selectors.EVENT_READ, "listener")
    say(listening=[int(p) for p in ports])
    while True:
        for key, _ in selector.select():
            if key.data == "listener":
                connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, "connection")
            else:
                _answer(selector, key.fileobj)  # type: ignore[arg-type]


def _answer(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    try:
        data = connection.recv(65_536)
        if data.startswith(b"GET "):
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            data = b""
        elif data:
            connection.sendall(data)
    except OSError:
        data = b""
    if not data:
        selector.unregister(connection)
        connection.close()


def abort(address: str, port: str, how: str) -> None:
    """Connect, talk, and end so that the kernel sends a reset."""
    connection = socket.create_connection((address, int(port)), timeout=10)
    connection.sendall(b"hello")
    local = connection.getsockname()[1]
    if how == "linger":
        connection.recv(64)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        selectors_wait(connection)  # the answer is there, unread
    connection.close()
    say(aborted=how, port=local, at_ns=time.time_ns())


def selectors_wait(connection: socket.socket) -> None:
    """Wait until there is something to read, and leave it there."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.select(10)


def connect(address: str, port: str) -> None:
    """Try to connect, talk for a while, and say how it went."""
    try:
        with socket.create_connection((address, int(port)), timeout=5) as connection:
            for _ in range(40):
                connection.sendall(b"data" * 25)
                connection.recv(1000)
                time.sleep(0.02)
        say(connected=True)
    except OSError as error:
        say(connected=False, error=type(error).__name__)


VERBS: dict[str, Callable[..., None]] = {
    "udp-send": udp_send, "udp-receive": udp_receive, "tcp-send": tcp_send, "tcp-receive": tcp_receive, "echo": echo,
    "abort": abort, "connect": connect, "exchange": exchange, "exchange-serve": exchange_serve,
}  # fmt: skip

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
