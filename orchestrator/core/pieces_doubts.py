"""What may have arrived in pieces that a point did not see all of, or that nobody could put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.mirrors import touch
from orchestrator.core.misses import miss_probability
from orchestrator.core.pieces import NONE, transport_bytes
from orchestrator.core.verdicts import AMBIGUOUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.fragments import Joined
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets

USUAL_PIECES = 8
"""So many times as likely as a packet may a datagram be missed."""
MOST_ADDED = 200
"""Bytes of headers that tunnels put before what they carry."""
SPREADS, LEAST_EDGE_NS = 4, 2_000_000
"""How many times as far apart as any that were put together the fragments of a datagram may be where a capture ends."""


def mark_unsure(packets: Packets, tokens: Tokens, joined: Joined, origin: NDArray[np.int64]) -> None:
    """Make those tokens ambiguous that some point may have seen in pieces that nobody could put together.

    They prove no capture to miss packets either. Args: origin by row as of core.supers.Expanded.
    """
    if not len(joined.unsure):
        return
    first = tokens.first_row
    length = transport_bytes(packets, first)
    told = (packets.ip_id[first] != 0) & ~tokens.unnumbered[tokens.way]
    meant = np.isin(_names(packets, first), joined.unsure)
    near = (length > _limits(tokens, joined, origin)[tokens.way]) & (length > joined.least[packets.protocol[first]])
    tokens.ambiguous |= (told & meant) | (~told & near)


def excuse_pieces(
    packets: Packets, tokens: Tokens, verdicts: Verdicts, facts: Sequence[PointFacts], corrected_ns: NDArray[np.int64],
    joined: Joined, origin: NDArray[np.int64],
) -> None:  # fmt: skip
    """Leave undecided datagrams of which the silent point may have captured but a part, or pieces of their tunnel.

    A capture that misses packets misses datagrams of several more often: its rate is not theirs. Args: origin by row
    as of core.supers.Expanded.
    """
    claimed = np.flatnonzero(verdicts.claims())
    if not len(claimed):
        return
    first = tokens.first_row[claimed]
    cut = transport_bytes(packets, first) > _limits(tokens, joined, origin)[tokens.way[claimed]]
    cut |= np.isin(_names(packets, first), joined.partial)
    doubted = _may_miss(verdicts, facts)[verdicts.missing_at[claimed]]
    slack = SPREADS * joined.spread_ns + LEAST_EDGE_NS
    doubted |= _near_edges(tokens, verdicts, facts, corrected_ns, claimed, slack)
    # what a tunnel carries in pieces, no point sees
    carried = transport_bytes(packets, first) + MOST_ADDED > joined.shells[verdicts.missing_at[claimed]]
    excused = claimed[(cut & doubted) | carried]
    verdicts.withdraw(excused, AMBIGUOUS)


def _names(packets: Packets, rows: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Return protocol and identification of *rows* as core.fragments does."""
    name: NDArray[np.uint32] = packets.protocol[rows].astype(np.uint32) << np.uint32(16)
    return name | packets.ip_id[rows].astype(np.uint32)


def _limits(tokens: Tokens, joined: Joined, origin: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return by flow direction the transport bytes up to which nothing of it was cut at any point."""
    shortest = np.append(joined.shortest, NONE)
    found = np.full(len(tokens.unnumbered), NONE)
    for point in range(tokens.row.shape[1]):
        row = tokens.row[:, point]
        seen = np.flatnonzero(row >= 0)
        np.minimum.at(found, tokens.way[seen], shortest[joined.conversation[origin[row[seen]]]])
    return found


def _may_miss(verdicts: Verdicts, facts: Sequence[PointFacts]) -> NDArray[np.bool_]:
    """Say by point whether it may have captured but a part of what passed it."""
    last = np.bincount(verdicts.last_seen[verdicts.last_seen >= 0], minlength=len(facts)) * USUAL_PIECES
    chance = [miss_probability(f, verdicts, k, int(last[k])) for k, f in enumerate(facts)]
    return np.array(chance) > 0


def _near_edges(
    tokens: Tokens, verdicts: Verdicts, facts: Sequence[PointFacts], corrected_ns: NDArray[np.int64],
    claimed: NDArray[np.int64], slack_ns: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Say which tokens were sent when the silent point may not have captured all of their fragments.

    Between the first and the last packet that both points saw it did, whatever their clocks show, but for its gaps.
    """
    near, far = verdicts.last_seen[claimed], verdicts.missing_at[claimed]
    found = np.ones(len(claimed), np.bool_)
    for a, b in np.unique(np.stack((near, far), axis=1), axis=0).tolist():
        both = np.flatnonzero((tokens.row[:, a] >= 0) & (tokens.row[:, b] >= 0))
        if not len(both):
            continue
        here = np.flatnonzero((near == a) & (far == b))
        sent, shared = corrected_ns[tokens.row[claimed[here], a]], corrected_ns[tokens.row[both, a]]
        delay = corrected_ns[tokens.row[both, b]] - shared
        slack = slack_ns + facts[a].doubt_ns + facts[b].doubt_ns
        early, late = sent + delay.min() - slack, sent + delay.max() + slack
        in_gap = touch(facts[b].gaps_ns, early, late)
        if facts[b].members > 1:  # fragments may take any of its interfaces
            in_gap |= (early < facts[b].start_ns) | (late > facts[b].end_ns)
        found[here] = in_gap | (sent - slack_ns < shared.min()) | (sent + slack_ns > shared.max())
    return found
