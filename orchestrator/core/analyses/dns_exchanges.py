"""Put DNS messages together to exchanges: a question, asked once or several times, and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.analyses.unanswered import ANSWER_NS
from orchestrator.core.routes import REVERSE
from orchestrator.core.sort import stable_order
from orchestrator.model.columns import MARK_FRAGMENT
from orchestrator.model.messages import DNS_PORT, RESPONSE, UNREAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene

NEVER = np.iinfo(np.int64).min
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Makes a number of 16 bits differ in all bits of a hash."""


@dataclass(frozen=True, slots=True)
class Exchanges:
    """Arrays by exchange unless said otherwise."""

    message: NDArray[np.int64]
    """Messages, those of one exchange together, questions first, answers that vanished last: places in the table."""
    token: NDArray[np.int64]
    """By place in ``message``."""
    elsewhere: NDArray[np.bool_]
    """Without answer, but one to the same name and number was seen whose question was not, or in another flow."""
    begin: NDArray[np.int64]
    """Place of its first question."""
    asked: NDArray[np.int64]
    answers: NDArray[np.int64]
    first_answer: NDArray[np.int64]
    """Place of the first that did not vanish, if all did of the first; of the last question where there is none."""
    took_ns: NDArray[np.int64]
    """NEVER where no point saw both."""
    waited_ns: NDArray[np.int64]
    """The same from the last time it was asked, below zero where that was later than the answer."""
    twin_begin: NDArray[np.int64]
    """Place of the first question as a translator made it, where flows do not show that it is the same one."""
    twin_end: NDArray[np.int64]
    """Place behind the last of these; the same place where there are none."""

    def __len__(self) -> int:
        """Return the number of exchanges."""
        return len(self.begin)

    def questions(self, number: int) -> NDArray[np.int64]:
        """Return the packets that asked it, those behind a translator last."""
        begin, asked = int(self.begin[number]), int(self.asked[number])
        there = self.token[int(self.twin_begin[number]) : int(self.twin_end[number])]
        return np.concatenate((self.token[begin : begin + asked], there))


def find_exchanges(scene: Scene, dns: NDArray[np.void], token: NDArray[np.int64]) -> Exchanges:
    """Return the exchanges that begin in the window of the run.

    Args: dns is a table of messages.DNS; token int64[:] gives the packet of each, -1 for none.
    """
    message = _one_a_packet(scene, dns, token)
    token = token[message]
    flow = _flows(scene, dns[message], token)
    time = _times(scene, flow, token)
    ident, is_answer = dns["ident"][message], (dns["flags"][message] & RESPONSE) > 0
    name = _named(stable_order(time, ident, flow), flow, ident, dns["name"][message], is_answer)
    order = stable_order(is_answer, time, name, ident, flow)
    gone = is_answer & scene.verdicts.claims()[token]
    number = _parted(_changes(flow[order], ident[order], name[order]), is_answer[order], gone[order], time[order])
    order = order[stable_order(time[order], gone[order], is_answer[order], number)]
    message, token, is_answer = message[order], token[order], is_answer[order]
    begin, asked, answers = _counted(np.sort(number), is_answer)
    about = (name ^ (ident * SPREAD))[order][begin]
    stray = np.isin(about, about[asked == 0])  # an answer from another address, or while clocks confuse the order
    asking = (asked > 0) & scene.verdicts.counted[token[begin]]
    begin, asked, answers = _take((begin, asked, answers), asking)
    twin, elsewhere, kept = _twins(scene, dns[message[begin]], token, begin, asked, answers, stray[asking])
    first_answer = begin + asked - (answers == 0)
    took_ns, waited_ns = (_took(scene, token[q], token[first_answer], answers > 0) for q in (begin, begin + asked - 1))
    twin_begin = np.where(twin >= 0, begin[twin], 0)
    twin_end = twin_begin + np.where(twin >= 0, asked[twin], 0)
    whole = (begin, asked, answers, first_answer, took_ns, waited_ns, twin_begin, twin_end)
    return Exchanges(message, token, elsewhere[kept], *_take(whole, kept))


