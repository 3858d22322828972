"""Where each reset was born, what kind of sender made it, and who really sent it (ALGORITHMS D.1, D.2)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.reset_causes import Cause, Signs, name_cause
from orchestrator.core.mirrors import touch
from orchestrator.core.misses import LONGEST_DELAY_NS
from orchestrator.core.routes import FORWARD, REVERSE, UNKNOWN, address
from orchestrator.core.sort import by_group, nearly_sorted
from orchestrator.core.verdicts import KINDS
from orchestrator.model.columns import ACK, FIN, MARK_OPTIONS, MARK_TIMESTAMPS, RST, SYN, TCP
from orchestrator.model.finding import Burst, Family, FlowKey, Origin, Reset, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets

BURST_NS = 50_000_000
"""Resets of one host closer than this are one event."""
PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}
MOST_RESETS = 10_000


def flow_key(packets: Packets, row: int) -> FlowKey:
    """Return the five-tuple of a packet."""
    family = int(packets.family[row])
    return FlowKey(
        protocol=PROTOCOLS.get(int(packets.protocol[row]), f"ip-{int(packets.protocol[row])}"),
        src=_written(int(packets.src_hi[row]), int(packets.src_lo[row]), family),
        sport=int(packets.sport[row]),
        dst=_written(int(packets.dst_hi[row]), int(packets.dst_lo[row]), family),
        dport=int(packets.dport[row]),
    )


@functools.lru_cache(maxsize=1 << 16)
def _written(high: int, low: int, family: int) -> str:
    """Return an address as text; a few stand in most flows."""
    return str(address(high, low, family))


class _Context:
    """What all resets of a run share: tokens by flow, for profiles of the claimed sender."""

    def __init__(self, packets: Packets, tokens: Tokens, verdicts: Verdicts) -> None:
        self.packets, self.tokens, self.verdicts = packets, tokens, verdicts
        way = self.way = verdicts.stream
        self.order = by_group(nearly_sorted(verdicts.time_ns), way)
        self.sorted_way = way[self.order]

    def same_way(self, way: int) -> NDArray[np.int64]:
        """Return the tokens of one flow direction, in time order."""
        low, high = np.searchsorted(self.sorted_way, (way, way + 1))
        return self.order[low:high]


def locate_resets(
    packets: Packets,
    tokens: Tokens,
    routes: Routes,
    verdicts: Verdicts,
    kind: NDArray[np.uint8],
    facts: Sequence[PointFacts],
    names: Sequence[str],
    frames: NDArray[np.int64],
) -> list[Reset]:
    """Return one entry a RST token, in time order."""
    chosen = np.flatnonzero((kind == KINDS.index("rst")) & verdicts.counted)
    chosen = chosen[np.argsort(verdicts.time_ns[chosen], kind="stable")][:MOST_RESETS]
    if not len(chosen):
        return []
    context = _Context(packets, tokens, verdicts)
    return [_reset(int(t), context, routes, facts, names, frames) for t in chosen]


def _reset(
    token: int, context: _Context, routes: Routes, facts: Sequence[PointFacts], names: Sequence[str],
    frames: NDArray[np.int64],
) -> Reset:  # fmt: skip
    """Describe one reset."""
    packets, tokens = context.packets, context.tokens
    direction = int(routes.direction[token])
    route = routes.points[routes.route[token]] if direction != UNKNOWN else tuple(range(tokens.row.shape[1]))
    line = route if direction != REVERSE else route[::-1]
    seen = [p for p in line if tokens.row[token, p] >= 0]
    first = seen[0]
    row = int(tokens.row[token, first])
    upstream = list(line[: line.index(first)]) if direction != UNKNOWN else []
    after, evidence, confidence = _born_after(token, upstream, context, routes, facts, names)
    own = context.same_way(int(context.way[token]))
    if after is not None and _has_twin(packets, tokens, own, token, after):
        after = None
        evidence.append("one of several that are alike, and another of them was seen nearer to its claimed sender")
    if after is not None and context.verdicts.proxied.ends[tokens.flow[token]].any():
        after = None
        evidence.append("its connection ends on the way and begins anew: a relay speaks for both ends")
    if after is not None and _comes_changed(context, token, first, line[: line.index(first)]):
        after = None
        evidence.append(
            "the packets before it come from there too, and no point there saw any of them: they look otherwise there"
        )
    if context.verdicts.reshaped[token]:
        after = None
        evidence.append("may be one that a device on the way translated")
    family = _family(packets, row)
    own = own[(own != token) & (tokens.row[own, first] >= 0)]
    ttl_differs = _compare_ttl(packets, tokens, own, row, first, evidence)
    origin = _origin(direction, first, line, after, ttl_differs=ttl_differs)
    evidence.append(
        {"active": "made by a live socket", "stateless": "made without a socket"}.get(family, "maker unclear")
    )
    cause = _cause(context, token, row, own, origin, family)
    side: Side = "client" if direction == FORWARD else "server" if direction == REVERSE else "unknown"
    return Reset(
        flow=flow_key(packets, row), time_ns=int(context.verdicts.time_ns[token]), first_seen=names[first],
        seen=tuple(names[p] for p in seen), born_after=None if after is None else names[after],
        born_before=names[first], origin=origin, family=family,
        cause=cause.name, supports=cause.supports, against=cause.against, would_decide=cause.would_decide,
        confidence=round(confidence, 4),
        evidence=tuple(evidence), side=side,
        frames=tuple((names[p], (int(frames[tokens.row[token, p]]),)) for p in seen),
    )  # fmt: skip


def _comes_changed(context: _Context, token: int, first: int, upstream: Sequence[int]) -> bool:
    """Say whether *first* saw packets of a reset's connection and direction, and none of them was seen *upstream*.

    They come from there in another shape, and so may it.  A SYN tells nothing: a device that answers in the peer's name
    passes it on as it is and changes all that follows.
    """
    packets, tokens = context.packets, context.tokens
    way = int(tokens.way[token])
    if context.verdicts.islands[[[way], [way ^ 1]], [first, *upstream]].any():
        return True
    own = context.same_way(int(context.way[token]))
    own = own[(packets.flags[tokens.first_row[own]] & (RST | SYN)) == 0]
    own = own[tokens.row[own, first] >= 0]
    return bool(len(own)) and not (tokens.row[own][:, upstream] >= 0).any()


def _born_after(
    token: int,
    upstream: list[int],
    context: _Context,
    routes: Routes,
    facts: Sequence[PointFacts],
    names: Sequence[str],
) -> tuple[int | None, list[str], float]:
    """Return (last sound point nearer to the claimed sender that did not see it, evidence, confidence)."""
    evidence: list[str] = []
    time = int(context.verdicts.time_ns[token])
    doubt = 1.0
    after = None
    for point in reversed(upstream):
        rate = max(context.verdicts.miss_rate[point], context.verdicts.suspected[point])
        fact = facts[point]
        open_then = fact.uncertainty_ns is not None and fact.start_ns <= time <= fact.end_ns
        watches = (int(routes.pair[token]), point) not in routes.elsewhere
        if not (open_then and watches and fact.complete and TCP not in fact.cut_protocols) or _in_gap(fact, time):
            continue
        lossy = bool(fact.kernel_drops) or rate > 0
        doubt *= max(rate, 0.01) if lossy else 0.001
        if after is None and not lossy:
            after = point
        evidence.append(f"not seen at {names[point]}, nearer to its claimed sender")
    return after, evidence, (1.0 - doubt if upstream else 0.9)


def _in_gap(fact: PointFacts, time_ns: int) -> bool:
    """Say whether a point's files or its mirror have a gap around *time_ns*."""
    margin = LONGEST_DELAY_NS + (fact.uncertainty_ns or 0)
    return bool(touch(fact.gaps_ns, np.array([time_ns - margin]), np.array([time_ns + margin]))[0])


