"""No server and no segment is accused of what it did not do, whatever the captures are like."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.names import MS, START, S, answer, datagram, question
from tests.support.offline import analyse_files
from tests.support.wire import Packet, write_pcap

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
SERVERS = ("198.51.100.53", "198.51.100.54")
PUBLIC = "203.0.113.77"
RCODES = {0: "answered", 2: "servfail", 3: "nxdomain", 5: "refused", 1: "error"}


@dataclass
class Truth:
    """What became of one question."""

    ident: int
    client: str
    copies: int = 0
    rcode: int = 0
    answers: list[tuple[int, set[str]]] = field(default_factory=list)
    """(when it was sent, points that it came to, whether these captured it or not) of every answer."""
    home: bool = False
    """An answer came to the client."""
    questions: list[set[str]] = field(default_factory=list)
    """Points that each copy of the question came to."""


class World:
    """Clients before the first point, servers behind the last; what each point captures is up to the case."""

    def __init__(self, seed, points, *, loss, nat, one_way, offset, mirror, cut):
        self.rng = random.Random(seed)
        self.names = "abc"[:points]
        self.loss, self.nat, self.mirror, self.offset = loss, nat, mirror, offset
        self.one_way = {self.names[-1]} if one_way else set()
        self.ends = {n: (60 - self.rng.randrange(30)) * S if cut else 10**18 for n in self.names}
        self.records = {name: [] for name in self.names}
        self.truths: dict[int, Truth] = {}
        self.ip_id = 0

    def travel(self, at, packet, *, up):
        """Let a packet pass; return (when it came to the end or None, the points that it came to)."""
        self.ip_id = self.ip_id % 65_000 + 1
        met = set()
        order = self.names if up else self.names[::-1]
        parts = len(order) + up  # what dies between the first point and the client looks like a number used again
        dies = self.rng.randrange(parts) if self.rng.random() < self.loss else None
        for hops, name in enumerate(order):
            if dies == hops:
                return None, met
            at += self.rng.randrange(800_000, 1_200_000)
            met.add(name)
            self.capture(name, at, self.translated(packet, name, up=up).hop(hops), up=up)
        return (None if dies == len(order) else at + MS), met

    def translated(self, packet, name, *, up):
        """Return the packet as it looks at a point: behind the first there is a translator."""
        packet = Packet(**{**packet.__dict__, "ip_id": self.ip_id})
        if not self.nat or name == self.names[0]:
            return packet
        number = int(packet.src.rsplit(".", 1)[1] if up else packet.dst.rsplit(".", 1)[1])
        sport = 20_000 + ((packet.sport if up else packet.dport) + 7_000 * number) % 40_000
        ends = {"src": PUBLIC, "sport": sport} if up else {"dst": PUBLIC, "dport": sport}
        return Packet(**{**packet.__dict__, **ends})

    def capture(self, name, at, packet, *, up):
        """Note a packet unless the point does not see its direction, or was stopped."""
        if at > self.ends[name] or (name in self.one_way and not up):
            return
        shown = START + at + (self.offset if name != self.names[0] else 0)
        self.records[name].append((shown, packet.bytes()))
        if self.mirror and self.rng.random() < 0.3:
            self.records[name].append((shown + 2_000, packet.bytes()))

    def ask(self, ident, at):
        """Let a client ask until it is told, three times at most."""
        rng = self.rng
        client, server = f"192.0.2.{1 + ident % 3}", rng.choice(SERVERS)
        truth = self.truths[ident] = Truth(ident, client, rcode=rng.choice((0, 0, 0, 2, 3, 5, 1)))
        dead = rng.random() < 0.15
        told = None
        for _ in range(rng.choice((1, 2, 3))):
            if told is not None and told <= at:
                break
            truth.copies += 1
            heard, met = self.travel(at, datagram(client, 30_000 + ident, server, 53, question(ident, f"n{ident}.org")),
                                     up=True)  # fmt: skip
            truth.questions.append(met)
            if heard is not None and not dead and rng.random() < 0.95:
                told = self.tell(truth, heard, client, server) or told
            at += 5 * S

    def tell(self, truth, at, client, server):
        """Let a server answer; return when the client heard it."""
        late = self.rng.choice((1, 5, 20, 80, 1_500, 3_000)) * MS
        packet = datagram(
            server, 53, client, 30_000 + truth.ident, answer(truth.ident, f"n{truth.ident}.org", rcode=truth.rcode)
        )
        home, met = self.travel(at + late, packet, up=False)
        truth.answers.append((at + late, met))
        truth.home |= home is not None
        return home

    def result(self, folder):
        paths = {n: write_pcap(folder / f"{n}.pcap", sorted(r)) for n, r in self.records.items()}
        return analyse_files(folder, paths)


def between(lost, packets):
    """Say whether one of *packets*, each the points that it came to, died in the segment *lost*."""
    return any(lost[0] in met and lost[1] not in met for met in packets)


def hold(world, result):
    """Hold every transaction against what was; an answer that came once every capture had ended accuses nobody."""
    for t in result.names.dns:
        truth = world.truths[t.id]
        assert t.flow.src in {truth.client, PUBLIC}
        assert t.asked <= truth.copies
        answers = [(at, met) for at, met in truth.answers if START + at > t.asked_ns]
        seen = [{p for p in met if at < world.ends[p] - 5 * MS and p not in world.one_way} for at, met in answers]
        heard = set().union(*seen)
        if t.outcome == "no-answer":
            assert not heard.intersection(t.seen), "an answer was captured"
            if t.lost is not None:
                assert between(t.lost, truth.questions)
            else:
                assert t.silent_at in t.seen
                late = [at for at, met in answers if t.silent_at in met]
                assert all(at > world.ends[t.silent_at] - 5 * MS for at in late), "an answer came past"
        elif t.outcome == "answer-lost":
            assert between(t.lost, [met for _, met in truth.answers])
            assert not any(world.names[0] in points for points in seen)
        elif t.outcome == "no-answer-seen":
            assert not heard.intersection(t.seen)
        elif t.outcome != "undecided":
            assert truth.answers
            assert t.outcome == RCODES[truth.rcode]


@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(
    seed=st.integers(0, 2**32), points=st.integers(1, 3), loss=st.sampled_from((0.0, 0.1, 0.3)), nat=st.booleans(),
    one_way=st.booleans(), offset=st.sampled_from((0, 0, -7, 3_600 * S)), mirror=st.booleans(), cut=st.booleans(),
)  # fmt: skip
def test_nobody_is_accused_wrongly(seed, points, loss, nat, one_way, offset, mirror, cut):
    """Losses on either way, translators, mirrors, one-way points, clocks an hour apart, captures that end early."""
    world = World(seed, points, loss=loss, nat=nat, one_way=one_way, offset=offset, mirror=mirror, cut=cut)
    for ident in range(1, 60):
        world.ask(ident, ident * 900 * MS)
    with tempfile.TemporaryDirectory() as scratch:
        result = world.result(Path(scratch))
    hold(world, result)
    if not cut and not one_way:
        early = [t for t in result.names.dns if not world.truths[t.id].answers and t.asked_ns < START + 20 * S]
        assert {t.outcome for t in early} <= {"no-answer"}
