"""Put DNS messages together to exchanges: a question, asked once or several times, and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.analyses.unanswered import ANSWER_NS
from orchestrator.core.routes import REVERSE
from orchestrator.core.sort import stable_order
from orchestrator.model.messages import DNS_PORT, RESPONSE, UNREAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene

NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """Arrays by exchange unless said otherwise."""

    message: NDArray[np.int64]
    """Messages, those of one exchange together, questions first: places in the table of messages."""
    token: NDArray[np.int64]
    """By place in ``message``."""
    begin: NDArray[np.int64]
    """Place of its first question."""
    asked: NDArray[np.int64]
    answers: NDArray[np.int64]
    first_answer: NDArray[np.int64]
    """Place of it; of the last question where there is none."""
    repeated: NDArray[np.int64]
    """Further times it was asked, right behind an answer: the two crossed on the way."""
    took_ns: NDArray[np.int64]
    """NEVER where no point saw both."""
    behind_stray: NDArray[np.bool_]
    """An answer without its question came before it."""

    def __len__(self) -> int:
        """Return the number of exchanges."""
        return len(self.begin)


def find_exchanges(scene: Scene, dns: NDArray[np.void], token: NDArray[np.int64]) -> Exchanges:
    """Return the exchanges that begin in the window of the run.

    Args: dns is a table of messages.DNS; token int64[:] gives the packet of each, -1 for none.
    """
    message = _one_a_packet(scene, dns, token)
    token = token[message]
    flow, time = scene.tokens.flow[token], _times(scene, token)
    ident, is_answer = dns["ident"][message], (dns["flags"][message] & RESPONSE) > 0
    name = _named(stable_order(time, ident, flow), flow, ident, dns["name"][message], is_answer)
    order = stable_order(is_answer, time, name, ident, flow)
    message, token, time, is_answer = message[order], token[order], time[order], is_answer[order]
    fresh = _changes(flow[order], ident[order], name[order])
    follows = np.concatenate(([False], is_answer[:-1])) & ~is_answer
    begin = np.flatnonzero(fresh | follows)
    end = np.append(begin[1:], len(order))
    answers = np.add.reduceat(is_answer, begin, dtype=np.int64) if len(begin) else begin
    asked = end - begin - answers
    # a repetition that crossed its answer on the way asks for nothing that the client lacks
    again = ~fresh[begin] & (answers == 0)
    again[again] = time[begin[again]] - time[begin[again] - 1] < ANSWER_NS
    behind_stray = np.concatenate(([False], asked[:-1] == 0))[: len(begin)] & ~fresh[begin]
    repeated = np.append(np.where(again, asked, 0)[1:], 0)[: len(begin)]
    kept = np.flatnonzero(~again & (asked > 0))
    kept = kept[scene.verdicts.counted[token[begin[kept]]]]
    begin, asked, answers = begin[kept], asked[kept], answers[kept]
    first_answer = begin + asked - (answers == 0)
    return Exchanges(
        message=message, token=token, begin=begin, asked=asked, answers=answers, first_answer=first_answer,
        took_ns=_took(scene, token[begin], token[first_answer], answers > 0), behind_stray=behind_stray[kept],
        repeated=repeated[kept],
    )  # fmt: skip


def _one_a_packet(scene: Scene, dns: NDArray[np.void], token: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of each packet the place of the message that was read best, whichever point saw it."""
    places = np.flatnonzero((dns["state"] > UNREAD) & (token >= 0))
    row = scene.tokens.first_row[token[places]]
    port = np.where((dns["flags"][places] & RESPONSE) > 0, scene.packets.sport[row], scene.packets.dport[row])
    places = places[port == DNS_PORT]
    places = places[np.lexsort((-dns["state"][places].astype(np.int64), token[places]))]
    best: NDArray[np.int64] = places[_changes(token[places])]
    return best


def _times(scene: Scene, token: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a time of each packet, of one flow at one point as far as can be: no clock then confuses their order."""
    tokens = scene.tokens
    time = scene.verdicts.time_ns[token].copy()
    _, flow = np.unique(tokens.flow[token], return_inverse=True)
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
