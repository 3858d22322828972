"""How well each point captured: what provably passed it unseen, and the chance that something else did."""

from __future__ import annotations

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


def count_misses(
    packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts, facts: Sequence[PointFacts]
) -> None:
    """Count by point the tokens that passed it unseen; resets are left out, for they may be born on the way."""
    points = tokens.row.shape[1]
    missed = np.zeros(points, np.int64)
    saw = np.zeros(points, np.int64)
    passed = np.zeros(points, np.int64)
    first = tokens.first_row
    usable = verdicts.counted & ~tokens.ambiguous & ~verdicts.proxied.anywhere(tokens.flow)
    tcp = packets.protocol[first] == TCP
    usable &= ~(tcp & ((packets.flags[first] & RST) > 0))
    way = tokens.way
    # what nothing tells from its repetitions may be folded at one point and not at another: that is no miss
    alike = (packets.ip_id[first] == 0) | tokens.unnumbered[way]
    usable &= ~(tcp & alike & ((packets.payload[first] == 0) | (packets.tsval[first] == 0)))
    ways = int(way.max()) + 1 if len(way) else 0
    hinted = False
    for route, direction, members in routes_in_use(routes):
        line = routes.points[route] if direction == FORWARD else routes.points[route][::-1]
        inside = members[usable[members]]
        seen = tokens.row[inside][:, line] >= 0
        later = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
        proved = later.copy()
        proved[:, :-1] = later[:, 1:]
        proved[:, -1] = False
        proved |= verdicts.certified[inside][:, None]
        for column, point in enumerate(line):
            met = np.zeros(ways, np.bool_)  # what has never come by is blindness or another way, no chance miss
            met[way[inside[seen[:, column]]]] = True
            gone = inside[proved[:, column] & ~seen[:, column]]
            gone = gone[met[way[gone]] & ~np.isin(packets.protocol[first[gone]], facts[point].cut_protocols)]
            during = _while_open(verdicts, facts[point], gone, inside[seen[:, column]])
            hinted = hinted or 0 < len(gone) - int(during.sum()) <= FEWEST_BEFORE_OPEN
            gone = gone[during]
            missed[point] += len(gone)
            saw[point] += int(seen[:, column].sum())
            passed[point] += len(gone) + int((proved[:, column] & seen[:, column]).sum())
    verdicts.missed, verdicts.passed = missed.tolist(), passed.tolist()
    verdicts.some_missed = bool(missed.any()) or hinted or any(f.kernel_drops for f in facts)
    verdicts.miss_rate = [m / (m + s) if m + s else 0.0 for m, s in zip(missed.tolist(), saw.tolist(), strict=True)]


def _while_open(
    verdicts: Verdicts, facts: PointFacts, gone: NDArray[np.int64], here: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say for tokens that passed a point unseen whether it was capturing: by its clock, or by others that it saw."""
    time = verdicts.time_ns[gone]
    found = np.zeros(len(gone), np.bool_)
    if facts.uncertainty_ns is not None:
        margin = facts.uncertainty_ns + SLACK_NS
        found |= (time > facts.start_ns + margin) & (time < facts.end_ns - margin)
    if len(here):
        found |= (time > verdicts.time_ns[here].min()) & (time < verdicts.time_ns[here].max())
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
    rate = verdicts.miss_rate[point]
    if facts.kernel_drops:
        return max(rate, facts.kernel_drops / (facts.kernel_drops + facts.packets))
    if rate > 0 or facts.kernel_drops is not None or not verdicts.some_missed:
        return rate
    bound = RULE_OF_THREE / (verdicts.passed[point] + RULE_OF_THREE)
    return bound if bound * beyond > NEGLIGIBLE else 0.0
