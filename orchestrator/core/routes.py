"""Which points a token should meet, and in which direction it travels.

A route is a tuple of points in path order.  With an inventory it comes from the planned paths; without one a flow's
route is the points that saw the flow, or its (translated) address pair, in that direction.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.sort import stable_order
from orchestrator.model.columns import ACK, RST, SYN, TCP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.columns import Packets
    from orchestrator.model.plan import PlannedPath

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARD, UNKNOWN, REVERSE = 1, 0, -1
CLOSE_NS = 100_000_000
"""Packets of both directions this close in time are compared when TTL tells nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Directions and routes. Arrays by token."""

    direction: NDArray[np.int8]
    """FORWARD (path order), REVERSE or UNKNOWN."""
    route: NDArray[np.int32]
    """Index into ``points``; -1 where the direction is unknown."""
    points: tuple[tuple[int, ...], ...]
    """Routes in path order, as point numbers."""
    planned: tuple[bool, ...]
    """By route: whether an inventory says so."""
    pair: NDArray[np.int32]
    """Address pair the token belongs to, translations united."""
    elsewhere: frozenset[tuple[int, int]]
    """(pair, point) that the pair's answers demonstrably pass by."""
    hidden: frozenset[tuple[int, int]] = frozenset()
    """(pair, point) that the pair passes inside an encrypted tunnel (core.hidden)."""
    flow_direction: NDArray[np.int8] = field(repr=False)
    """By flow: the direction of its bit 0."""


def find_routes(
    packets: Packets,
    flows: Flows,
    tokens: Tokens,
    paths: Sequence[PlannedPath],
    numbers: Mapping[str, int],
    points: int,
) -> Routes:
    """Return routes and directions of *tokens*; *numbers* gives a point's number by name."""
    pair_of_flow = _address_pairs(packets, flows)
    path_of_pair, planned_direction = _planned(packets, flows, paths, pair_of_flow)
    flow_direction = planned_direction.copy()
    for decide in (_by_ttl, _by_address, _by_time, _by_address, _by_opener):
        undecided = flow_direction == UNKNOWN
        if undecided.any():
            flow_direction = np.where(undecided, decide(packets, flows, tokens, flow_direction), flow_direction)
    turned = np.where(tokens.bit == 0, 1, -1).astype(np.int8)
    direction = (flow_direction[tokens.flow] * turned).astype(np.int8)
    pair = pair_of_flow[tokens.flow]
    return _routes(tokens, direction, pair, path_of_pair, paths, numbers, points, packets, flow_direction)


def _address_pairs(packets: Packets, flows: Flows) -> NDArray[np.int32]:
    """Return for each flow the number of its address pair; pairs that one translated flow carries are one."""
    rows = flows.tuples
    ends = np.stack((packets.src_hi[rows], packets.src_lo[rows], packets.dst_hi[rows], packets.dst_lo[rows]), axis=1)
    swapped = packets.swapped[rows] == 1
    ends[swapped] = ends[swapped][:, [2, 3, 0, 1]]
    smaller = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    ends[smaller] = ends[smaller][:, [2, 3, 0, 1]]
    _, pair_of_tuple = np.unique(ends, axis=0, return_inverse=True)
    pair_of_tuple = pair_of_tuple.reshape(-1)
    parent = list(range(int(pair_of_tuple.max()) + 1 if len(pair_of_tuple) else 0))

    def root(x: int) -> int:
        while parent[x] != x:
            x = parent[x]
        return x

    first: dict[int, int] = {}
    for flow, pair in zip(flows.of_tuple.tolist(), pair_of_tuple.tolist(), strict=True):
        known = first.setdefault(flow, pair)
        if known != pair:
            parent[root(pair)] = root(known)
    result = np.zeros(flows.count, np.int32)
    for flow, pair in first.items():
        result[flow] = root(pair)
    return result


def address(high: int, low: int, family: int) -> Address:
    """Return the address of two halves."""
    return ipaddress.IPv4Address(low) if family == 4 else ipaddress.IPv6Address((high << 64) | low)  # noqa: PLR2004


