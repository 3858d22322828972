"""The verdict on every token: a ladder, not a set difference (ALGORITHMS A.10).

A token accuses a segment only if every way in which the capture, the clock or the route could have hidden it is
ruled out.  Whatever remains open is undecided, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.islands import claims_about, find_islands
from orchestrator.core.ladder_kernels import (
    CERTIFIED,
    HOLE,
    PARTLY,
    PASSED_LATER,
    RECUT,
    RESENT,
    SUPERSEDED,
    examine,
    unwrap,
)
from orchestrator.core.members import captured_between
from orchestrator.core.met import come_unseen, never_met
from orchestrator.core.mirrors import touch
from orchestrator.core.misses import count_misses, miss_probability
from orchestrator.core.proxies import claims_across, ends_here, find_proxied, find_streams, up_to_relay
from orchestrator.core.reshaped import CERTAINLY, PERHAPS, find_reshaped
from orchestrator.core.routes import FORWARD, UNKNOWN, routes_in_use
from orchestrator.core.sort import by_group, nearly_sorted, stable_order
from orchestrator.core.spans import find_spans
from orchestrator.core.verdicts import (
    AMBIGUOUS,
    BLIND,
    CONFIRMED,
    EDGE,
    ELSEWHERE,
    LOSSY,
    PROBABLE,
    PROXIED,
    UNDECIDED,
    PointFacts,
    Verdicts,
)
from orchestrator.model.columns import RST, SYN, TCP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.routes import Routes
    from orchestrator.core.spans import Spans
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets

SURE_ENOUGH = 0.999
"""Posterior below which a loss behind a lossy capture stays undecided."""
GAP_SLACK_NS = 200_000
"""How far from a gap in a capture a packet may have passed and still be in it: stamps of mirrors are not exact."""
SLACK_NS = 1_000_000
"""Acknowledgements and copies closer than this are not ordered across points."""


def judge(
    packets: Packets,
    flows: Flows,
    tokens: Tokens,
    routes: Routes,
    corrected_ns: NDArray[np.int64],
    facts: Sequence[PointFacts],
    window: tuple[int, int] | None,
) -> Verdicts:
    """Return the verdict on every token."""
    spans = find_spans(tokens, routes)
    proxied = find_proxied(packets, tokens, spans, flows.count)
    verdicts = _begin(packets, tokens, find_streams(proxied, tokens, flows.count), corrected_ns, window)
    this_side = up_to_relay(proxied, tokens, spans)
    slack = SLACK_NS + 2 * max(f.doubt_ns for f in facts)
    evidence = _examine_missing(packets, tokens, routes, this_side, verdicts, corrected_ns, slack)
    # what a relay acknowledges need not have gone on
    end = np.where(spans.back, tokens.row.shape[1] - 1 - spans.end, spans.end).astype(np.int16)
    verdicts.certified &= ~claims_across(proxied, tokens, spans, end)
    verdicts.proxied = proxied
    verdicts.islands = find_islands(packets, tokens, flows.count)
    count_misses(packets, tokens, routes, verdicts, facts)
    verdicts.reshaped = find_reshaped(packets, flows, tokens, routes, this_side, verdicts, facts)
    groups = routes_in_use(routes)
    for route, direction, members in groups:
        points = routes.points[route] if direction == FORWARD else routes.points[route][::-1]
        if len(points) > 1:
            _judge_group(packets, tokens, routes, verdicts, evidence, corrected_ns, facts, points, members)
    _excuse_proxied(packets, tokens, verdicts)
    claims = verdicts.claims()
    across = claims & claims_across(proxied, tokens, spans, verdicts.missing_at)
    # what was acknowledged got to whoever acknowledges, be it but a relay
    verdicts.withdraw(across | (claims & ((evidence & CERTIFIED) > 0)), PROXIED)
    verdicts.reason[(verdicts.verdict == UNDECIDED) & ends_here(proxied, tokens, spans)] = PROXIED
    verdicts.withdraw(claims_about(verdicts.islands, tokens, verdicts), AMBIGUOUS)
    unknown = (routes.direction == UNKNOWN) & verdicts.counted
    verdicts.withdraw(unknown | come_unseen(packets, tokens, spans, verdicts), BLIND)
    return verdicts


def _excuse_proxied(packets: Packets, tokens: Tokens, verdicts: Verdicts) -> None:
    """Data passes a point that no copy of its SYN passed: a device opened the connection in the peer's name."""
    first = tokens.first_row
    syn = (packets.protocol[first] == TCP) & ((packets.flags[first] & SYN) > 0)
    claimed = np.flatnonzero(syn & verdicts.claims())
    if not len(claimed):
        return
    way = tokens.way
    for point in np.unique(verdicts.missing_at[claimed]).tolist():
        here = tokens.row[:, point] >= 0
        opened = np.unique(way[syn & here])
        passed = np.unique(way[here & ~syn & (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) == 0)])
        odd = claimed[
            (verdicts.missing_at[claimed] == point) & np.isin(way[claimed], passed) & ~np.isin(way[claimed], opened)
        ]
        verdicts.withdraw(odd, PROXIED)


