"""The call-centre story packet by packet: agents with three connections to two servers, some of which crash.

A crashing agent calls a public service that nobody answers, 3 s later the program dies and its connections are reset.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tests.support.names import SERVFAIL, answer, datagram, icmp_error, question
from tests.support.offline import analyse_files
from tests.support.wire import ACK, PSH, RST, SYN, Packet, write_pcap

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.model.result import Result

S, MS = 10**9, 10**6
START = 1_700_000_000 * S
SERVERS = (("10.10.10.2", 7001), ("10.10.10.2", 7002), ("10.10.10.3", 7003))
PUBLIC = ("203.0.113.80", 443)
RESOLVER = ("10.10.10.53", 53)
NAMES = ("access", "line", "gateway")
PATIENCE = 3 * S


@dataclass
class Story:
    """Three agents that crash four times each, three that do not; twelve minutes."""

    blocked: bool = True
    """Whether the public service answers nobody, and the agents crash for it."""
    crashes: bool = True
    lasts: int = 720
    agents: int = 6
    failing: int = 3
    times: int = 4
    meets: str = "silence"
    """What a call meets: silence, refusal, a router's error, or a name server that fails or is silent."""
    together: bool = False
    """Whether all of them call at the same times."""
    seed: int = 1
    breakout: bool = False
    """Whether calls leave by a local internet access behind no point."""
    public: tuple[str, int] = PUBLIC
    crashed: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.records: dict[str, list[tuple[int, bytes]]] = {name: [] for name in NAMES}
        self._ports = 40_000
        self._ids: dict[str, int] = {}
        self._open: list[tuple[tuple[Packet, Packet], int, int]] = []

    def play(self) -> Story:
        if "names" in self.meets:
            self._names_known()
        for k in range(self.agents):
            self._agent(f"192.168.0.{k + 1}", self._call_times(k) if k < self.failing else [])
        return self

    def crash(self, client: str, at: int, times: int) -> None:
        """Open two more connections and reset them together, several times three minutes apart."""
        for n in range(times):
            moment = at + n * 170 * S
            self._session(client, moment - 20 * S, moment)
            self._die(client, moment)

    def _call_times(self, k: int) -> list[int]:
        """Return when an agent calls: some three minutes apart, and 13 s after the agent before."""
        pace, apart = self.lasts // self.times, 0 if self.together else 13
        return [(40 + n * pace + apart * k) * S + int(self.random.integers(5 * S)) for n in range(self.times)]

    def _agent(self, client: str, calls: list[int]) -> None:
        """Work until the next call, crash 3 s after it, begin anew 5 s later."""
        begin = int(self.random.integers(1, 3 * S))
        for call in calls:
            end = call + PATIENCE
            if self.blocked:
                self._call(call, client)
            else:
                self._answered(call, client)
            if not self.crashes:
                continue
            self._session(client, begin, end)
            self._die(client, end)
            begin = end + 5 * S
        self._session(client, begin, self.lasts * S)

    def _refused(self, at: int, client: str) -> None:
        self._ports += 1
        host, port = self.public
        ends = Packet(client, host, self._ports, port), Packet(host, client, port, self._ports)
        self._say(at, client, ends, seq=1, flags=SYN)
        self._say(at + 8 * MS, client, ends, ack=2, flags=RST | ACK, up=False)

    def _prohibited(self, at: int, client: str) -> None:
        self._ports += 1
        syn = Packet(client, self.public[0], self._ports, self.public[1], ip_id=self._ports, seq=1, flags=SYN)
        for hops, name in enumerate(NAMES[:2]):
            self.records[name].append((START + at + hops * MS, syn.hop(hops).bytes()))
            error = icmp_error("10.9.9.9", client, 3, 13, syn.hop(2).bytes()[:28], ttl=63 + hops)
            self.records[name].append((START + at + (4 - hops) * MS, error))

    def _asked(self, at: int, client: str) -> None:
        """Ask for a name: the server fails, or says nothing."""
        self._ports += 1
        ends = (client, self._ports), RESOLVER
        self._send(at, client, datagram(*ends[0], *ends[1], question(self._ports, "portal.example")), up=True)
        if self.meets == "failing names":
            told = answer(self._ports, "portal.example", rcode=SERVFAIL)
            self._send(at + 8 * MS, client, datagram(*ends[1], *ends[0], told), up=False)

    def _names_known(self) -> None:
        """Let every agent ask for another name now and then, and be told."""
        for at in range(5 * S, self.lasts * S, 9 * S):
            client = f"192.168.0.{at // S % self.agents + 1}"
            self._ports += 1
            ends = (client, self._ports), RESOLVER
            self._send(at, client, datagram(*ends[0], *ends[1], question(self._ports, "app.example")), up=True)
            told = answer(self._ports, "app.example")
            self._send(at + 8 * MS, client, datagram(*ends[1], *ends[0], told), up=False)

    def _call(self, at: int, client: str) -> None:
        meets = {"silence": self._unanswered, "refusal": self._refused, "prohibition": self._prohibited}
        meets.get(self.meets, self._asked)(at, client)

    def _send(self, at: int, client: str, packet: Packet, *, up: bool) -> None:
        sender = packet.src
        self._ids[sender] = self._ids.get(sender, 0) + 1
        public = PUBLIC[0] in {packet.src, packet.dst}
        if public and self.breakout:
            return
        order = NAMES if up else NAMES[::-1]
        for hops, name in enumerate(order):
            if public and name == "gateway":
                continue
            one = replace(packet, ip_id=self._ids[sender] & 0xFFFF).hop(hops)
            self.records[name].append((START + at + hops * MS, one.bytes()))

    def _unanswered(self, at: int, client: str) -> None:
        self._ports += 1
        for wait in (0, 1 * S):
            syn = Packet(client, PUBLIC[0], self._ports, PUBLIC[1], seq=1, flags=SYN)
            self._send(at + wait, client, syn, up=True)

    def _answered(self, at: int, client: str) -> None:
        self._ports += 1
        port = self._ports
        self._send(at, client, Packet(client, self.public[0], port, self.public[1], seq=1, flags=SYN), up=True)
        answer = Packet(self.public[0], client, self.public[1], port, seq=7, ack=2, flags=SYN | ACK)
        self._send(at + 8 * MS, client, answer, up=False)
        self._send(at + 12 * MS, client, Packet(client, self.public[0], port, self.public[1], seq=2, ack=8), up=True)

    def _session(self, client: str, begin: int, end: int) -> None:
        """Open the three connections and exchange something every 2 s."""
        self._open = []
        for host, port in SERVERS:
            self._ports += 1
            ends = Packet(client, host, self._ports, port), Packet(host, client, port, self._ports)
            self._say(begin, client, ends, seq=100, flags=SYN)
            self._say(begin + 4 * MS, client, ends, seq=900, ack=101, flags=SYN | ACK, up=False)
            self._say(begin + 8 * MS, client, ends, seq=101, ack=901)
            seq, ack, beat = 101, 901, {"flags": PSH | ACK, "payload": b"beat"}
            for tick in range(begin + 1 * S, end - 300 * MS, 2 * S):
                at = tick + int(self.random.integers(200 * MS))
                self._say(at, client, ends, seq=seq, ack=ack, **beat)
                self._say(at + 6 * MS, client, ends, seq=ack, ack=seq + 4, up=False, **beat)
                seq, ack = seq + 4, ack + 4
                self._say(at + 12 * MS, client, ends, seq=seq, ack=ack)
            self._open.append((ends, seq, ack))

    def _say(self, at: int, client: str, ends: tuple[Packet, Packet], *, up: bool = True, **fields) -> None:
        self._send(at, client, replace(ends[0 if up else 1], **fields), up=up)

    def _die(self, client: str, at: int) -> None:
        self.crashed.append((client, START + at))
        for k, (ends, seq, ack) in enumerate(self._open):
            self._say(at + k * MS // 10, client, ends, seq=seq, ack=ack, flags=RST | ACK)

    def result(self, folder: Path, points: tuple[str, ...] = NAMES, **options) -> Result:
        files = {n: write_pcap(folder / f"{n}.pcap", sorted(self.records[n])) for n in points}
        return analyse_files(folder, files, **options)
