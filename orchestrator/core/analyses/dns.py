"""Every question to a name server: who asked whom what, when, how often, and what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.dns_exchanges import NEVER, Exchanges, find_exchanges
from orchestrator.core.analyses.dns_silence import Hearing, heard, judge_silence, unread_ends
from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.analyses.unanswered import ANSWER_NS
from orchestrator.core.routes import REVERSE, address
from orchestrator.core.wording import domain_name
from orchestrator.model.messages import RCODE, TRUNCATED, UNREAD
from orchestrator.model.names import SLOW_NS, DnsOutcome, DnsTransaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.all_frames import AllFrames
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets
    from orchestrator.model.messages import Messages

MOST_TRANSACTIONS = 10_000
"""Each is some text, and what failed is what is looked for."""
OUTCOMES: dict[int, DnsOutcome] = {0: "answered", 2: "servfail", 3: "nxdomain", 5: "refused"}
RCODES = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
)  # fmt: skip
QTYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 29: "LOC",
    33: "SRV", 35: "NAPTR", 39: "DNAME", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 52: "TLSA", 64: "SVCB",
    65: "HTTPS", 99: "SPF", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}  # fmt: skip
NOERROR, NXDOMAIN = 0, 3
LATE = 1
"""How urgent a late answer is, behind what failed."""


@dataclass(frozen=True, slots=True)
class _View:
    """What all transactions of a run share."""

    scene: Scene
    messages: Messages
    exchanges: Exchanges
    hearing: Hearing
    name_at: NDArray[np.int64]
    """By message: where its name begins."""
    lost: NDArray[np.bool_]
    """By exchange: every answer vanished on its way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of the questions of a run."""

    transactions: list[DnsTransaction]
    in_all: int
    not_read: int
    of: list[tuple[str, int]]
    """(server, questions)."""
    some_left_out: bool = False
    """More failed than stand in ``transactions``."""


def find_questions(
    scene: Scene, frames: AllFrames, messages: Messages, rejected: Mapping[int, Sequence[tuple[int, str]]]
) -> Asked:
    """Return what became of the questions in *messages*; of very many those that failed first.

    Args: rejected as of Hearing.
    """
    dns = messages.dns
    exchanges = find_exchanges(scene, dns, frames.token[dns["row"]])
    not_read = int(np.count_nonzero(dns["state"] == UNREAD))
    if not len(exchanges):
        return Asked([], 0, not_read, [])
    question = scene.tokens.first_row[exchanges.token[exchanges.begin]]
    servers, number = _servers(scene.packets, question.astype(np.int64))
    vanished = scene.verdicts.claims()
    view = _View(
        scene, messages, exchanges,
        Hearing(
            *heard(frames, dns), unread_ends(frames, dns), _waits(exchanges, servers, number), rejected, vanished
        ),
        np.cumsum(dns["length"], dtype=np.int64) - dns["length"], _all_lost(exchanges, vanished),
    )  # fmt: skip
    rank = _rank(view)
    chosen = np.lexsort((scene.verdicts.time_ns[exchanges.token[exchanges.begin]], rank))[:MOST_TRANSACTIONS]
    found = sorted((_transaction(view, n) for n in chosen.tolist()), key=lambda t: t.asked_ns)
    totals = Counter(
        {str(address(*s)): n for s, n in zip(servers, np.bincount(number).tolist(), strict=True)}
    ).most_common()
    return Asked(
        found, len(exchanges), not_read, totals, some_left_out=bool(np.count_nonzero(rank < LATE) > len(chosen))
    )


def _servers(packets: Packets, row: NDArray[np.int64]) -> tuple[list[tuple[int, int, int]], NDArray[np.int64]]:
    """Return the different servers (address in two halves, family) that *row* went to, and by row which that is."""
    high, low = packets.dst_hi[row], packets.dst_lo[row]
    order = np.lexsort((low, high))
    fresh = np.ones(len(row), np.bool_)
    fresh[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    number = np.empty(len(row), np.int64)
    number[order] = np.cumsum(fresh) - 1
    one = row[order[fresh]]
    columns = (packets.dst_hi[one], packets.dst_lo[one], packets.family[one])
    return list(zip(*(c.tolist() for c in columns), strict=True)), number


def _waits(
    exchanges: Exchanges, servers: Sequence[tuple[int, int, int]], number: NDArray[np.int64]
) -> dict[tuple[int, int], int]:
    """Return how long to wait for each server: twice as long as it took any time, a second at least."""
    longest = np.zeros(len(servers), np.int64)
    np.maximum.at(longest, number, exchanges.waited_ns)
    return {s[:2]: max(2 * n, ANSWER_NS) for s, n in zip(servers, longest.tolist(), strict=True)}


def _all_lost(exchanges: Exchanges, vanished: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say of each exchange whether it has answers, and all of them vanished."""
    total = np.concatenate(([0], np.cumsum(vanished[exchanges.token])))
    first = exchanges.first_answer
    found: NDArray[np.bool_] = total[first + exchanges.answers] - total[first] == exchanges.answers
    return found & (exchanges.answers > 0)