def _begin(
    packets: Packets, tokens: Tokens, stream: NDArray[np.int64], corrected_ns: NDArray[np.int64],
    window: tuple[int, int] | None,
) -> Verdicts:  # fmt: skip
    """Fill in times, stream places and the window."""
    count = len(tokens)
    time = np.full(count, np.iinfo(np.int64).max)
    for point in range(tokens.row.shape[1]):
        row = tokens.row[:, point]
        time = np.where(row >= 0, np.minimum(time, corrected_ns[row]), time)
    start = np.zeros(count, np.int64)
    end = np.zeros(count, np.int64)
    acked = np.full(count, -1, np.int64)
    first = tokens.first_row
    tcp = np.flatnonzero(packets.protocol[first] == TCP)
    streams = int(stream.max() >> 1) + 1 if count else 0
    last, place, opened = np.full((3, streams, 2), -1, np.int64)
    unwrap(
        tcp[nearly_sorted(time[tcp])], first, stream, packets.seq, packets.ack, packets.flags, packets.payload, last,
        place, opened, np.zeros(streams, np.int64), start, end, acked,
    )  # fmt: skip
    counted = np.ones(count, np.bool_) if window is None else (time >= window[0]) & (time <= window[1])
    flag = [np.zeros(count, np.bool_) for _ in range(4)]
    return Verdicts(
        verdict=np.zeros(count, np.uint8), reason=np.zeros(count, np.uint8), last_seen=np.full(count, -1, np.int16),
        missing_at=np.full(count, -1, np.int16), counted=counted, certified=flag[0], superseded=flag[1],
        recovered=flag[2], modified=flag[3], reshaped=np.zeros(count, np.uint8), time_ns=time, start=start, end=end,
        acked=acked, stream=stream,
    )  # fmt: skip


def _masks(tokens: Tokens) -> NDArray[np.uint64]:
    """Return for each token the set of points that saw it, as bits."""
    seen = np.zeros(len(tokens), np.uint64)
    for point in range(tokens.row.shape[1]):
        seen |= (tokens.row[:, point] >= 0).astype(np.uint64) << np.uint64(point)
    return seen