def _planned(
    packets: Packets, flows: Flows, paths: Sequence[PlannedPath], pair_of_flow: NDArray[np.int32]
) -> tuple[dict[int, int], NDArray[np.int8]]:
    """Return (planned path by pair, direction of bit 0 by flow as the inventory says)."""
    direction = np.zeros(flows.count, np.int8)
    path_of_pair: dict[int, int] = {}
    if not paths:
        return path_of_pair, direction
    near = [[ipaddress.ip_network(a, strict=False) for a in p.client_addresses] for p in paths]
    far = [[ipaddress.ip_network(a, strict=False) for a in p.server_addresses] for p in paths]
    known: dict[tuple[Address, Address], tuple[int, int]] = {}
    for row, flow in zip(flows.tuples.tolist(), flows.of_tuple.tolist(), strict=True):
        family = int(packets.family[row])
        source = address(int(packets.src_hi[row]), int(packets.src_lo[row]), family)
        target = address(int(packets.dst_hi[row]), int(packets.dst_lo[row]), family)
        if (source, target) not in known:
            known[source, target] = _path_between(source, target, near, far)
        path, sign = known[source, target]
        if sign:
            path_of_pair.setdefault(int(pair_of_flow[flow]), path)
            direction[flow] = sign if flows.bit[row] == 0 else -sign
    return path_of_pair, direction


def _path_between(
    source: Address, target: Address, near: list[list[Network]], far: list[list[Network]]
) -> tuple[int, int]:
    """Return (path, direction of source to target), (-1, 0) when no path has these ends."""
    for index, (clients, servers) in enumerate(zip(near, far, strict=True)):
        if any(source in n for n in clients) and any(target in n for n in servers):
            return index, FORWARD
        if any(target in n for n in clients) and any(source in n for n in servers):
            return index, REVERSE
    return -1, UNKNOWN


def _by_ttl(packets: Packets, flows: Flows, tokens: Tokens, known: NDArray[np.int8]) -> NDArray[np.int8]:
    """Every router takes one from the TTL: packets travel from the higher to the lower."""
    del known
    votes = np.zeros(flows.count, np.int64)
    points = tokens.row.shape[1]
    for near in range(points - 1):
        for far in range(near + 1, points):
            both = np.flatnonzero((tokens.row[:, near] >= 0) & (tokens.row[:, far] >= 0))
            before = packets.ttl[tokens.row[both, near]].astype(np.int16)
            after = packets.ttl[tokens.row[both, far]].astype(np.int16)
            sign = np.sign(before - after) * np.where(tokens.bit[both] == 0, 1, -1)
            votes += np.bincount(tokens.flow[both], weights=sign, minlength=flows.count).astype(np.int64)
    return np.sign(votes).astype(np.int8)


def _by_address(packets: Packets, flows: Flows, tokens: Tokens, known: NDArray[np.int8]) -> NDArray[np.int8]:
    """An address that lies on one side in other flows lies there in this one."""
    del tokens
    side: dict[tuple[int, int], int] = {}
    rows = flows.tuples
    sign = np.where(flows.bit[rows] == 0, 1, -1) * known[flows.of_tuple]
    source = list(zip(packets.src_hi[rows].tolist(), packets.src_lo[rows].tolist(), strict=True))
    target = list(zip(packets.dst_hi[rows].tolist(), packets.dst_lo[rows].tolist(), strict=True))
    for s, t, direction in zip(source, target, sign.tolist(), strict=True):
        side[s] = side.get(s, 0) + direction
        side[t] = side.get(t, 0) - direction
    result = np.zeros(flows.count, np.int8)
    bits = flows.bit[rows].tolist()
    for s, t, flow, bit in zip(source, target, flows.of_tuple.tolist(), bits, strict=True):
        near = int(np.sign(side.get(s, 0))) or -int(np.sign(side.get(t, 0)))
        if near and not result[flow]:
            result[flow] = near if bit == 0 else -near
    return result


def _by_time(packets: Packets, flows: Flows, tokens: Tokens, known: NDArray[np.int8]) -> NDArray[np.int8]:
    """Of two neighbouring packets in opposite directions, the one towards the far point shows the larger difference."""
    votes = np.zeros(flows.count, np.int64)
    points = tokens.row.shape[1]
    open_flow = known == UNKNOWN
    for near in range(points - 1):
        for far in range(near + 1, points):
            both = np.flatnonzero((tokens.row[:, near] >= 0) & (tokens.row[:, far] >= 0) & open_flow[tokens.flow])
            at = packets.time_ns[tokens.row[both, near]]
            order = stable_order(at, tokens.flow[both])
            both, at = both[order], at[order]
            difference = packets.time_ns[tokens.row[both, far]] - at
            flow, bit = tokens.flow[both], tokens.bit[both]
            facing = (flow[1:] == flow[:-1]) & (bit[1:] != bit[:-1]) & (np.diff(at) < CLOSE_NS)
            larger = np.sign(np.diff(difference)) * np.where(bit[1:] == 0, 1, -1)
            votes += np.bincount(flow[1:][facing], weights=larger[facing], minlength=flows.count).astype(np.int64)
    return np.sign(votes).astype(np.int8)


