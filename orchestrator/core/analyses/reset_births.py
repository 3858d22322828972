"""Where a reset was born: between the last sound point that did not see it and the first that did (ALGORITHMS D.1).

One silent point, or two, accuse nobody by themselves: a capture may miss a packet, and its neighbour for the same
reason.  Their silence counts where the reset does not look like its claimed sender's, where what it answers vanished
there too, or where still other points were silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.mirrors import touch
from orchestrator.core.misses import LONGEST_DELAY_NS
from orchestrator.core.routes import REVERSE, UNKNOWN
from orchestrator.model.columns import RST, SYN, TCP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.reset_numbers import Numbers
    from orchestrator.core.analyses.reset_signs import Signs
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.core.verdicts import PointFacts
    from orchestrator.model.finding import Origin


@dataclass(slots=True, kw_only=True)
class Birth:
    """Where a reset comes from; points by number."""

    origin: Origin
    after: int | None
    before: int
    line: Sequence[int]
    """Points of its way, from its claimed sender on."""
    confidence: float
    said: list[str] = field(default_factory=list)


def line_of(scene: Scene, token: int) -> list[int]:
    """Return the points of a token's way in its direction of travel."""
    direction = int(scene.routes.direction[token])
    if direction == UNKNOWN:
        return list(range(scene.tokens.row.shape[1]))
    route = scene.routes.points[scene.routes.route[token]]
    return list(route[::-1] if direction == REVERSE else route)


def find_birth(
    scene: Scene, token: int, own: NDArray[np.int64], other: NDArray[np.int64], numbers: Numbers, signs: Signs,
    control: NDArray[np.int64],
) -> Birth:  # fmt: skip
    """Return where the reset *token* was born.

    Args: own and other are the tokens of both directions; control is what `control_seen` returns.
    """
    line = line_of(scene, token)
    first = next(p for p in line if scene.tokens.row[token, p] >= 0)
    known = int(scene.routes.direction[token]) != UNKNOWN
    upstream = line[: line.index(first)] if known else []
    way = int(int(scene.routes.direction[token]) == REVERSE)
    silent, said, doubt = _silent(scene, token, upstream, control[:, way])
    birth = Birth(
        origin="unknown", after=silent[0] if silent else None, before=first, line=line,
        confidence=round(1.0 - doubt if upstream else 0.9, 4), said=[*said, *numbers.said],
    )  # fmt: skip
    if birth.after is not None:
        _doubt(scene, birth, token, own, numbers, signs)
        _widen(scene, birth, silent, other, numbers, signs)
    plain = _is_plain(scene, token, line, first)
    birth.origin = _origin(birth, numbers, known=known, plain=plain, blind=_may_lie_before(scene, line))
    return birth


def _silent(
    scene: Scene, token: int, upstream: Sequence[int], control: NDArray[np.int64]
) -> tuple[list[int], list[str], float]:  # fmt: skip
    """Return (sound points nearer to the claimed sender that did not see it, nearest first, in words, their doubt)."""
    time, silent, said, doubt = int(scene.verdicts.time_ns[token]), [], [], 1.0
    for point in reversed(upstream):
        fact = scene.facts[point]
        if not _listens(scene, token, point, fact, time):
            continue
        rate = max(scene.verdicts.miss_rate[point], scene.verdicts.suspected[point])
        passed, saw = control[point].tolist()
        lossy = bool(fact.kernel_drops) or rate > 0 or saw < passed
        missed = (scene.verdicts.missed[point] + 0.5) / (scene.verdicts.passed[point] + 1)
        small = (passed - saw + 0.5) / (passed + 1) if passed else missed  # a reset is one of the small ones
        doubt *= min(max(rate, missed, small), 1.0)
        silent += [] if lossy else [point]
        said.append(f"not seen at {scene.names[point]}, nearer to its claimed sender")
    return silent, said, doubt


