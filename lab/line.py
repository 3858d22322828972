"""The dedicated line: a relay between two TAP interfaces that logs the fate of every packet it received.

Runs as a process of its own inside the line's namespace: ``python line.py DIRECTORY``.  It re-reads ``control.json``
when that is replaced, writes ``truth.jsonl``, and answers ``{"sync": n}`` in ``status.json`` once everything received
before is in the log.  TAP, so that VLAN tags and checksums are right by construction.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
LARGEST_FRAME = 70_000
POLL_S = 0.05
BATCH = 128
ETHERNET_OVERHEAD = 24
"""Preamble, check sum and gap, in bytes: what a frame costs on the wire beside itself."""
TCP, UDP = 6, 17
WIREGUARD_DATA = b"\4\0\0\0"
DIRECTIONS = {"ab": "tapa", "ba": "tapb"}
"""ab is call-centre to headquarters: what enters at TAP a leaves at TAP b."""


class Direction:
    """One direction of the line."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self.settings: dict[str, Any] = {}
        self.hits = 0
        self.is_bad = False
        self.free_at = 0.0
        self.last_exit = 0.0


class Relay:
    """Reads frames, decides their fate, sends them on in time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.random = random.Random(1)
        taps = {name: _open_tap(name) for name in DIRECTIONS.values()}
        self.directions = {
            "ab": Direction(taps["tapa"], taps["tapb"]), "ba": Direction(taps["tapb"], taps["tapa"]),
        }  # fmt: skip
        self.truth = (directory / "truth.jsonl").open("a", buffering=1 << 16)
        self.waiting: list[tuple[float, int, int, bytes, str, dict[str, Any]]] = []
        self.number = 0
        self.control_stamp = 0
        self.running = True

    def run(self) -> None:
        """Relay until told to end."""
        (self.directory / "ready").touch()
        checked = 0.0
        while self.running:
            now = time.time()
            if now - checked > POLL_S:
                checked = now
                self._read_control()
                self.truth.flush()
            pause = min(POLL_S, max(0.0, self.waiting[0][0] - now)) if self.waiting else POLL_S
            ready, _, _ = select.select([d.source for d in self.directions.values()], [], [], pause)
            for name, direction in self.directions.items():
                if direction.source in ready:
                    self._drain(name, direction)
            self._release()
        self.truth.close()

    def _drain(self, name: str, direction: Direction) -> None:
        for _ in range(BATCH):
            try:
                frame = os.read(direction.source, LARGEST_FRAME)
            except BlockingIOError:
                return
            self._handle(name, direction, frame)

    def _read_control(self) -> None:
        """Take in a replaced control file."""
        path = self.directory / "control.json"
        try:
            stamp = path.stat().st_mtime_ns
            if stamp == self.control_stamp:
                return
            control = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        self.control_stamp = stamp
        for name, direction in self.directions.items():
            if direction.settings != control.get(name, {}):
                direction.settings, direction.hits, direction.is_bad = control.get(name, {}), 0, False
        if "seed" in control:
            self.random = random.Random(control["seed"])
        for name, direction in self.directions.items():
            self._drain(name, direction)
        self._release()
        self.truth.flush()
        beside = self.directory / "status.new"
        beside.write_text(json.dumps({"sync": control.get("sync", 0), "in_flight": len(self.waiting)}))
        beside.replace(self.directory / "status.json")

    def _handle(self, name: str, direction: Direction, frame: bytes) -> None:
        """Decide the fate of one frame."""
        now = time.time()
        facts = describe(frame)
        settings = direction.settings
        why = self._drop_reason(direction, settings, facts) if settings else None
        exit_at, why = self._schedule(direction, settings, facts["len"], now) if why is None else (now, why)
        if why is not None:
            self._log(name, facts, "dropped", why, now)
            return
        copies = 1
        if _matches(settings, facts) and self.random.random() < settings.get("dup", 0):
            copies = 2
        for _ in range(copies):
            self._send(name, direction.target, frame, facts, exit_at, now)

    def _drop_reason(self, direction: Direction, settings: dict[str, Any], facts: dict[str, Any]) -> str | None:  # noqa: PLR0911  # one return a case reads best
        """Say why a frame is dropped, None when it is not."""
        if settings.get("down"):
            return "down"
        if settings.get("mtu") and facts["len"] - 14 > settings["mtu"]:
            return "mtu"
        if not _matches(settings, facts):
            return None
        direction.hits += 1
        if settings.get("nth") and direction.hits % settings["nth"] == 0:
            return "nth"
        if self.random.random() < settings.get("loss", 0):
            return "loss"
        if settings.get("ge"):
            worsens, heals, loses = settings["ge"]
            direction.is_bad = self.random.random() >= heals if direction.is_bad else self.random.random() < worsens
            if direction.is_bad and self.random.random() < loses:
                return "burst"
        return None

    def _schedule(
        self, direction: Direction, settings: dict[str, Any], length: int, now: float
    ) -> tuple[float, str | None]:
        """Return when a frame leaves, or why its queue had no room."""
        exit_at = now
        rate = settings.get("rate_bps")
        if rate:
            direction.free_at = max(direction.free_at, now)
            if (direction.free_at - now) * rate / 8 > settings.get("queue_bytes", 65_536):
                return now, "queue"
            direction.free_at += (length + ETHERNET_OVERHEAD) * 8 / rate
            exit_at = direction.free_at
        jitter = settings.get("jitter_ms", 0)
        delay = settings.get("delay_ms", 0) + (self.random.uniform(-jitter, jitter) if jitter else 0)
        exit_at += max(0.0, delay) / 1000
        if not settings.get("reorder"):
            exit_at = max(exit_at, direction.last_exit)
        direction.last_exit = max(exit_at, direction.last_exit)
        return exit_at, None

    def _send(self, name: str, target: int, frame: bytes, facts: dict[str, Any], exit_at: float, now: float) -> None:
        if exit_at > now or self.waiting:
            self.number += 1
            heapq.heappush(self.waiting, (exit_at, self.number, target, frame, name, {**facts, "at": now}))
            return
        self._write(target, frame, name, facts, now)

    def _release(self) -> None:
        """Send what is due."""
        now = time.time()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, target, frame, name, facts = heapq.heappop(self.waiting)
            received = facts.pop("at")
            self._write(target, frame, name, facts, received)

    def _write(self, target: int, frame: bytes, name: str, facts: dict[str, Any], received: float) -> None:
        try:
            os.write(target, frame)
        except OSError as error:
            self._log(name, facts, "dropped", f"write: {error.strerror}", received)
        else:
            self._log(name, facts, "forwarded", None, received)

    def _log(self, name: str, facts: dict[str, Any], fate: str, why: str | None, at: float) -> None:
        line = {"t_ns": int(at * 1e9), "dir": name, "fate": fate, **facts}
        if why is not None:
            line["why"] = why
        self.truth.write(json.dumps(line) + "\n")


def describe(frame: bytes) -> dict[str, Any]:
    """Return what identifies a frame."""
    facts: dict[str, Any] = {"len": len(frame)}
    kind, at = frame[12:14], 14
    if kind == b"\x81\x00":
        facts["vlan"] = struct.unpack("!H", frame[14:16])[0] & 0xFFF
        kind, at = frame[16:18], 18
    if kind != b"\x08\x00" or len(frame) < at + 20:
        facts["ethertype"] = kind.hex()
        return facts
    return facts | describe_ip(frame[at:])


def describe_ip(packet: bytes) -> dict[str, Any]:
    """Return what identifies an IPv4 packet."""
    total, number, fragment = struct.unpack("!HHH", packet[2:8])
    facts: dict[str, Any] = {"ipid": number, "proto": packet[9], "crc": zlib.crc32(packet)}
    facts["src"] = ".".join(map(str, packet[12:16]))
    facts["dst"] = ".".join(map(str, packet[16:20]))
    body = (packet[0] & 15) * 4
    if facts["proto"] in {TCP, UDP} and not fragment & 0x1FFF:
        facts["sport"], facts["dport"] = struct.unpack("!HH", packet[body : body + 4])
        if facts["proto"] == TCP:
            facts["seq"], facts["ack"] = struct.unpack("!II", packet[body + 4 : body + 12])
            facts["flags"] = packet[body + 13]
            facts["payload"] = total - body - (packet[body + 12] >> 4) * 4
        else:
            facts["payload"] = total - body - 8
            if packet[body + 8 : body + 12] == WIREGUARD_DATA:
                facts["counter"] = struct.unpack("<Q", packet[body + 16 : body + 24])[0]
    return facts


def _matches(settings: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Say whether loss and duplication apply to a frame."""
    wanted = settings.get("match", {})
    return all(facts["len"] >= v if k == "min_len" else facts.get(k) == v for k, v in wanted.items())


def _open_tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def main() -> None:
    """Relay until SIGTERM."""
    relay = Relay(Path(sys.argv[1]))

    def end(*_: object) -> None:
        relay.running = False

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    relay.run()


if __name__ == "__main__":
    main()
