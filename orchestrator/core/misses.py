"""How well each point captured: what provably passed it unseen, and the chance that something else did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.mirrors import touch
from orchestrator.core.rates import RULE_OF_THREE
from orchestrator.core.routes import FORWARD, routes_in_use
from orchestrator.model.columns import RST, TCP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets

NEGLIGIBLE = 0.02
"""Expected wrong places among the losses of a segment below which a point without counters is believed."""
SLACK_NS = 1_000_000
"""Times closer than this to the ends of a capture tell nothing."""
FEWEST_BEFORE_OPEN = 2
"""So few packets unseen before a point's first or behind its last may be misses as well as a capture begun later."""
LONGEST_DELAY_NS = 20_000_000
"""How far from a gap a packet that some other point saw may have fallen into it."""


@dataclass(slots=True)
class _Counts:
    """What is counted by point, and whether anything hints at a miss that is not counted."""

    missed: NDArray[np.int64]
    saw: NDArray[np.int64]
    passed: NDArray[np.int64]
    perhaps: NDArray[np.int64]
    perhaps_saw: NDArray[np.int64]
    hinted: bool = False


@dataclass(frozen=True, slots=True)
class _Telling:
    """Which tokens tell something, by token."""

    usable: NDArray[np.bool_]
    """Its absence tells something."""
    alike: NDArray[np.bool_]
    """Data that nothing tells from its repetitions."""
    bare: NDArray[np.bool_]
    """Anything else that nothing tells from its repetitions."""
    near: NDArray[np.int64]
    """Any point that saw it."""


def count_misses(
    packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts, facts: Sequence[PointFacts]
) -> None:
    """Count by point the tokens that passed it unseen; resets are left out, for they may be born on the way."""
    counts = _Counts(*np.zeros((5, tokens.row.shape[1]), np.int64))
    telling = _telling(packets, tokens, verdicts)
    for route, direction, members in routes_in_use(routes):
        line = routes.points[route] if direction == FORWARD else routes.points[route][::-1]
        inside = members[telling.usable[members]]
        seen = tokens.row[inside][:, line] >= 0
        proved = _proved(seen) | verdicts.certified[inside][:, None]
        for column, point in enumerate(line):
            here = inside[seen[:, column]]
            gone = inside[proved[:, column] & ~seen[:, column]]
            gone = gone[_may_have_passed(packets, tokens, verdicts, facts[point], point, gone, here, telling.near)]
            during = _while_open(packets, tokens, verdicts, facts[point], gone, here)
            told = ~telling.alike[inside] & ~telling.bare[inside]
            counts.passed[point] += int((proved[:, column] & seen[:, column] & told).sum())
            _count(counts, telling, point, here, gone, during)
    verdicts.missed, verdicts.passed = counts.missed.tolist(), counts.passed.tolist()
    some = bool(counts.missed.any() or counts.perhaps.any()) or counts.hinted
    verdicts.some_missed = some or any(f.kernel_drops for f in facts)
    verdicts.miss_rate = _shares(counts.missed, counts.saw)
    verdicts.suspected = _shares(counts.perhaps, counts.perhaps_saw)