def _by_opener(packets: Packets, flows: Flows, tokens: Tokens, known: NDArray[np.int8]) -> NDArray[np.int8]:
    """Whoever opens a connection, or speaks first, is taken for the client, who sits before the first point."""
    del known
    first = tokens.first_row
    result = np.zeros(flows.count, np.int8)
    if not len(first):
        return result
    is_tcp = packets.protocol[first] == TCP
    flags = packets.flags[first]
    answer = is_tcp & ((flags & (SYN | ACK)) == (SYN | ACK))
    opening = is_tcp & ((flags & (SYN | ACK)) == SYN)
    clear = ~(is_tcp & ((flags & RST) > 0))
    for chosen in (clear, answer, opening):  # the clearer sign overwrites the weaker one
        rows = np.flatnonzero(chosen)
        rows = rows[np.argsort(-packets.time_ns[first[rows]], kind="stable")]
        sign = np.where(tokens.bit[rows] == 0, 1, -1)
        result[tokens.flow[rows]] = np.where(answer[rows], -sign, sign)
    return result


def _routes(
    tokens: Tokens, direction: NDArray[np.int8], pair: NDArray[np.int32], path_of_pair: dict[int, int],
    paths: Sequence[PlannedPath], numbers: Mapping[str, int], points: int, packets: Packets,
    flow_direction: NDArray[np.int8],
) -> Routes:  # fmt: skip
    """Number the distinct routes and give each token one."""
    known = direction != UNKNOWN
    pairs = int(pair.max()) + 1 if len(pair) else 0
    way = pair.astype(np.int64) * 2 + (direction == REVERSE)
    seen = tokens.row >= 0
    covered = np.zeros((2 * pairs, points), bool)
    answered = np.zeros((2 * pairs, points), bool)
    not_reset = known & ~((packets.protocol[tokens.first_row] == TCP) & ((packets.flags[tokens.first_row] & RST) > 0))
    for point in range(points):
        covered[way[known & seen[:, point]], point] = True
        answered[way[not_reset & seen[:, point]], point] = True
    used = np.unique(way[known])
    path_of_way = np.array([path_of_pair.get(owner, -1) for owner in range(pairs)], np.int64).repeat(2)
    alike = np.concatenate((path_of_way[used, None], covered[used], answered[used ^ 1], used[:, None] & 1), axis=1)
    kinds, first, kind_of_way = np.unique(alike, axis=0, return_index=True, return_inverse=True)
    listed: dict[tuple[tuple[int, ...], bool], int] = {}
    route_of_kind = np.full(len(kinds), -1, np.int32)
    elsewhere: set[tuple[int, int]] = set()
    for kind in np.argsort(first).tolist():
        number = int(used[first[kind]])
        chosen = set(np.flatnonzero(covered[number]).tolist())
        path = path_of_pair.get(number // 2)
        if path is not None:
            on_path = {numbers[name] for name in paths[path].points if name in numbers}
            chosen |= on_path
            passed_by = _passed_by(on_path, np.flatnonzero(answered[number ^ 1]), number)
            owners = (used[kind_of_way.reshape(-1) == kind] // 2).tolist() if passed_by else []
            elsewhere |= {(owner, point) for owner in owners for point in passed_by}
        key = (tuple(sorted(chosen)), path is not None)
        route_of_kind[kind] = listed.setdefault(key, len(listed))
    route_of_way = np.full(2 * pairs, -1, np.int32)
    route_of_way[used] = route_of_kind[kind_of_way.reshape(-1)]
    route = np.where(known, route_of_way[np.where(known, way, 0)] if pairs else -1, -1).astype(np.int32)
    return Routes(
        direction=direction, route=route, points=tuple(k[0] for k in listed), planned=tuple(k[1] for k in listed),
        pair=pair, elsewhere=frozenset(elsewhere), flow_direction=flow_direction,
    )  # fmt: skip


def _passed_by(on_path: set[int], answered: NDArray[np.int64], way: int) -> set[int]:
    """Return the points that the opposite direction of *way* has demonstrably passed by.

    It shows farther along its own travel without having shown at the point; where it ends before the point, it tells
    nothing: a firewall may have stopped it there.
    """
    seen = set(answered.tolist()) & on_path
    against_path = way % 2 == 0
    return {p for p in on_path - seen if any(q < p if against_path else q > p for q in seen)}


def routes_in_use(routes: Routes) -> list[tuple[int, int, NDArray[np.int64]]]:
    """Return (route, direction, tokens) for every route and direction in use."""
    found = []
    for route in range(len(routes.points)):
        for direction in (FORWARD, REVERSE):
            members = np.flatnonzero((routes.route == route) & (routes.direction == direction))
            if len(members):
                found.append((route, direction, members))
    return found