def _parted(
    fresh: NDArray[np.bool_], is_answer: NDArray[np.bool_], gone: NDArray[np.bool_], time: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return by message the number of its exchange: behind an answer, a question is a new one.

    Not so behind one that vanished on its way, nor right behind one: the two crossed, and the client has what it wants.

    Args: messages in order of what they are about and of time; fresh says whether one is about something else than the
    one before it; gone whether it is an answer that vanished.
    """
    places = np.arange(len(fresh))
    asking = ~is_answer
    start = np.maximum.accumulate(np.where(fresh, places, 0))
    asked_before = np.maximum.accumulate(np.where(asking, places, -1)) >= start
    closes = is_answer & ~(gone & asked_before)
    latest = np.maximum.accumulate(np.where(closes, places, -1))
    previous = np.maximum(np.append(-1, np.maximum.accumulate(np.where(asking, places, -1))[:-1]), start)
    answered = asking & (latest >= previous) & (latest >= start)
    crossed = answered & (time - time[np.maximum(latest, 0)] < ANSWER_NS) & _is_last(fresh, closes)
    return np.cumsum(fresh | (answered & ~crossed)) - 1


def _is_last(fresh: NDArray[np.bool_], closes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say of each message whether no answer to what it is about comes after it."""
    total, ends = np.cumsum(closes), np.append(np.flatnonzero(fresh)[1:], len(fresh)) - 1
    return total == total[ends[np.cumsum(fresh) - 1]] if len(fresh) else closes


def _counted(
    number: NDArray[np.int64], is_answer: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return by exchange (its first message, questions, answers), *number* saying of which each message is."""
    begin = np.flatnonzero(_changes(number))
    if not len(begin):
        return begin, begin, begin
    answers = np.add.reduceat(is_answer, begin, dtype=np.int64)
    return begin, np.diff(np.append(begin, len(number))) - answers, answers


def _take(columns: tuple[NDArray[np.int64], ...], which: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
    """Return the rows *which* of each column."""
    return tuple(column[which] for column in columns)


def _one_a_packet(scene: Scene, dns: NDArray[np.void], token: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of each packet the place of the message that was read best, whichever point saw it."""
    places = np.flatnonzero((dns["state"] > UNREAD) & (token >= 0))
    row = scene.tokens.first_row[token[places]]
    port = np.where((dns["flags"][places] & RESPONSE) > 0, scene.packets.sport[row], scene.packets.dport[row])
    pieces = (scene.packets.marks[row] & MARK_FRAGMENT) > 0  # which are matched without their ports
    places = places[(port == DNS_PORT) | pieces]
    places = places[np.lexsort((-dns["state"][places].astype(np.int64), token[places]))]
    best: NDArray[np.int64] = places[_changes(token[places])]
    return best


def _flows(scene: Scene, dns: NDArray[np.void], token: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the flow of each packet, of a fragment that of the datagrams that its ports belong to."""
    flow = scene.tokens.flow[token]
    pieces = (scene.packets.marks[scene.tokens.first_row[token]] & MARK_FRAGMENT) > 0
    if pieces.any() and not pieces.all():
        whole, example = np.unique(dns["flow"][~pieces], return_index=True)
        at = np.minimum(np.searchsorted(whole, dns["flow"]), len(whole) - 1)
        known = pieces & (whole[at] == dns["flow"])
        flow[known] = flow[~pieces][example[at[known]]]
    return flow


def _times(scene: Scene, flows: NDArray[np.int32], token: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a time of each packet, of one flow at one point as far as can be: no clock then confuses their order."""
    tokens = scene.tokens
    time = scene.verdicts.time_ns[token].copy()
    _, flow = np.unique(flows, return_inverse=True)
    most = np.zeros(int(flow.max(initial=-1)) + 1, np.int64)
    home = np.zeros(len(most), np.int64)
    for point in range(len(scene.names)):
        seen = np.bincount(flow, weights=tokens.row[token, point] >= 0, minlength=len(most)).astype(np.int64)
        home[seen > most] = point
        most = np.maximum(most, seen)
    row = tokens.row[token, home[flow]]
    time[row >= 0] = scene.corrected_ns[row[row >= 0]]
    return time


def _named(
    order: NDArray[np.int64], flow: NDArray[np.int32], ident: NDArray[np.uint16], name: NDArray[np.uint64],
    is_answer: NDArray[np.bool_],
) -> NDArray[np.uint64]:  # fmt: skip
    """Return the names, of an answer that repeats none the one that was asked for last under its number."""
    fresh = _changes(flow[order], ident[order])
    group = np.cumsum(fresh)
    latest = np.maximum.accumulate(np.where(is_answer[order], -1, np.arange(len(order)))) if len(order) else order
    told = latest >= 0
    told[told] = group[latest[told]] == group[told]
    lacking = told & (name[order] == 0)
    found = name.copy()
    found[order[lacking]] = name[order[latest[lacking]]]
    return found


def _twins(
    scene: Scene, dns: NDArray[np.void], token: NDArray[np.int64], begin: NDArray[np.int64], asked: NDArray[np.int64],
    answers: NDArray[np.int64], stray: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """Find questions that a translator passed on: of a flow without answer, too little is seen to know it by.

    Args: by exchange: dns, its first question; begin, asked, answers as of Exchanges; stray, whether an answer to it
    was seen elsewhere; token as of Exchanges.

    Returns by exchange: (the one behind the translator or -1, whether it may have been answered there, whether it is
    none of those behind).
    """
    twin, elsewhere, kept = np.full(len(begin), -1), stray.copy(), np.ones(len(begin), np.bool_)
    time, first = scene.verdicts.time_ns, token[begin]
    order = stable_order(time[first], dns["ident"], dns["name"])
    one, other = order[:-1], order[1:]
    close = ~_changes(dns["ident"][order], dns["name"][order])[1:]
    close &= time[first[other]] - time[token[begin + asked - 1]][one] < ANSWER_NS
    close &= scene.tokens.flow[first[one]] != scene.tokens.flow[first[other]]
    seen = scene.tokens.row[first] >= 0
    close &= ((answers[one] == 0) | (answers[other] == 0)) & ~(seen[one] & seen[other]).any(axis=1)
    for a, b in zip(one[close].tolist(), other[close].tolist(), strict=True):
        if answers[a] or answers[b]:
            elsewhere[[a, b]] |= answers[[a, b]] == 0
            continue
        forward = scene.routes.direction[first[a]] != REVERSE
        near, far = (a, b) if (seen[a].argmax() < seen[b].argmax()) == forward else (b, a)
        twin[near], kept[far] = far, False
    return twin, elsewhere, kept


def _took(
    scene: Scene, question: NDArray[np.int64], answer: NDArray[np.int64], answered: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return how long the first answer took, at the point nearest to the client that saw it and the question."""
    took = np.full(len(question), NEVER)
    tokens, at = scene.tokens, scene.corrected_ns
    for backwards, points in ((False, range(len(scene.names))[::-1]), (True, range(len(scene.names)))):
        mine = np.flatnonzero(answered & ((scene.routes.direction[question] == REVERSE) == backwards))
        for point in points:
            there, back = tokens.row[question[mine], point], tokens.row[answer[mine], point]
            both = (there >= 0) & (back >= 0)
            took[mine[both]] = at[back[both]] - at[there[both]]
    return took


def _changes(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Say for each row whether it differs from the one before it in any of *columns*."""
    found = np.zeros(len(columns[0]), np.bool_)
    found[:1] = True
    for column in columns:
        found[1:] |= column[1:] != column[:-1]
    return found
