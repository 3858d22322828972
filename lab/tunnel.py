"""One end of an encrypted tunnel: ``tunnel.py DEVICE OWN_ADDRESS PEER_ADDRESS PORT INDEX PEER_INDEX LOG``.

Packets sent into the TUN device travel in UDP datagrams framed as WireGuard's transport data: type, receiver, counter,
cipher text, tag. What the middle sees is what it would see of the real thing; the cipher is a toy (the key is in this
file). LOG gets a line of JSON for each packet sealed: its counter, and what it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import socket
import struct
import sys
from pathlib import Path

from lab.line import IFF_NO_PI, LARGEST_FRAME, TUNSETIFF, describe_ip

KEY = b"no secret at all"
IFF_TUN = 1
TRANSPORT_DATA = 4
HEAD = struct.Struct("<IIQ")
"""Type and reserved bytes, receiver index, counter."""
TAG_BYTES = 16


def main() -> None:
    """Carry packets until killed."""
    device, own, peer, port, index, peer_index, log = sys.argv[1:]
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    outer.bind((own, int(port)))
    outer.connect((peer, int(port)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    counter = 0
    with Path(log).open("a", buffering=1) as sealed:
        while True:
            readable, _, _ = select.select([tun, outer.fileno()], [], [])
            if tun in readable:
                packet = os.read(tun, LARGEST_FRAME)
                if packet[0] >> 4 == 4:  # IPv4, the only one that the lab speaks
                    sealed.write(json.dumps({"counter": counter, **describe_ip(packet)}) + "\n")
                    _try_send(outer, seal(int(peer_index), counter, packet))
                    counter += 1
            if outer.fileno() in readable and (inner := _received(outer, int(index))):
                os.write(tun, inner)


def seal(receiver: int, counter: int, packet: bytes) -> bytes:
    """Return the datagram that carries *packet*."""
    head = HEAD.pack(TRANSPORT_DATA, receiver, counter)
    text = _mixed(packet + bytes(-len(packet) % 16), receiver, counter)
    return head + text + hashlib.blake2s(head + text, key=KEY, digest_size=TAG_BYTES).digest()


def unseal(datagram: bytes, index: int) -> bytes | None:
    """Return the packet that a datagram carries, None where it is none of ours."""
    if len(datagram) < HEAD.size + TAG_BYTES:
        return None
    kind, receiver, counter = HEAD.unpack_from(datagram)
    body, tag = datagram[:-TAG_BYTES], datagram[-TAG_BYTES:]
    if (kind, receiver) != (TRANSPORT_DATA, index) or hashlib.blake2s(body, key=KEY, digest_size=16).digest() != tag:
        return None
    packet = _mixed(body[HEAD.size :], receiver, counter)
    return packet[: struct.unpack("!H", packet[2:4])[0]] if len(packet) > HEAD.size else None


def _mixed(text: bytes, receiver: int, counter: int) -> bytes:
    """Return *text* mixed with the key stream of its counter; doing it twice undoes it."""
    stream = hashlib.shake_128(KEY + HEAD.pack(0, receiver, counter)).digest(len(text))
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")


def _received(outer: socket.socket, index: int) -> bytes | None:
    try:
        return unseal(outer.recv(LARGEST_FRAME), index)
    except ConnectionRefusedError:  # the other end is not up yet
        return None


def _try_send(outer: socket.socket, datagram: bytes) -> None:
    try:
        outer.send(datagram)
    except ConnectionRefusedError:
        return


if __name__ == "__main__":
    main()
