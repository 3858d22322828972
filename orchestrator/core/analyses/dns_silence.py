"""What may be said of a question without answer: who stays silent is accused by points alone that would have heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.unanswered import ANSWER_NS
from orchestrator.core.mirrors import touch
from orchestrator.core.routes import REVERSE
from orchestrator.model.columns import MARK_FRAGMENT, UDP
from orchestrator.model.messages import RESPONSE, UNREAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.all_frames import AllFrames
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets
    from orchestrator.model.names import DnsOutcome

REJECTED_NS = 5 * ANSWER_NS
"""Errors that quote a question come within this time."""
Ends = tuple[int, int, int, int]
"""Addresses of a packet, each in two halves."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """Whom each point hears, and what it could not understand."""

    servers: frozenset[tuple[int, int, int]]
    """(address in two halves, point): an answer of that server to anybody was seen there."""
    pairs: frozenset[tuple[Ends, int]]
    """(server and client, point)."""
    unread: frozenset[Ends]
    """Senders and receivers of what may be answers, but could not be read."""
    wait_ns: Mapping[tuple[int, int], int]
    """By server: how long an answer may take, going by those that were seen."""
    rejected: Mapping[int, Sequence[tuple[int, str]]]
    """By flow: (time, what) of errors that quote it."""
    vanished: NDArray[np.bool_]
    """By packet: whether its verdict says that it vanished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What is said of one question."""

    outcome: DnsOutcome
    reason: str = ""
    lost: tuple[int, int] | None = None
    rejected: bool = False
    """An error of ICMP says so."""
    at: int | None = None
    """The farthest point to which no answer came for sure."""


def unread_ends(frames: AllFrames, dns: NDArray[np.void]) -> frozenset[Ends]:
    """Return who sent whom what may be a part of an answer that was not read: cut, in pieces, or no whole message."""
    packets = frames.packets
    rows = dns["row"][(dns["state"] == UNREAD) | (frames.token[dns["row"]] < 0)]
    later = (packets.marks & MARK_FRAGMENT) > 0
    later &= (packets.protocol == UDP) & (packets.sport == 0) & (packets.dport == 0)
    return frozenset(_ends(packets, np.concatenate((rows, np.flatnonzero(later)))))


def heard(
    frames: AllFrames, dns: NDArray[np.void]
) -> tuple[frozenset[tuple[int, int, int]], frozenset[tuple[Ends, int]]]:
    """Return (servers, pairs) of Hearing."""
    rows = dns["row"][(dns["state"] > UNREAD) & ((dns["flags"] & RESPONSE) > 0)]
    servers: set[tuple[int, int, int]] = set()
    pairs: set[tuple[Ends, int]] = set()
    point = frames.point[rows]
    for number in np.unique(point).tolist():
        for ends in _ends(frames.packets, rows[point == number]):
            servers.add((*ends[:2], number))
            pairs.add((ends, number))
    return frozenset(servers), frozenset(pairs)


def _ends(packets: Packets, rows: NDArray[np.int64]) -> list[Ends]:
    """Return the different addresses of *rows*."""
    columns = (packets.src_hi[rows], packets.src_lo[rows], packets.dst_hi[rows], packets.dst_lo[rows])
    order = np.lexsort(columns)
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = np.logical_or.reduce([c[order][1:] != c[order][:-1] for c in columns])
    one = order[fresh]
    return list(zip(*(c[one].tolist() for c in columns), strict=True))


def judge_silence(scene: Scene, hearing: Hearing, questions: NDArray[np.int64]) -> Silence:
    """Say what may be said of a question without answer; *questions* are the packets that asked it."""
    verdicts, last = scene.verdicts, int(questions[-1])
    if hearing.vanished[questions].all():
        near, far = int(verdicts.last_seen[last]), int(verdicts.missing_at[last])
        reason = f"the question vanished between {scene.names[near]} and {scene.names[far]}"
        return Silence(outcome="no-answer", reason=reason, lost=(near, far))
    first_ns, last_ns = int(verdicts.time_ns[questions].min()), int(verdicts.time_ns[questions].max())
    for time, what in hearing.rejected.get(int(scene.tokens.flow[last]), ()):
        if first_ns <= time <= last_ns + REJECTED_NS:
            return Silence(outcome="no-answer", reason=what, rejected=True)
    seen = (scene.tokens.row[questions] >= 0).any(axis=0)
    ends = {p: _ends_at(scene, questions, p) for p in np.flatnonzero(seen).tolist()}
    return _by_points(scene, hearing, last, ends, (first_ns, last_ns))


def _ends_at(scene: Scene, questions: NDArray[np.int64], point: int) -> Ends:
    """Return (server, client) of a question as one point saw them."""
    packets, row = scene.packets, int(scene.tokens.row[questions, point].max())
    columns = (packets.dst_hi, packets.dst_lo, packets.src_hi, packets.src_lo)
    server_hi, server_lo, client_hi, client_lo = (int(c[row]) for c in columns)
    return server_hi, server_lo, client_hi, client_lo


def _by_points(
    scene: Scene, hearing: Hearing, token: int, ends: Mapping[int, Ends], asked_ns: tuple[int, int]
) -> Silence:
    """Say what the points that saw a question, and there its *ends*, tell by hearing no answer."""
    if not hearing.unread.isdisjoint(ends.values()):
        return Silence(outcome="undecided", reason="its answer may be among packets that could not be read")
    pair = int(scene.routes.pair[token])
    hear = [p for p, e in ends.items() if (*e[:2], p) in hearing.servers and (pair, p) not in scene.routes.elsewhere]
    wait = max(hearing.wait_ns.get(e[:2], ANSWER_NS) for e in ends.values())
    doubts = {p: _doubt(scene, p, asked_ns, asked_ns[1] + wait) for p in hear or ends}
    sure = [p for p, doubt in doubts.items() if not doubt]
    if not sure:
        return Silence(outcome="undecided", reason=next(iter(doubts.values())))
    if not hear:
        return Silence(outcome="no-answer-seen", reason="no answer of this server is seen there: they may go elsewhere")
    reason = ""
    if not any((e, p) in hearing.pairs for p, e in ends.items()):
        reason = "answers to others were seen, none to this client"
    farthest = sure[0] if scene.routes.direction[token] == REVERSE else sure[-1]
    return Silence(outcome="no-answer", reason=reason, at=farthest)


def _doubt(scene: Scene, point: int, asked_ns: tuple[int, int], until_ns: int) -> str:
    """Return why the silence of *point* from when it was asked *until_ns* says nothing; empty where it does."""
    facts, name = scene.facts[point], scene.names[point]
    if until_ns > facts.end_ns:
        return f"the capture at {name} ended before the answer was due"
    if not facts.complete or UDP in facts.cut_protocols:
        return f"the capture at {name} does not see everything"
    if touch(facts.gaps_ns, np.array(asked_ns[:1]), np.array([until_ns]))[0]:
        return f"the capture at {name} is damaged there"
    lossy = bool(facts.kernel_drops) or scene.verdicts.miss_rate[point] > 0
    if lossy and asked_ns[1] - asked_ns[0] < ANSWER_NS:  # who asks again, and waits, was not answered
        return f"the capture at {name} missed packets"
    return ""
