"""What one run shows of its clients: what failed, what they met, when they were active, and when points captured."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from orchestrator.model.finding import FlowKey
    from orchestrator.model.precursor import Encounter, Failed, Failure, Met

BEFORE_NS = (30_000_000_000, 10_000_000_000, 5_000_000_000)
"""How far before a failure is looked, and how far from any failure a control stays; less where they follow closely."""
GUARD_NS = 50_000_000
"""What comes so shortly before a failure belongs to it."""
Seen = dict[tuple["Met", str], "tuple[int, Encounter]"]
"""By kind and target: how long before the end of a window it was met last, and where that can be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Arrays by connection, in order of clients: who had it open with whom, first and last packet, reference clock."""

    clients: tuple[str, ...]
    client: NDArray[np.int64]
    """Index into ``clients``."""
    server: NDArray[np.int64]
    """Any number that tells servers apart."""
    first_ns: NDArray[np.int64]
    last_ns: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One run. Failures are such as happened, not yet taken together."""

    failures: tuple[Failure, ...]
    encounters: tuple[Encounter, ...]
    activity: Activity
    spans_ns: NDArray[np.int64]
    """Shape (n, 2): from when to when a point captured without a gap."""
    points: NDArray[np.int64]
    """By span the number of that point."""
    vantage: dict[str, str]
    """By client the point that sees its packets first; empty where that point sees no other client."""
    incomplete: tuple[str, ...] = ()
    _met: dict[str, list[Encounter]] = field(default_factory=dict)
    _times: dict[str, list[int]] = field(default_factory=dict)
    _mine: dict[str, tuple[int, int]] = field(default_factory=dict)
    _failed: dict[tuple[str, Failed], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort by client and time."""
        bounds = np.searchsorted(self.activity.client, np.arange(len(self.activity.clients) + 1)).tolist()
        self._mine.update(zip(self.activity.clients, pairwise(bounds), strict=True))
        for one in sorted(self.encounters, key=lambda e: e.time_ns):
            self._met.setdefault(one.client, []).append(one)
            self._times.setdefault(one.client, []).append(one.time_ns)
        for failure in sorted(self.failures, key=lambda f: f.time_ns):
            for kind, worse in WORSE.items():
                if failure.kind in worse:
                    self._failed.setdefault((failure.client, kind), []).append(failure.time_ns)

    def met(self, client: str, end_ns: int, length_ns: int, apart: frozenset[FlowKey], unlike: Failed) -> Seen:
        """Return what *client* met in the window that ends GUARD_NS before *end_ns*.

        Args: apart are flows that do not count, unlike the kind of failure that is no precursor of itself.
        """
        times = self._times.get(client, [])
        low, high = bisect_left(times, end_ns - length_ns), bisect_right(times, end_ns - GUARD_NS)
        found: Seen = {}
        for one in self._met.get(client, [])[low:high]:
            if one.flow not in apart and one.kind not in SAME[unlike]:
                found[one.kind, one.target] = (end_ns - one.time_ns, one)
        return found

    def failed_between(self, client: str, kind: Failed, low_ns: int, high_ns: int) -> bool:
        """Say whether something like *kind* failed for *client* after *low_ns* and not after *high_ns*."""
        times = self._failed.get((client, kind), [])
        return bisect_right(times, high_ns) > bisect_right(times, low_ns)

    def unfollowed(self, kind: Failed, before_ns: int) -> Counter[tuple[Failed, Met, str]]:
        """Return how often what was met behind which nothing of *kind* failed for that client within *before_ns*."""
        return Counter(
            (kind, one.kind, one.target) for one in self.encounters
            if not self.failed_between(one.client, kind, one.time_ns, one.time_ns + before_ns)
        )  # fmt: skip

    def failed_before(self, client: str, kind: Failed, time_ns: int) -> int | None:
        """Return when something like *kind* failed last for *client* before *time_ns*."""
        times = self._failed.get((client, kind), [])
        at = bisect_left(times, time_ns)
        return times[at - 1] if at else None

    def since(self, time_ns: int) -> int | None:
        """Return since when all points that capture at *time_ns* did so without a gap; None where none does."""
        on = self.spans_ns[self._on(time_ns)]
        return int(on[:, 0].max()) if len(on) else None

    def alike(self, one_ns: int, other_ns: int) -> bool:
        """Say whether the same points captured at both times."""
        return set(self.points[self._on(one_ns)].tolist()) == set(self.points[self._on(other_ns)].tolist())

    def is_open(self, client: str, time_ns: int) -> bool:
        """Say whether *client* has a connection open at *time_ns*."""
        begin, end = self._mine.get(client, (0, 0))
        first, last = self.activity.first_ns[begin:end], self.activity.last_ns[begin:end]
        return bool(((first <= time_ns) & (last >= time_ns)).any())

    def open_beside(self, client: str, time_ns: int) -> tuple[list[str], list[str]]:
        """Return (other clients with connections open at *time_ns*, those that share a server with *client*)."""
        here = (self.activity.first_ns <= time_ns) & (self.activity.last_ns >= time_ns)
        whose, servers = self.activity.client[here], self.activity.server[here]
        begin, end = self._mine.get(client, (0, 0))
        shared = np.isin(servers, self.activity.server[begin:end][here[begin:end]])
        names = self.activity.clients
        everybody, alike = (
            [names[k] for k in np.unique(clients).tolist() if names[k] != client] for clients in (whose, whose[shared])
        )
        return everybody, alike

    def _on(self, time_ns: int) -> NDArray[np.bool_]:
        return np.asarray((self.spans_ns[:, 0] <= time_ns) & (self.spans_ns[:, 1] >= time_ns))


SAME: dict[Failed, frozenset[Met]] = {
    "burst": frozenset(),
    "reset": frozenset(("reset-sent",)),
    "silent": frozenset(("stall",)),
    "unanswered": frozenset(("syn-unanswered",)),
}
"""What is the failure itself, seen on another connection."""
WORSE: dict[Failed, frozenset[Failed]] = {
    "burst": frozenset(("burst",)),
    "reset": frozenset(("burst", "reset")),
    "silent": frozenset(("burst", "silent")),
    "unanswered": frozenset(("unanswered",)),
}
"""What must not happen in and around a control; single resets of browsers are everywhere and spoil none of a burst."""


def collapse(failures: Iterable[Failure], before_ns: int) -> list[Failure]:
    """Return the cases: of one client and kind, what follows another one within *before_ns* belongs to it."""
    open_cases: dict[tuple[str, Failed], list[Failure]] = {}
    found: list[list[Failure]] = []
    for failure in sorted(failures, key=lambda f: (f.time_ns, f.client, f.kind)):
        group = open_cases.get((failure.client, failure.kind))
        if group is None or failure.time_ns - group[-1].time_ns > before_ns:
            group = []
            found.append(group)
            open_cases[failure.client, failure.kind] = group
        group.append(failure)
    return [_together(group) for group in found]


def _together(group: Sequence[Failure]) -> Failure:
    first = group[0]
    flows = tuple(dict.fromkeys(flow for one in group for flow in one.flows))
    return type(first)(
        client=first.client, time_ns=first.time_ns, until_ns=group[-1].time_ns, kind=first.kind, flows=flows,
        point=first.point, frame=first.frame,
    )  # fmt: skip