def _examine_missing(
    packets: Packets, tokens: Tokens, routes: Routes, spans: Spans, verdicts: Verdicts,
    corrected_ns: NDArray[np.int64], slack_ns: int,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return by token what copies and acknowledgements say about it, for TCP tokens missing at a route's end.

    Args: *slack_ns* by how much times of different points must differ to tell what came first.
    """
    found = np.zeros(len(tokens), np.uint8)
    tail = np.zeros(len(tokens), np.uint64)
    near = np.zeros(len(tokens), np.uint64)
    for route, direction, members in routes_in_use(routes):
        points = routes.points[route] if direction == FORWARD else routes.points[route][::-1]
        seen = tokens.row[members][:, points] >= 0
        last = len(points) - 1 - np.argmax(seen[:, ::-1], axis=1)
        bits = np.array([1 << p for p in points], np.uint64)
        suffix = np.concatenate((np.cumsum(bits[::-1], dtype=np.uint64)[::-1][1:], [np.uint64(0)])).astype(np.uint64)
        tail[members] = suffix[last] & _within(spans, members, direction, tokens.row.shape[1])
        near[members] = bits[last]
        verdicts.last_seen[members] = np.array(points, np.int16)[last]
    first = tokens.first_row
    tcp = packets.protocol[first] == TCP
    missing = np.flatnonzero((tail > 0) & tcp & verdicts.counted)
    if not len(missing):
        return found
    way = verdicts.stream
    with_bytes = np.flatnonzero(tcp & (verdicts.end > verdicts.start) & ((packets.flags[first] & RST) == 0))
    by_start = with_bytes[stable_order(verdicts.start[with_bytes], way[with_bytes])]
    with_ack = np.flatnonzero(tcp & (verdicts.acked >= 0) & ((packets.flags[first] & RST) == 0))
    by_ack = by_group(with_ack[nearly_sorted(verdicts.time_ns[with_ack])], way)
    highest = _running_highest(verdicts.acked[by_ack], way[by_ack])
    ways = way[missing]
    result = np.zeros(len(missing), np.uint8)
    examine(
        missing, tail[missing], near[missing], verdicts.start, verdicts.end, verdicts.acked, verdicts.time_ns,
        _masks(tokens), by_start, np.searchsorted(way[by_start], ways), np.searchsorted(way[by_start], ways, "right"),
        by_ack, highest, np.searchsorted(way[by_ack], ways ^ 1), np.searchsorted(way[by_ack], ways ^ 1, "right"),
        np.searchsorted(way[by_ack], ways), np.searchsorted(way[by_ack], ways, "right"),
        verdicts.last_seen[missing].astype(np.int64), tokens.row, corrected_ns, slack_ns, result,
    )  # fmt: skip
    found[missing] = result
    verdicts.certified[:] = (found & CERTIFIED) > 0
    verdicts.superseded[:] = (found & SUPERSEDED) > 0
    verdicts.recovered[:] = (found & PASSED_LATER) > 0
    return found


def _within(spans: Spans, members: NDArray[np.int64], direction: int, points: int) -> NDArray[np.uint64]:
    """Return for each token the points up to the end of its span, as bits."""
    every = np.uint64((1 << points) - 1)
    count = (spans.end[members] + 1).astype(np.uint64)
    if direction == FORWARD:
        return every >> (np.uint64(points) - count)
    kept: NDArray[np.uint64] = every & ~(every >> count)
    return kept


def _running_highest(acked: NDArray[np.int64], way: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the running maximum of *acked* that starts anew with every way."""
    if not len(acked):
        return acked
    order = np.cumsum(np.concatenate(([0], (np.diff(way) != 0).astype(np.int64))))
    lifted: NDArray[np.int64] = np.maximum.accumulate(acked + order * (1 << 50)) - order * (1 << 50)
    return lifted


def _judge_group(
    packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts, evidence: NDArray[np.uint8],
    corrected_ns: NDArray[np.int64], facts: Sequence[PointFacts], points: Sequence[int], members: NDArray[np.int64],
) -> None:  # fmt: skip
    """Judge the tokens of one route and direction."""
    seen = tokens.row[members][:, points] >= 0
    last = len(points) - 1 - np.argmax(seen[:, ::-1], axis=1)
    missing = (last < len(points) - 1) & verdicts.counted[members] & ~verdicts.certified[members]
    arrived_otherwise = ((evidence[members] & RECUT) > 0) | (verdicts.reshaped[members] == CERTAINLY)
    verdicts.modified[members[missing & arrived_otherwise]] = True
    missing &= ~arrived_otherwise
    for position in range(len(points) - 1):
        here = np.flatnonzero(missing & (last == position))
        if len(here):
            sent = int((seen[:, position] & verdicts.counted[members]).sum())
            chosen = members[here]
            trusted, hidden, doubt = _trust(
                packets, tokens, routes, verdicts, corrected_ns, facts, points, position, members, seen, chosen
            )
            unsure = tokens.ambiguous[chosen] | ((evidence[chosen] & PARTLY) > 0)
            unsure |= verdicts.reshaped[chosen] == PERHAPS
            strange = never_met(packets, tokens, routes, chosen, trusted)
            _decide(verdicts, evidence, facts, chosen, trusted, hidden, doubt, sent, unsure, strange)


def _trust(
    packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts, corrected_ns: NDArray[np.int64],
    facts: Sequence[PointFacts], points: Sequence[int], position: int, members: NDArray[np.int64],
    seen: NDArray[np.bool_], chosen: NDArray[np.int64],
) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.uint8]]:  # fmt: skip
    """Return by token (first point whose silence counts or -1, chance that all such points missed it, doubt)."""
    near = points[position]
    trusted = np.full(len(chosen), -1, np.int16)
    hidden = np.ones(len(chosen))
    doubt = np.zeros(len(chosen), np.uint8)
    pair, protocol = routes.pair[chosen], packets.protocol[tokens.first_row[chosen]]
    for column in range(position + 1, len(points)):
        far = points[column]
        inside, blind = _inside(tokens, corrected_ns, facts, near, far, members, seen, position, column, chosen)
        known = ~np.isin(pair, [p for p, passed_by in routes.elsewhere if passed_by == far])
        beyond = int((seen[:, column] & ~seen[:, column + 1 :].any(axis=1)).sum()) if column + 1 < len(points) else 0
        chance = miss_probability(facts[far], verdicts, far, beyond)
        told = ~np.isin(protocol, facts[far].cut_protocols)
        counts = inside & known & told & ~blind & (chance < 1.0)
        trusted[counts & (trusted < 0) & (chance == 0.0)] = far
        hidden[counts] = np.minimum(hidden[counts], chance)  # hosts that starve together miss together
        doubt[~inside & (doubt == 0)] = EDGE
        doubt[~told] = BLIND
        doubt[~known] = ELSEWHERE
        doubt[inside & known & (blind | (chance > 0)) & (doubt != ELSEWHERE)] = LOSSY
    fallback = (trusted < 0) & (hidden < 1.0)
    trusted[fallback] = points[position + 1]
    return trusted, hidden, doubt