def _listens(scene: Scene, token: int, point: int, fact: PointFacts, time: int) -> bool:
    """Say whether a point's silence about a reset at *time* says anything at all."""
    if fact.uncertainty_ns is None or not fact.start_ns <= time <= fact.end_ns:
        return False
    watches = (int(scene.routes.pair[token]), point) not in scene.routes.elsewhere
    return watches and fact.complete and TCP not in fact.cut_protocols and not _in_gap(fact, time)


def _in_gap(fact: PointFacts, time_ns: int) -> bool:
    """Say whether a point's files or its mirror have a gap around *time_ns*."""
    margin = LONGEST_DELAY_NS + (fact.uncertainty_ns or 0)
    return bool(touch(fact.gaps_ns, np.array([time_ns - margin]), np.array([time_ns + margin]))[0])


def _doubt(scene: Scene, birth: Birth, token: int, own: NDArray[np.int64], numbers: Numbers, signs: Signs) -> None:
    """Take back the silent point where the reset may well have passed it."""
    upstream = birth.line[: birth.line.index(birth.before)]
    why = ""
    if _has_twin(scene, own, token, birth.after):
        why = "one of several that are alike, and another of them was seen nearer to its claimed sender"
    elif scene.verdicts.proxied.ends[scene.tokens.flow[token]].any():
        why = "its connection ends on the way and begins anew: a relay speaks for both ends"
    elif _comes_changed(scene, own, token, birth.before, upstream):
        why = "the packets before it come from there too, and no point there saw any of them: they look otherwise there"
    elif scene.verdicts.reshaped[token]:
        why = "may be one that a device on the way translated"
    elif numbers.own:
        why = "it goes on counting where its claimed sender's own packets stop: a capture may have missed it"
    elif signs.family == "active" and numbers.usual_ttl == numbers.ttl and signs.in_place:
        why = "it fits its claimed sender's packets in everything: a capture may have missed it"
    if why:
        birth.after = None
        birth.said.append(why)


def _widen(
    scene: Scene, birth: Birth, silent: Sequence[int], other: NDArray[np.int64], numbers: Numbers, signs: Signs
) -> None:
    """Move the silent point nearer to the claimed sender where its silence is contradicted, or take it back."""
    if birth.after is None:
        return
    last, missing = _trigger_gone(scene, other, signs)
    line = birth.line
    if missing is not None and line.index(missing) < line.index(birth.after) and missing in silent:
        birth.said.append(
            f"what it answers was seen at {scene.names[last]} and vanished behind it: not every point saw the reset"
        )
        birth.after = missing
        return
    room = _routers(scene, silent[-1], birth.before)
    few = len(silent) == 1 or (len(silent) <= TOO_FEW and room is not None)
    if missing is None and few and not numbers.other_ttl and numbers.hops >= (room or 0):
        birth.after = None
        points = "one silent point" if len(silent) == 1 else f"{len(silent)} silent points"
        birth.said.append(f"{points} alone, and nothing else tells it from its claimed sender's")
        return
    _widen_by_hops(scene, birth, silent, numbers)


def _widen_by_hops(scene: Scene, birth: Birth, silent: Sequence[int], numbers: Numbers) -> None:
    """Move the silent point so far that the routers which the reset met find room behind it.

    A sender begins with one of three TTLs; what began with another tells nothing.
    """
    hops = numbers.hops
    room = [_routers(scene, point, birth.before) for point in silent]
    here = None if birth.after is None else room[silent.index(birth.after)]
    if birth.after is None or here is None or hops <= here:
        return
    fits = [p for p, r in zip(silent, room, strict=True) if r is not None and r >= hops]
    if fits and fits[0] != birth.after:
        birth.said.append(f"its TTL {numbers.ttl} met {hops} routers: born before {scene.names[birth.after]}")
        birth.after = fits[0]