def _count(
    counts: _Counts, telling: _Telling, point: int, here: NDArray[np.int64], gone: NDArray[np.int64],
    during: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Add what one point saw (*here*) and what passed it unseen (*gone*, and of these *during* its capture)."""
    counts.hinted |= 0 < len(gone) - int(during.sum()) <= FEWEST_BEFORE_OPEN
    counts.hinted |= bool((during & telling.bare[gone]).any())
    here, unseen = here[~telling.bare[here]], gone[during & ~telling.bare[gone]]
    sure = int((~telling.alike[unseen]).sum())
    counts.missed[point] += sure
    counts.passed[point] += sure
    counts.saw[point] += int((~telling.alike[here]).sum())
    counts.perhaps[point] += len(unseen) - sure
    counts.perhaps_saw[point] += int(telling.alike[here].sum())


def _shares(missed: NDArray[np.int64], saw: NDArray[np.int64]) -> list[float]:
    return [m / (m + s) if m + s else 0.0 for m, s in zip(missed.tolist(), saw.tolist(), strict=True)]


def _telling(packets: Packets, tokens: Tokens, verdicts: Verdicts) -> _Telling:
    """Return by token whether its absence tells something, and which may be like their repetition, data and others.

    What nothing tells from its repetitions may be folded at one point and not at another: that proves no miss, though
    it gives reason to suspect one where it is data, of which repetitions are few, and else not to trust blindly.
    """
    first = tokens.first_row
    tcp = packets.protocol[first] == TCP
    usable = verdicts.counted & ~tokens.ambiguous & ~(tcp & ((packets.flags[first] & RST) > 0))
    low = np.argmax(tokens.row >= 0, axis=1)
    high = tokens.row.shape[1] - 1 - np.argmax(tokens.row[:, ::-1] >= 0, axis=1)
    usable &= ~verdicts.proxied.between(tokens.flow, low, high)
    alike = tcp & ((packets.ip_id[first] == 0) | tokens.unnumbered[tokens.way])
    bare = alike & (packets.payload[first] == 0)
    return _Telling(usable, alike & ~bare & (packets.tsval[first] == 0), bare, low)


def _proved(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say for each token and point of its route, in the direction of travel, whether a later point saw it."""
    proved = np.zeros_like(seen)
    proved[:, :-1] = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return proved


def _may_have_passed(
    packets: Packets, tokens: Tokens, verdicts: Verdicts, facts: PointFacts, point: int, gone: NDArray[np.int64],
    here: NDArray[np.int64], near: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for tokens that *point* did not see whether it sees such: of flow directions, on this side of a relay.

    Args: *here* are tokens that it saw; *near* by token any point that saw it.
    """
    met = np.zeros(len(tokens.unnumbered), np.bool_)  # what has never come by is blindness or another way, no miss
    met[tokens.way[here]] = True
    ends = np.stack((near[gone], np.full(len(gone), point)))
    across = verdicts.proxied.between(tokens.flow[gone], ends.min(axis=0), ends.max(axis=0))
    told = ~np.isin(packets.protocol[tokens.first_row[gone]], facts.cut_protocols)
    strange = verdicts.islands[tokens.way[gone], point]
    return np.asarray(met[tokens.way[gone]] & told & ~across & ~strange)


def _while_open(
    packets: Packets, tokens: Tokens, verdicts: Verdicts, facts: PointFacts, gone: NDArray[np.int64],
    here: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for tokens that passed a point unseen whether it was capturing: by its clock, or by others that it saw."""
    time = verdicts.time_ns[gone]
    found = np.zeros(len(gone), np.bool_)
    if facts.uncertainty_ns is not None:
        margin = facts.uncertainty_ns + SLACK_NS
        found |= (time > facts.start_ns + margin) & (time < facts.end_ns - margin)
    for rows in tokens.row.T if len(here) else ():  # on the clock of a point that saw both
        left = np.flatnonzero(~found)
        saw = rows[here[rows[here] >= 0]] if len(left) else left
        if len(saw):
            where = rows[gone[left]]
            at, times = packets.time_ns[where], packets.time_ns[saw]
            found[left] = (where >= 0) & (at > times.min()) & (at < times.max())
    # a gap in its files or its mirror is known, and no reason to doubt the rest
    return found & ~touch(facts.gaps_ns, time - LONGEST_DELAY_NS, time + LONGEST_DELAY_NS)


def miss_probability(facts: PointFacts, verdicts: Verdicts, point: int, beyond: int) -> float:
    """Return the chance that a packet passes this point unseen: 0 for a sound capture, 1 where it may not accuse.

    A point without drop counters is taken for sound as long as nothing shows a miss.  Where other captures of the run
    did miss packets, it may not draw to itself the losses of the segment behind it: *beyond* tokens were last seen
    there, and the rule of three bounds how many like them it may have missed.
    """
    if not facts.complete:
        return 1.0
    rate = max(verdicts.miss_rate[point], verdicts.suspected[point])
    if facts.kernel_drops:
        return max(rate, facts.kernel_drops / (facts.kernel_drops + facts.packets))
    if rate > 0 or facts.kernel_drops is not None or not verdicts.some_missed:
        return rate
    bound = RULE_OF_THREE / (verdicts.passed[point] + RULE_OF_THREE)
    return bound if bound * beyond > NEGLIGIBLE else 0.0