def _rank(view: _View) -> NDArray[np.int64]:
    """Return how little an exchange is to be looked at: 0 where it failed."""
    exchanges = view.exchanges
    rcode = view.messages.dns["flags"][exchanges.message[exchanges.first_answer]] & RCODE
    rank = np.where(exchanges.took_ns > SLOW_NS, LATE, np.where(rcode == NXDOMAIN, LATE + 1, LATE + 2))
    failed = (exchanges.answers == 0) | view.lost | ~np.isin(rcode, (NOERROR, NXDOMAIN))
    return np.where(failed, 0, rank)


def _transaction(view: _View, number: int) -> DnsTransaction:
    """Describe one exchange."""
    scene, exchanges, row_of = view.scene, view.exchanges, view.scene.tokens.row
    begin, questions = int(exchanges.begin[number]), exchanges.questions(number)
    message = view.messages.dns[exchanges.message[begin]]
    seen, first = _travelled(scene, questions), _travelled(scene, questions[:1])[0]
    at = int(view.name_at[exchanges.message[begin]])
    name = view.messages.names[at : at + int(message["length"])].tobytes()
    found = DnsTransaction(
        flow=flow_key(scene.packets, int(row_of[questions, seen[0]].max())), id=int(message["ident"]),
        qname=domain_name(name), qtype=QTYPES.get(int(message["qtype"]), f"TYPE{int(message['qtype'])}"),
        asked_ns=int(scene.corrected_ns[row_of[questions[0], first]]), asked_at=scene.names[first],
        asked=int(exchanges.asked[number]), outcome="undecided",
        seen=tuple(scene.names[p] for p in seen), last_seen=scene.names[seen[-1]],
        frame=_frame(scene, questions, seen[-1]),
    )  # fmt: skip
    return _answered(view, number, found) if exchanges.answers[number] else _silent(view, number, questions, found)


def _answered(view: _View, number: int, found: DnsTransaction) -> DnsTransaction:
    """Return a transaction with its first answer."""
    scene, exchanges = view.scene, view.exchanges
    place = int(exchanges.first_answer[number])
    answer = exchanges.token[place : place + int(exchanges.answers[number])]
    message = view.messages.dns[exchanges.message[place]]
    flags, rcode = int(message["flags"]), int(message["flags"]) & RCODE
    took = int(exchanges.took_ns[number])
    nearest = _travelled(scene, answer[:1])[-1]
    found = replace(
        found, outcome=OUTCOMES.get(rcode, "error"), rcode=RCODES[rcode] if rcode < len(RCODES) else f"RCODE{rcode}",
        answered_ns=int(scene.corrected_ns[scene.tokens.row[answer[0], nearest]]), answered_at=scene.names[nearest],
        took_ns=None if took == NEVER else took, truncated=bool(flags & TRUNCATED), answers=int(message["answers"]),
    )  # fmt: skip
    if not view.lost[number]:
        return found
    gone = int(answer[-1])
    near, far = (scene.names[int(p[gone])] for p in (scene.verdicts.last_seen, scene.verdicts.missing_at))
    return replace(
        found, outcome="answer-lost", reason=f"its answer vanished between {near} and {far}", lost=(near, far),
        last_seen=near, frame=_frame(scene, answer, scene.names.index(near)),
    )  # fmt: skip


def _silent(view: _View, number: int, questions: NDArray[np.int64], found: DnsTransaction) -> DnsTransaction:
    """Return a transaction without answer with what may be said of that."""
    if view.exchanges.elsewhere[number]:
        return replace(found, reason="an answer without its question, or in another flow, may be to this one")
    silence = judge_silence(view.scene, view.hearing, questions)
    lost = None if silence.lost is None else (view.scene.names[silence.lost[0]], view.scene.names[silence.lost[1]])
    return replace(
        found, outcome=silence.outcome, reason=silence.reason, lost=lost, rejected=silence.rejected,
        silent_at=None if silence.at is None else view.scene.names[silence.at],
    )  # fmt: skip


def _travelled(scene: Scene, token: NDArray[np.int64]) -> list[int]:
    """Return the points that saw any of *token*, packets of one direction, as they met them."""
    points: list[int] = np.flatnonzero((scene.tokens.row[token] >= 0).any(axis=0)).tolist()
    return points[::-1] if scene.routes.direction[token[0]] == REVERSE else points


def _frame(scene: Scene, token: NDArray[np.int64], point: int) -> int:
    """Return the number of the first frame that shows any of *token* at *point*."""
    rows = scene.tokens.row[token, point]
    return int(scene.frames[rows[rows >= 0][0]])