def _has_twin(packets: Packets, tokens: Tokens, own: NDArray[np.int64], token: int, point: int) -> bool:
    """Say whether *point* saw a reset that differs from *token* in nothing."""
    row = int(tokens.first_row[token])
    seen = tokens.row[own, point]
    others = seen[(seen >= 0) & (own != token)]
    alike = [c[others] == c[row] for c in (packets.flags, packets.seq, packets.ack, packets.ip_id, packets.window)]
    return bool(np.logical_and.reduce(alike).any())


def _compare_ttl(
    packets: Packets, tokens: Tokens, own: NDArray[np.int64], row: int, first: int, evidence: list[str]
) -> bool | None:
    """Compare the TTL with the claimed sender's other packets at the same point; None where there are none."""
    if not len(own):
        return None
    values, counts = np.unique(packets.ttl[tokens.row[own, first]], return_counts=True)
    usual, ttl = int(values[np.argmax(counts)]), int(packets.ttl[row])
    if ttl == usual:
        evidence.append(f"TTL {ttl}, as its claimed sender's other packets")
        return False
    evidence.append(f"TTL {ttl} where its claimed sender's other packets have {usual}")
    return True


def _origin(direction: int, first: int, line: Sequence[int], after: int | None, *, ttl_differs: bool | None) -> Origin:
    """Say whether the claimed sender made it: endpoint, network or unknown."""
    if direction == UNKNOWN:
        return "unknown"
    if after is not None:
        return "network"
    if first != line[0]:
        return "unknown"  # points nearer to the sender did not see it, but none of them is sound
    return "unknown" if ttl_differs else "endpoint"


