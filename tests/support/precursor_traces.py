"""Traces of clients, events and failures, of which is known what precedes what: nothing, or one blocked service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.core.precursors.watch import Activity, Watch
from orchestrator.model.finding import FlowKey
from orchestrator.model.precursor import Encounter, Failure

S = 10**9
START = 1_700_000_000 * S
BLOCKED = "203.0.113.7:443"
NOISE = (
    "syn-unanswered", "syn-refused", "icmp-unreachable", "dns-failure", "dns-no-answer", "dns-slow", "tls-alert",
    "retransmissions", "heartbeat-missed", "zero-window", "stall", "reset-received",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What happens. In busy times both failures and everything else are so many times as frequent."""

    cases: int = 12
    clients: int = 12
    failing: int = 4
    """Clients that fail; the first ones."""
    hours: float = 2.0
    busy: float = 8.0
    noise_per_hour: float = 1.0
    """Of each kind and client, in quiet times."""
    stretches: tuple[int, int] = (5, 20)
    """Minutes that busy times last."""
    restless: float = 1.0
    """By how much the failing clients meet more than others."""
    exposure: float = 0.0
    """Share of failures that the blocked service precedes."""
    kind: str = "burst"


def trace(recipe: Recipe, seed: int) -> Watch:
    """Return what one run of *recipe* shows."""
    random = np.random.default_rng(seed)
    end = int(recipe.hours * 3600 * S)
    busy = _busy(random, end, recipe.stretches)
    clients = tuple(f"10.0.0.{k + 1}" for k in range(recipe.clients))
    met: list[Encounter] = []
    for k, client in enumerate(clients):
        for kind in NOISE:
            rate = recipe.noise_per_hour * (recipe.restless if k < recipe.failing else 1.0)
            for time in _times(random, end, busy, rate, recipe.busy):
                target = f"198.51.100.{int(random.integers(1, 4))}:443"
                met.append(Encounter(client=client, time_ns=START + time, kind=kind, target=target))
    failures = []
    for time in _case_times(random, end, busy, recipe):
        client = clients[int(random.integers(recipe.failing))]
        flow = FlowKey(protocol="tcp", src=client, sport=40000, dst="10.1.0.1", dport=80)
        failures.append(
            Failure(client=client, time_ns=START + time, until_ns=START + time, kind=recipe.kind, flows=(flow,))
        )
        if random.random() < recipe.exposure:
            before = int(random.normal(3 * S, S // 10))
            met.append(Encounter(client=client, time_ns=START + time - before, kind="syn-unanswered", target=BLOCKED))
    return Watch(
        failures=tuple(failures), encounters=tuple(met), activity=whole_day(clients, end),
        spans_ns=np.array([[START, START + end]]), points=np.zeros(1, np.int64),
        vantage=dict.fromkeys(clients, "gateway"),
    )  # fmt: skip


def whole_day(clients: tuple[str, ...], end: int) -> Activity:
    """Let every client have one connection all the time."""
    count = len(clients)
    return Activity(
        clients=clients, client=np.arange(count), server=np.zeros(count, np.int64),
        first_ns=np.full(count, START), last_ns=np.full(count, START + end),
    )  # fmt: skip


def _busy(random: np.random.Generator, end: int, stretches: tuple[int, int]) -> np.ndarray:
    """Return by minute whether it is a busy one, as a quarter of all is."""
    minutes = np.zeros(end // (60 * S) + 1, bool)
    while minutes.mean() < 0.25:
        begin = int(random.integers(len(minutes)))
        minutes[begin : begin + int(random.integers(stretches[0], stretches[1] + 1))] = True
    return minutes


def _times(random: np.random.Generator, end: int, busy: np.ndarray, per_hour: float, factor: float) -> list[int]:
    """Return times of a Poisson process that is faster in busy minutes."""
    count = random.poisson(per_hour * factor * end / (3600 * S))
    times = random.integers(0, end, count)
    kept = busy[times // (60 * S)] | (random.random(count) < 1 / factor)
    return sorted(times[kept].tolist())


def _case_times(random: np.random.Generator, end: int, busy: np.ndarray, recipe: Recipe) -> list[int]:
    """Return when something fails: nine times of ten in busy minutes."""
    times: list[int] = []
    while len(times) < recipe.cases:
        time = int(random.integers(60 * S, end))
        if busy[time // (60 * S)] or random.random() < 0.1 / recipe.busy:
            times.append(time)
    return sorted(times)