def _inside(
    tokens: Tokens, corrected_ns: NDArray[np.int64], every: Sequence[PointFacts], near: int, far: int,
    members: NDArray[np.int64], seen: NDArray[np.bool_], position: int, column: int, chosen: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """Say for the tokens *chosen*, last seen at *near*, whether *far* was capturing when they would have passed it.

    Returns (whether it was, whether they may have passed it in a gap of its files).
    """
    facts = every[far]
    sent_at = corrected_ns[tokens.row[chosen, near]]
    both = members[seen[:, position] & seen[:, column]]
    inside = np.zeros(len(sent_at), np.bool_)
    low, high = 0, 1_000_000_000
    if len(both):
        times = corrected_ns[tokens.row[both, near]]
        delay = corrected_ns[tokens.row[both, far]] - times
        quartiles = np.quantile(delay, (0.25, 0.75, 0.999))
        low, high = int(delay.min()), int(quartiles[2] + 3 * (quartiles[1] - quartiles[0]))
        if facts.member is None:
            inside |= (sent_at > times.min()) & (sent_at < times.max())
        else:
            inside |= captured_between(tokens, corrected_ns, facts, near, far, both, chosen)
    if facts.uncertainty_ns is not None:
        margin = facts.uncertainty_ns if not len(both) else 0
        inside |= (sent_at + low - margin >= facts.start_ns) & (sent_at + high + margin <= facts.end_ns)
    slack = GAP_SLACK_NS + every[near].doubt_ns + facts.doubt_ns
    return inside, touch(facts.gaps_ns, sent_at + low - slack, sent_at + high + slack)


def _decide(
    verdicts: Verdicts, evidence: NDArray[np.uint8], facts: Sequence[PointFacts], chosen: NDArray[np.int64],
    trusted: NDArray[np.int16], hidden: NDArray[np.float64], doubt: NDArray[np.uint8], sent: int,
    ambiguous: NDArray[np.bool_], strange: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Write the verdict on the tokens *chosen*, all last seen at one point that *sent* so many.

    *strange* says for which of them the silent point has never seen the client: it may know it by another address.
    """
    found = evidence[chosen]
    expected_false = hidden * max(sent, 1)
    sure = hidden == 0.0
    likely = (trusted >= 0) & (1.0 - expected_false / max(len(chosen), 1) >= SURE_ENOUGH)
    counters = np.array([f.kernel_drops is not None for f in facts] + [False], np.bool_)[trusted]  # -1: the last
    proof = ((found & HOLE) > 0) & ((found & RESENT) > 0)
    verdict = np.where(sure & (counters | proof) & ~strange, CONFIRMED, np.where(likely, PROBABLE, UNDECIDED))
    verdict = np.where(ambiguous, UNDECIDED, verdict)
    reason = np.where(ambiguous, AMBIGUOUS, np.where(doubt > 0, doubt, LOSSY))
    verdicts.verdict[chosen] = verdict
    verdicts.reason[chosen] = np.where(verdict == UNDECIDED, reason, 0)
    verdicts.missing_at[chosen] = np.where(verdict == UNDECIDED, -1, trusted)