def _family(packets: Packets, row: int) -> Family:
    """Say whether a socket was aborted (active) or none existed (stateless)."""
    marks = int(packets.marks[row])
    if marks & MARK_TIMESTAMPS or (int(packets.flags[row]) & ACK and int(packets.window[row]) > 0):
        return "active"
    if not marks & MARK_OPTIONS and int(packets.window[row]) == 0 and int(packets.ip_id[row]) == 0:
        return "stateless"
    return "unknown"


def _cause(context: _Context, token: int, row: int, own: NDArray[np.int64], origin: str, family: str) -> Cause:
    """Gather the signs around a reset and name its cause."""
    packets, tokens, times = context.packets, context.tokens, context.verdicts.time_ns
    other = context.same_way(int(context.way[token]) ^ 1)
    first, now = tokens.first_row, times[token]
    before = other[times[other] <= now]
    only_syn = len(before) > 0 and bool(((packets.flags[first[before]] & (SYN | ACK)) == SYN).all())
    fins = own[(times[own] <= now) & ((packets.flags[first[own]] & FIN) != 0)]
    late = before[times[before] >= times[fins].min()] if len(fins) else before[:0]
    new = (packets.seq[first[own]] - packets.seq[row]).view(np.int32)  # sequence numbers wrap
    # farther on than the reset itself: what was sent again, or merely overtaken by it, proves nothing
    more = (times[own] > now + LONGEST_DELAY_NS) & (packets.payload[first[own]] > 0) & (new > 0)
    return name_cause(
        Signs(
            origin=origin, family=family, ttl=int(packets.ttl[row]),
            answers_syn=only_syn and not len(own) and bool(int(packets.flags[row]) & ACK), finished=bool(len(fins)),
            data_after_fin=int((packets.payload[first[late]] > 0).sum()), sent_after=int(more.sum()),
        )
    )  # fmt: skip


def find_bursts(resets: Sequence[Reset], tokens: Tokens, packets: Packets, verdicts: Verdicts) -> list[Burst]:
    """Return events in which one host reset several flows at once, and how many of its flows lived on."""
    hosts: dict[str, list[Reset]] = {}
    for reset in resets:
        if reset.origin != "network":
            hosts.setdefault(reset.flow.src, []).append(reset)
    found: list[Burst] = []
    spans: dict[tuple[str, FlowKey], tuple[int, int]] = {}
    for host, mine in hosts.items():
        groups: list[list[Reset]] = []
        for reset in mine:
            if groups and reset.time_ns - groups[-1][-1].time_ns <= BURST_NS:
                groups[-1].append(reset)
            else:
                groups.append([reset])
        wide = [g for g in groups if len({r.flow for r in g}) > 1]
        if wide and not spans:
            spans = _flow_spans(tokens, packets, verdicts)
        found += [_burst(host, group, spans) for group in wide]
    return sorted(found, key=lambda b: b.time_ns)


def _burst(host: str, group: list[Reset], spans: dict[tuple[str, FlowKey], tuple[int, int]]) -> Burst:
    """Count one event."""
    time = group[0].time_ns
    ended = {r.flow for r in group}
    opened = {f for (h, f), (begin, end) in spans.items() if h == host and begin <= time <= end + BURST_NS}
    others = {f for f in opened - ended if spans[host, f][1] > group[-1].time_ns + BURST_NS}
    return Burst(
        host=host, time_ns=time, flows=len(ended), servers=len({r.flow.dst for r in group}),
        open_flows=len(ended | others), survivors=len(others), spread_ns=group[-1].time_ns - time,
    )  # fmt: skip


def _flow_spans(tokens: Tokens, packets: Packets, verdicts: Verdicts) -> dict[tuple[str, FlowKey], tuple[int, int]]:
    """Return first and last time of each TCP flow direction, by its source."""
    first = tokens.first_row
    tcp = np.flatnonzero(packets.protocol[first] == 6)  # noqa: PLR2004
    order = by_group(tcp[nearly_sorted(verdicts.time_ns[tcp])], tokens.way)
    ordered = tokens.way[order]
    begins = np.flatnonzero(np.concatenate(([True], np.diff(ordered) != 0))) if len(order) else np.empty(0, np.int64)
    ends = np.append(begins[1:], len(order)) - 1
    spans = {}
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=False):
        key = flow_key(packets, int(first[order[begin]]))
        spans[key.src, key] = (int(verdicts.time_ns[order[begin]]), int(verdicts.time_ns[order[end]]))
    return spans
