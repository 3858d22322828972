"""Did a missing token arrive in another shape?

What a later point saw and no earlier point did is what a device would have made of a missing token by changing a field
that tells tokens apart, or by translating a flow that nothing else ties together.  Such an arrival at the right time
speaks for a change and against a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.ladder_kernels import arrives_within
from orchestrator.core.routes import UNKNOWN
from orchestrator.core.sort import stable_order
from orchestrator.core.strangers import candidates, origins
from orchestrator.model.columns import RST, TCP
from orchestrator.model.hash_kernels import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.routes import Routes
    from orchestrator.core.spans import Spans
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets

_Came = Callable[
    ["NDArray[np.uint64]", "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"], "NDArray[np.bool_]"
]

CERTAINLY, PERHAPS = 1, 2
"""The same bytes came by; something came by that may be it."""
SLACK_NS = 2_000_000
UNBOUNDED_NS = 10**18
LONGEST_NS = 1_000_000_000
"""Delay assumed where nothing else tells."""


def find_reshaped(
    packets: Packets,
    flows: Flows,
    tokens: Tokens,
    routes: Routes,
    spans: Spans,
    verdicts: Verdicts,
    facts: Sequence[PointFacts],
) -> NDArray[np.uint8]:
    """Return by token CERTAINLY, PERHAPS or 0, for those that are not seen at the end of their way."""
    result = np.zeros(len(tokens), np.uint8)
    first = tokens.first_row
    tcp = packets.protocol[first] == TCP
    reset = tcp & ((packets.flags[first] & RST) > 0)
    known = routes.direction != UNKNOWN
    fresh = np.flatnonzero((spans.entered > 0) & known)
    gone = np.flatnonzero(~spans.at_end & known & verdicts.counted & ~verdicts.certified)
    if not len(fresh):
        return result
    size = packets.payload[first].astype(np.uint64) | reset.astype(np.uint64) << np.uint64(40)
    early, late = _window(facts)

    def came(
        key: NDArray[np.uint64], arrivals: NDArray[np.int64], missing: NDArray[np.int64], beyond: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        return _hits(key, arrivals, missing, beyond, spans, verdicts.time_ns, early, late)

    way = verdicts.stream.astype(np.uint64)
    open_ended = spans.reach[gone] < spans.end[gone]
    number = packets.ip_id[first].astype(np.uint64)
    single = fresh[~tokens.ambiguous[fresh]]
    for sign, usable, arrivals, beyond in (
        (np.uint64(0), open_ended, fresh, spans.reach),
        # where its neighbours go on unchanged, a changed packet keeps its identification or its payload
        (np.uint64(0), ~tcp[gone] & (number[gone] == 0), single, spans.left),
        (number + np.uint64(1), ~tcp[gone] & (number[gone] > 0), fresh, spans.left),
        (packets.digest[first], ~tcp[gone] & (packets.digest[first[gone]] > 0), fresh, spans.left),
    ):
        some = gone[usable]
        result[some[came(_key(way, size, sign), arrivals, some, beyond)]] = PERHAPS
    data = gone[tcp[gone] & ~reset[gone] & (size[gone] > 0)]
    result[data[came(_key(way, size, verdicts.start.astype(np.uint64)), fresh, data, spans.left)]] = CERTAINLY
    _mark_born(packets, flows, tokens, spans, fresh[reset[fresh]], np.flatnonzero(reset & known), came, result)
    lonely = gone[(result[gone] == 0) & open_ended]
    for mine, others in candidates(packets, flows, tokens, spans, lonely, fresh):
        result[mine[came(size, others, mine, spans.reach)]] = PERHAPS
    return result


def _mark_born(
    packets: Packets, flows: Flows, tokens: Tokens, spans: Spans, born: NDArray[np.int64],
    resets: NDArray[np.int64], came: _Came, result: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Mark resets that begin on the way and may be others that a device translated: nobody need have made them."""
    nothing = np.zeros(len(result), np.uint64)
    for mine, others in origins(packets, flows, tokens, spans, born, resets):
        came_from = came(nothing, mine, others, spans.left)
        if came_from.any():
            result[mine] = PERHAPS


def _window(facts: Sequence[PointFacts]) -> tuple[int, int]:
    """Return how much sooner and later than a token was last seen its other shape may come by."""
    known = [f.uncertainty_ns for f in facts if f.uncertainty_ns is not None]
    if len(known) < len(facts):
        return UNBOUNDED_NS, UNBOUNDED_NS
    doubt = 2 * max(known, default=0)
    return doubt + SLACK_NS, doubt + LONGEST_NS


def _key(
    way: NDArray[np.uint64], size: NDArray[np.uint64], place: NDArray[np.uint64] | np.uint64
) -> NDArray[np.uint64]:
    """Return a hash of three numbers."""
    state = (way * GOLDEN) ^ size
    state = (state ^ (state >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) ^ place
    mixed: NDArray[np.uint64] = (state ^ (state >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return mixed


def _hits(
    key: NDArray[np.uint64], fresh: NDArray[np.int64], gone: NDArray[np.int64], beyond: NDArray[np.int64], spans: Spans,
    time_ns: NDArray[np.int64], early: int, late: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for each token of *gone* whether one of *fresh* with its key came at the right time *beyond* a place."""
    hit = np.zeros(len(gone), np.bool_)
    order = fresh[stable_order(time_ns[fresh], key[fresh])]
    keys = key[order]
    low, high = np.searchsorted(keys, key[gone]), np.searchsorted(keys, key[gone], "right")
    arrives_within(low, high, time_ns[order], spans.entered[order], time_ns[gone], beyond[gone], early, late, hit)
    return hit
