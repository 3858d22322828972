"""Give each failure its controls: the same client at other times, other clients at the same time (ALGORITHMS D.6).

Which windows are taken is settled by digests of client and time, never by chance: the same captures give the same sets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.core.precursors.watch import BEFORE_NS, collapse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.core.precursors.watch import Seen, Watch
    from orchestrator.model.finding import FlowKey
    from orchestrator.model.precursor import Failed, Failure

CONTROLS = 5
"""Of either kind, at most."""
NEAR_NS = 180_000_000_000
"""Own controls are as near: busy times last longer, and what is frequent in them must be so in the controls."""
JITTER = 6
"""By that part of a window controls leave any even pace, lest they beat with what is periodic."""
ENOUGH = 5
"""Failures to be compared, for less proves nothing."""
SHORTEST_NS = 1_000_000_000
"""A window shorter than this shows nothing."""
MOST_CASES = 500
"""Of each kind of failure; of more, those that digests choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windowed:
    """A case or control: what was met in one window of one client."""

    client: str
    end_ns: int
    length_ns: int
    seen: Seen


@dataclass(slots=True, kw_only=True)
class MatchedSet:
    """One failure and its controls."""

    failure: Failure
    case: Windowed
    moment: int = 0
    """Number of those of one run and kind that fail within one window: they share the controls of other clients."""
    itself: list[Windowed] = field(default_factory=list)
    """The same client at other times."""
    others: list[Windowed] = field(default_factory=list)
    """Other clients at the same time."""
    later: tuple[Windowed, list[Windowed]] | None = None
    """The windows behind the case and behind its controls, which the failure cannot have come from."""
    healthy: list[tuple[Windowed, list[Windowed]]] = field(default_factory=list)
    """Clients that did not fail at that time, and themselves at other times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """All failures of one kind in one run."""

    kind: Failed
    before_ns: int
    """How far back was looked."""
    failures: tuple[Failure, ...]
    sets: tuple[MatchedSet, ...]

    @property
    def compared(self) -> int:
        """Return how many failures have controls of both kinds, and half a window at least before them."""
        return sum(bool(s.itself and s.others) and 2 * s.case.length_ns >= self.before_ns for s in self.sets)


def match(watch: Watch) -> list[Matched]:
    """Return the failures of each kind with their controls."""
    return [_match(watch, kind) for kind in sorted({f.kind for f in watch.failures})]


def _match(watch: Watch, kind: Failed) -> Matched:
    """Return the failures of *kind* with their controls, looking back as far as leaves times to compare with.

    How far is settled by when failures happen, never by what was met: the first of BEFORE_NS that lets most of the
    failures, and enough of them, be compared both ways, else the one that lets the most.
    """
    tried = []
    for before_ns in BEFORE_NS:
        cases = collapse((f for f in watch.failures if f.kind == kind), before_ns)
        chosen = sorted(cases, key=lambda c: _digest(c.client, c.time_ns))[:MOST_CASES]
        sets = _Matcher(watch, kind, before_ns).match(sorted(chosen, key=lambda c: (c.time_ns, c.client)))
        tried.append(Matched(kind=kind, before_ns=before_ns, failures=tuple(cases), sets=tuple(sets)))
        if tried[-1].compared >= ENOUGH and 2 * tried[-1].compared >= len(cases):
            return tried[-1]
    return max(tried, key=lambda m: (m.compared, m.before_ns))


def _digest(client: str, number: int) -> int:
    """Return a number that looks like chance and is none."""
    return int.from_bytes(hashlib.blake2b(f"{client} {number}".encode(), digest_size=8).digest())


def _number_moments(sets: Sequence[MatchedSet], before_ns: int) -> None:
    """Tell the sets which of them fail at the same time; *sets* are in order of time."""
    begin, number = None, -1
    for one in sets:
        if begin is None or one.case.end_ns - begin >= before_ns:
            begin, number = one.case.end_ns, number + 1
        one.moment = number


class _Matcher:
    """Sets of one kind of failure; no window is a control twice."""

    def __init__(self, watch: Watch, kind: Failed, before_ns: int) -> None:
        self.watch, self.kind, self.before_ns = watch, kind, before_ns
        self.taken: dict[str, list[tuple[int, int]]] = {}

    def match(self, cases: Sequence[Failure]) -> list[MatchedSet]:
        """Return the sets of *cases*; controls are dealt out one a set in turn."""
        found = [s for s in (self._case(c) for c in cases) if s is not None]
        _number_moments(found, self.before_ns)
        for one in found:
            self._take(one.case.client, one.case.end_ns, one.case.length_ns)
        own = [iter(list(self._other_times(s.case))) for s in found]
        others = [iter(self._other_clients(s.case)) for s in found]
        for _ in range(CONTROLS):
            for one, times, clients in zip(found, own, others, strict=True):
                self._deal(one, one.itself, ((one.case.client, t) for t in times))
                self._deal(one, one.others, ((c, one.case.end_ns) for c in clients))
        for one in found:
            one.later, one.healthy = self._later(one), self._healthy(one)
        return found

    def _case(self, failure: Failure) -> MatchedSet | None:
        """Return the set of *failure*, still without controls; None where nothing can be seen before it."""
        since = self.watch.since(failure.time_ns)
        before = self.watch.failed_before(failure.client, self.kind, failure.time_ns)
        if since is None:
            return None
        start = max(failure.time_ns - self.before_ns, since, -1 if before is None else before + self.before_ns)
        length = failure.time_ns - start
        if length < SHORTEST_NS:
            return None
        window = self._window(failure.client, failure.time_ns, length, frozenset(failure.flows))
        return MatchedSet(failure=failure, case=window)

    def _window(self, client: str, end_ns: int, length_ns: int, apart: frozenset[FlowKey] = frozenset()) -> Windowed:
        seen = self.watch.met(client, end_ns, length_ns, apart, self.kind)
        return Windowed(client=client, end_ns=end_ns, length_ns=length_ns, seen=seen)

    def _deal(self, one: MatchedSet, to: list[Windowed], candidates: Iterator[tuple[str, int]]) -> None:
        """Give a set the first of *candidates* that is free."""
        length = one.case.length_ns
        for client, end in candidates:
            if self._is_free(client, end, length):
                self._take(client, end, length)
                to.append(self._window(client, end, length, frozenset(one.failure.flows)))
                return

    def _take(self, client: str, end_ns: int, length_ns: int) -> None:
        self.taken.setdefault(client, []).append((end_ns - length_ns, end_ns))

    def _is_free(self, client: str, end_ns: int, length_ns: int) -> bool:
        low, high = end_ns - length_ns, end_ns
        return not any(low < b and a < high for a, b in self.taken.get(client, ()))

    def _other_times(self, case: Windowed) -> Iterator[int]:
        """Yield times at which the client of *case* could have failed, the nearest first, to NEAR_NS on either side."""
        jitter = self.before_ns // JITTER
        pace = self.before_ns + jitter
        for k in range(NEAR_NS // pace):
            for sign in (-1, 1):
                shift = self.before_ns + k * pace + 1
                shift += _digest(case.client, case.end_ns + sign * k) % jitter
                time = case.end_ns + sign * shift
                if self._is_control(case.client, time, case):
                    yield time

    def _other_clients(self, case: Windowed) -> list[str]:
        """Return clients that could have failed at the time of *case*, those of the same servers first."""
        everybody, alike = self.watch.open_beside(case.client, case.end_ns)
        for clients in (alike, everybody):
            able = [c for c in clients if self._comparable(c, case.client) and self._is_undisturbed(c, case.end_ns)]
            if able:
                return sorted(able, key=lambda c: _digest(c, case.end_ns))
        return []

    def _comparable(self, one: str, other: str) -> bool:
        """Say whether two clients are watched from alike places: an attempt seen of one would be of the other."""
        return self.watch.vantage.get(one) == self.watch.vantage.get(other)

    def _is_control(self, client: str, end_ns: int, case: Windowed) -> bool:
        """Say whether *client* was active and well at *end_ns*, and as well watched as the case was."""
        since = self.watch.since(end_ns)
        return (
            since is not None and since <= end_ns - case.length_ns and self.watch.alike(end_ns, case.end_ns)
            and self._is_undisturbed(client, end_ns) and self.watch.is_open(client, end_ns)
        )  # fmt: skip

    def _is_undisturbed(self, client: str, end_ns: int) -> bool:
        """Say whether nothing fails within before_ns of the end of a window."""
        return not self.watch.failed_between(client, self.kind, end_ns - self.before_ns, end_ns + self.before_ns)

    def _later(self, one: MatchedSet) -> tuple[Windowed, list[Windowed]] | None:
        """Return the same windows 2 before_ns later; None where the next failure, or the end, is too near."""
        case = one.case
        end = case.end_ns + 2 * self.before_ns
        behind = max(case.end_ns, one.failure.until_ns)
        if behind > end - case.length_ns or self.watch.failed_between(
            case.client, self.kind, behind, end + self.before_ns
        ):
            return None
        if not self._is_watched(end, case):
            return None
        controls = [
            self._window(c.client, c.end_ns + 2 * self.before_ns, c.length_ns) for c in (*one.itself, *one.others)
            if self._is_watched(c.end_ns + 2 * self.before_ns, case)
            and self._is_undisturbed(c.client, c.end_ns + 2 * self.before_ns)
        ]  # fmt: skip
        return self._window(case.client, end, case.length_ns), controls

    def _is_watched(self, end_ns: int, case: Windowed) -> bool:
        since = self.watch.since(end_ns)
        return since is not None and since <= end_ns - case.length_ns and self.watch.alike(end_ns, case.end_ns)

    def _healthy(self, one: MatchedSet) -> list[tuple[Windowed, list[Windowed]]]:
        """Return clients that did not fail then, and themselves at the times of the set's other controls."""
        return [
            (well, [self._window(well.client, c.end_ns, well.length_ns) for c in one.itself
                    if self._is_control(well.client, c.end_ns, well)])
            for well in one.others
        ]  # fmt: skip