def _routers(scene: Scene, near: int, far: int) -> int | None:
    """Return by how much the TTL mostly falls between two points, None where no packet was seen at both."""
    rows = scene.tokens.row[:, [near, far]]
    rows = rows[(rows >= 0).all(axis=1)][:1_000]
    if not len(rows):
        return None
    fall = scene.packets.ttl[rows[:, 0]].astype(np.int64) - scene.packets.ttl[rows[:, 1]]
    return int(np.median(np.abs(fall)))


def _trigger_gone(scene: Scene, other: NDArray[np.int64], signs: Signs) -> tuple[int, int | None]:
    """Return (last point that saw what the reset answers, first that should have and did not); None: it arrived."""
    if signs.trigger is None:
        return -1, None
    token = other[(scene.tokens.row[other] == signs.trigger).any(axis=1)]
    if not len(token) or not scene.verdicts.claims()[token[0]]:
        return -1, None
    return int(scene.verdicts.last_seen[token[0]]), int(scene.verdicts.missing_at[token[0]])


def _comes_changed(scene: Scene, own: NDArray[np.int64], token: int, first: int, upstream: Sequence[int]) -> bool:
    """Say whether *first* saw packets of a reset's connection and direction, and none of them was seen *upstream*.

    They come from there in another shape, and so may it.  A SYN tells nothing: a device that answers in the peer's name
    passes it on as it is and changes all that follows.
    """
    tokens = scene.tokens
    way = int(tokens.way[token])
    if scene.verdicts.islands[[[way], [way ^ 1]], [first, *upstream]].any():
        return True
    own = own[(scene.packets.flags[tokens.first_row[own]] & (RST | SYN)) == 0]
    own = own[tokens.row[own, first] >= 0]
    return bool(len(own)) and not (tokens.row[own][:, upstream] >= 0).any()


def _has_twin(scene: Scene, own: NDArray[np.int64], token: int, point: int | None) -> bool:
    """Say whether *point* saw a reset that differs from *token* in nothing."""
    packets, row = scene.packets, int(scene.tokens.first_row[token])
    seen = scene.tokens.row[own, point]
    others = seen[(seen >= 0) & (own != token)]
    alike = [c[others] == c[row] for c in (packets.flags, packets.seq, packets.ack, packets.ip_id, packets.window)]
    return bool(np.logical_and.reduce(alike).any())


def _is_plain(scene: Scene, token: int, line: Sequence[int], first: int) -> bool:
    """Say whether the point that saw it first is the first of its way, with no relay or translator before it."""
    relayed = scene.verdicts.proxied.ends[scene.tokens.flow[token]].any() or scene.verdicts.reshaped[token]
    return first == line[0] and not relayed


def _may_lie_before(scene: Scene, line: Sequence[int]) -> bool:
    """Say whether a point saw nothing that would tell where on the way it lies: it may be nearer to the sender."""
    return any(not fact.packets for point, fact in enumerate(scene.facts) if point not in line)


def _origin(birth: Birth, numbers: Numbers, *, known: bool, plain: bool, blind: bool) -> Origin:
    """Say whether the claimed sender made it: endpoint, network or unknown."""
    if not known:
        return "unknown"
    if birth.after is not None:
        return "network"
    if not plain:
        return "unknown"  # points nearer to the sender did not see it, but none of them is sound
    if numbers.foreign_ttl and not numbers.own:
        birth.confidence = min(birth.confidence, SINGLE_POINT)
        birth.said.append("single point: told by its TTL alone")
        return "network"
    if numbers.usual_ttl is None and blind:
        birth.said.append("points that captured nothing may lie nearer to its claimed sender")
        return "unknown"
    return "endpoint" if numbers.usual_ttl in {None, numbers.ttl} else "unknown"


TOO_FEW = 2
"""Silent points that accuse nobody where the reset met as many routers as if it came from beyond them: what keeps one
capture from seeing a reset may keep its neighbour."""
SINGLE_POINT = 0.7
"""What a TTL alone is worth: the host may answer without a socket with another one."""
