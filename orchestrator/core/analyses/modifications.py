"""Which header fields change on a segment, in how many packets, and from what to what (ALGORITHMS A.3).

Packets seen at both ends are compared as they were captured; what makes them one packet is the same by definition.
A TTL that falls by the usual number of hops is routing, and no modification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from orchestrator.core.analyses.fields_kernels import DSCP, ECN, FIELDS, compare_fields
from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.analyses.reshaped_fields import header_changes
from orchestrator.core.reshaped import CERTAINLY
from orchestrator.core.routes import address
from orchestrator.model.changes import Change, Field, Modification
from orchestrator.model.hash_kernels import GOLDEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.passage import Passage
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets

NAMES: tuple[Field, ...] = (
    "src", "dst", "sport", "dport", "dscp", "ecn", "ip_id", "mss", "seq", "ack", "tsval", "tsecr", "icmp_id",
)  # fmt: skip
"""By number of the kernel."""
VALUED = frozenset({"src", "dst", "sport", "dport", "dscp", "ecn", "mss"})
"""Fields of which a change of value tells something; the others have another in every packet."""
MOST_VALUES = 8
"""Different changes of one field beyond which none is listed."""
MOST_LISTED = 4
SAMPLE = 20_000
"""Changed packets among which the commonest changes are looked for; each is then counted in all."""
ECN_NAMES = ("not-ect", "ect1", "ect0", "ce")


def find_modifications(
    scene: Scene, passage: Passage, delivered: NDArray[np.int64], near: int, far: int
) -> tuple[int, int | None, tuple[Modification, ...]]:
    """Return (packets modified, usual hops, what was modified) of the segment from *near* to *far*."""
    met = passage.met
    met = met[~scene.tokens.ambiguous[passage.token[met]]]
    left, right = passage.left[met], passage.right[met]
    differs, compared = _compared(scene.raw, left, right)
    found = [
        _modification(scene, NAMES[number], left, right, differs & np.uint16(1 << number), int(compared[number]))
        for number in range(FIELDS)
        if (int(np.bitwise_or.reduce(differs)) if len(differs) else 0) >> number & 1
    ]
    hops, odd, routed = _odd_hops(scene, passage.token[met], left, right, near, far)
    if odd.any():
        found.append(_hop_changes(scene, left, right, odd, routed, cast("int", hops)))
    count, recut = _recut(scene, delivered, near, far)
    changed = int(np.count_nonzero((differs > 0) | odd)) + count
    return changed, hops, (*found, *recut)


def _compared(raw: Packets, left: NDArray[np.int32], right: NDArray[np.int32]) -> tuple[NDArray[np.uint16], Any]:
    """Return (fields that differ as bits by pair, number of pairs by field that could be compared)."""
    differs, compared = np.zeros(len(left), np.uint16), np.zeros(FIELDS, np.int64)
    compare_fields(
        left, right, raw.src_hi, raw.src_lo, raw.dst_hi, raw.dst_lo, raw.sport, raw.dport, raw.tos, raw.ip_id, raw.mss,
        raw.seq, raw.ack, raw.tsval, raw.tsecr, raw.family, raw.protocol, raw.flags, raw.marks, raw.fragment, raw.piece,
        differs, compared,
    )  # fmt: skip
    return differs, compared


def _modification(
    scene: Scene, name: Field, left: NDArray[np.int32], right: NDArray[np.int32], bit: NDArray[np.uint16], of: int
) -> Modification:
    """Describe one field that differs in the pairs with *bit*."""
    places = np.flatnonzero(bit)
    first = int(left[places[0]])
    return Modification(
        field=name, packets=len(places), of=of, flow=flow_key(scene.raw, first), frame=int(scene.frames[first]),
        changes=_changes(scene.raw, name, left, right, places) if name in VALUED else (),
    )  # fmt: skip


def _changes(
    raw: Packets, name: Field, left: NDArray[np.int32], right: NDArray[np.int32], places: NDArray[np.int64]
) -> tuple[Change, ...]:
    """Return the commonest changes of a field, none where there are too many different ones."""
    codes = _codes(raw, name)
    before, after = codes(left[places]), codes(right[places])
    pair = before * GOLDEN ^ after
    sampled = np.linspace(0, len(pair) - 1, min(len(pair), SAMPLE)).astype(np.int64)
    values, first, count = np.unique(pair[sampled], return_index=True, return_counts=True)
    if len(values) > MOST_VALUES:
        return ()
    at_near = codes(left)
    found = []
    for number in np.argsort(-count, kind="stable")[:MOST_LISTED].tolist():
        example = int(sampled[first[number]])
        a, b = int(left[places[example]]), int(right[places[example]])
        found.append(
            Change(
                before=_value(raw, name, a), after=_value(raw, name, b),
                packets=int(np.count_nonzero(pair == values[number])), of=int((at_near == before[example]).sum()),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda c: -c.packets))


def _codes(raw: Packets, name: Field) -> Any:  # noqa: ANN401  # a function of rows
    """Return a function that gives one number a row, the same for the same value of the field."""
    if name in {"src", "dst"}:
        high, low = getattr(raw, f"{name}_hi"), getattr(raw, f"{name}_lo")
        return lambda rows: high[rows] * GOLDEN + low[rows]
    if name in {"dscp", "ecn"}:
        return lambda rows: (raw.tos[rows] >> 2 if name == NAMES[DSCP] else raw.tos[rows] & 3).astype(np.uint64)
    column = getattr(raw, name)
    return lambda rows: column[rows].astype(np.uint64)


def _value(raw: Packets, name: Field, row: int) -> int | str:
    """Return the value of a field as it is written."""
    if name in {"src", "dst"}:
        high, low = getattr(raw, f"{name}_hi"), getattr(raw, f"{name}_lo")
        return str(address(int(high[row]), int(low[row]), int(raw.family[row])))
    if name == NAMES[ECN]:
        return ECN_NAMES[int(raw.tos[row]) & 3]
    return int(raw.tos[row]) >> 2 if name == NAMES[DSCP] else int(getattr(raw, name)[row])


def _odd_hops(
    scene: Scene, token: NDArray[np.int64], left: NDArray[np.int32], right: NDArray[np.int32], near: int, far: int
) -> tuple[int | None, NDArray[np.bool_], NDArray[np.int64]]:
    """Return (usual fall of the TTL, which pairs show another, which can be compared).

    Of a point that shows packets before and after routing, those of which one copy is missing tell nothing.
    """
    copies = scene.tokens.copies
    usable = np.ones(len(token), np.bool_)
    for point in (near, far):
        shown = copies[token, point]
        if len(shown) and (usual := int(np.bincount(shown).argmax())) > 1:
            usable &= shown >= usual
    fall = scene.raw.ttl[left].astype(np.int64) - scene.raw.ttl[right]
    if not usable.any():
        return None, np.zeros(len(token), np.bool_), np.empty(0, np.int64)
    hops = int(np.bincount(fall[usable] + 255).argmax()) - 255
    return hops, usable & (fall != hops), np.flatnonzero(usable)


def _hop_changes(
    scene: Scene, left: NDArray[np.int32], right: NDArray[np.int32], odd: NDArray[np.bool_],
    routed: NDArray[np.int64], hops: int,
) -> Modification:  # fmt: skip
    """Describe packets whose TTL falls by another number than usual."""
    places = np.flatnonzero(odd)
    first = int(left[places[0]])
    fall = scene.raw.ttl[left[places]].astype(np.int64) - scene.raw.ttl[right[places]]
    values, count = np.unique(fall, return_counts=True)
    common = np.argsort(-count, kind="stable")[:MOST_LISTED].tolist() if len(values) <= MOST_VALUES else []
    return Modification(
        field="ttl", packets=len(places), of=len(routed), flow=flow_key(scene.raw, first),
        frame=int(scene.frames[first]),
        changes=tuple(
            Change(before=-hops, after=-int(values[k]), packets=int(count[k]), of=len(routed)) for k in common
        ),
    )  # fmt: skip


def _recut(scene: Scene, delivered: NDArray[np.int64], near: int, far: int) -> tuple[int, list[Modification]]:
    """Return (how many arrived in other packets or under another TCP header than they left *near*, what changed)."""
    verdicts = scene.verdicts
    here = delivered[verdicts.modified[delivered] & (verdicts.last_seen[delivered] == near)]
    if not len(here):
        return 0, []
    cut = here[verdicts.reshaped[here] != CERTAINLY]
    other = here[verdicts.reshaped[here] == CERTAINLY]
    of = int((scene.tokens.row[delivered, near] >= 0).sum())
    found = header_changes(scene, other, near, far, of) if len(other) else []
    if len(cut):
        row = int(scene.tokens.row[cut[0], near])
        found.append(
            Modification(
                field="segmentation", packets=len(cut), of=of, flow=flow_key(scene.raw, row),
                frame=int(scene.frames[row]),
            )
        )  # fmt: skip
    return len(here), found
