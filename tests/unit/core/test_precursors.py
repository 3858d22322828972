"""What precedes failures: the statistics, the choice of controls, and what is not called a precursor."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from orchestrator.core.precursors.exact import Stratum, exact_p, false_discovery, odds_ratio
from orchestrator.core.precursors.judging import cases_of, judge
from orchestrator.core.precursors.matching import match
from orchestrator.core.precursors.watch import BEFORE_NS, GUARD_NS, Watch, collapse
from orchestrator.model.finding import FlowKey
from orchestrator.model.precursor import Encounter, Failure
from tests.support.precursor_traces import BLOCKED, START, Recipe, S, trace, whole_day

CLIENTS = tuple(f"10.0.0.{k}" for k in range(1, 7))
HOUR = 3600 * S


def flow(client, sport=40000):
    return FlowKey(protocol="tcp", src=client, sport=sport, dst="10.1.0.1", dport=80)


def failure(client, at, kind="burst"):
    return Failure(client=client, time_ns=START + at, until_ns=START + at, kind=kind, flows=(flow(client),))


def met(client, at, kind="syn-unanswered", target=BLOCKED, own=None):
    return Encounter(client=client, time_ns=START + at, kind=kind, target=target, flow=own)


def watch(failures, encounters, *, clients=CLIENTS, end=HOUR, vantage=None, spans=None):
    spans = np.array([[START, START + end]] if spans is None else spans)
    return Watch(
        failures=tuple(failures), encounters=tuple(encounters), activity=whole_day(clients, end), spans_ns=spans,
        points=np.arange(len(spans)), vantage=vantage or dict.fromkeys(clients, "gateway"),
    )  # fmt: skip


def story(cases=9, clients=3, *, exposed=None, pace=240, lead=3 * S):
    """Return a run in which *clients* fail in turn, *exposed* of the cases 3 s after an attempt in vain."""
    times = [(CLIENTS[k % clients], (100 + pace * k) * S) for k in range(cases)]
    failures = [failure(c, t) for c, t in times]
    return watch(failures, [met(c, t - lead) for c, t in times[:exposed]])


def only(run):
    (row,) = judge([cases_of(run)]).rows
    return row


def by_hand(strata):
    """Return the same by trying every choice of cases."""
    totals = {0: 1}
    ways = 1
    for s in strata:
        windows = [1] * (s.exposed_cases + s.exposed_controls) + [0] * (
            s.cases + s.controls - s.exposed_cases - s.exposed_controls
        )
        draws = [sum(c) for c in itertools.combinations(windows, s.cases)]
        ways *= len(draws)
        totals_next = {}
        for (total, n), draw in itertools.product(totals.items(), draws):
            totals_next[total + draw] = totals_next.get(total + draw, 0) + n
        totals = totals_next
    seen = sum(s.exposed_cases for s in strata)
    return sum(n for total, n in totals.items() if total >= seen) / ways


@pytest.mark.parametrize("seed", range(20))
def test_the_exact_test_counts_every_choice_of_cases(seed):
    random = np.random.default_rng(seed)
    strata = []
    for _ in range(int(random.integers(1, 6))):
        cases, controls = int(random.integers(1, 4)), int(random.integers(1, 5))
        a, c = int(random.integers(cases + 1)), int(random.integers(controls + 1))
        strata.append(Stratum(exposed_cases=a, cases=cases, exposed_controls=c, controls=controls))

    assert exact_p(strata) == pytest.approx(by_hand(strata))


def test_nothing_to_compare_with_is_no_p():
    assert exact_p([Stratum(exposed_cases=1, cases=1, exposed_controls=0, controls=0)]) is None
    assert odds_ratio([]) is None


def test_the_odds_ratio_of_pairs_is_that_of_discordant_ones():
    """Seven against two, half a pair more on either side."""
    pairs = [(1, 0)] * 7 + [(0, 1)] * 2 + [(1, 1)] * 3 + [(0, 0)] * 5
    odds = odds_ratio([Stratum(exposed_cases=a, cases=1, exposed_controls=c, controls=1) for a, c in pairs])

    assert odds.ratio == pytest.approx(3.0)
    assert odds.low < 1.0 < odds.ratio < odds.high
    assert math.log(odds.high / odds.low) == pytest.approx(2 * 1.959964 * math.sqrt(1 / 7.5 + 1 / 2.5), rel=0.03)


def test_q_is_that_of_benjamini_and_hochberg():
    assert false_discovery([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert false_discovery([]) == []


def test_failures_of_one_client_shortly_after_another_are_one_case():
    """Each within 30 s of the one before; another client's, or another kind, is its own."""
    a, b = CLIENTS[:2]
    found = collapse([failure(a, 100 * S), failure(a, 125 * S), failure(a, 150 * S), failure(a, 200 * S),
                      failure(b, 101 * S), failure(a, 101 * S, "silent")], 30 * S)  # fmt: skip

    assert [(f.client, f.kind, (f.time_ns - START) // S, (f.until_ns - START) // S) for f in found] == [
        (a, "burst", 100, 150), (a, "silent", 101, 101), (b, "burst", 101, 101), (a, "burst", 200, 200),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_no_control_is_near_a_failure_and_none_is_used_twice(seed):
    run = trace(Recipe(cases=25, exposure=0.5), seed)
    (matched,) = match(run)
    sets = matched.sets
    taken = [(w.client, w.end_ns - w.length_ns, w.end_ns) for s in sets for w in (s.case, *s.itself, *s.others)]

    assert len(sets) > 10
    for (c, a, b), (d, e, f) in itertools.combinations(taken, 2):
        assert c != d or b <= e or f <= a
    for one in sets:
        assert all(w.client == one.failure.client for w in one.itself)
        assert all(w.client != one.failure.client and w.end_ns == one.case.end_ns for w in one.others)
        for window in (*one.itself, *one.others):
            near = [f for f in run.failures if f.client == window.client and abs(f.time_ns - window.end_ns) < 30 * S]
            assert not near


def test_the_same_run_gives_the_same_sets():
    first, again = (match(trace(Recipe(cases=20), 3)) for _ in range(2))
    assert first == again


def test_what_came_before_every_failure_is_found_with_its_lead():
    row = only(story())

    assert (row.event, row.target, row.exposed_cases, row.cases, row.exposed_controls) == (
        "syn-unanswered", BLOCKED, 9, 9, 0,
    )  # fmt: skip
    assert (row.verdict, row.clients, row.lead_ns, row.lead_low_ns, row.lead_high_ns) == (
        "supported",
        3,
        3 * S,
        3 * S,
        3 * S,
    )
    assert row.p < 0.001
    assert row.odds.low > 1


@pytest.mark.parametrize("lead", [GUARD_NS - 1, BEFORE_NS[0] + 1])
def test_what_is_part_of_the_failure_or_long_ago_does_not_count(lead):
    assert judge([cases_of(story(lead=lead))]).rows == ()


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (story(cases=4), "too few cases: 4"),
        (story(cases=12, exposed=4), "too few cases that met it"),
        (story(clients=1), "a single client"),
    ],
    ids=["four failures", "four that met it", "one client"],
)
def test_too_little_proves_nothing_and_says_so(run, reason):
    row = only(run)

    assert row.verdict == "not-proved"
    assert reason in " ".join(row.reasons)
    assert row.exposed_cases >= 4


def test_a_failures_own_connections_precede_nothing():
    """Data sent again on the very connection that dies is the failure itself."""
    run = story(exposed=0)
    again = [
        Encounter(client=f.client, time_ns=f.time_ns - S, kind="retransmissions", target="x", flow=flow(f.client))
        for f in run.failures
    ]
    others = [
        Encounter(client=f.client, time_ns=f.time_ns - S, kind="retransmissions", target="x", flow=flow(f.client, 1))
        for f in run.failures
    ]

    assert judge([cases_of(watch(run.failures, again))]).rows == ()
    assert only(watch(run.failures, others)).verdict == "supported"


def test_what_healthy_clients_meet_at_the_same_times_is_no_precursor():
    """A service that is closed to everybody, for a minute around each failure."""
    run = story()
    everybody = [met(c, f.time_ns - START - 3 * S) for f in run.failures for c in CLIENTS]
    row = only(watch(run.failures, everybody))

    assert row.verdict == "not-proved"
    assert row.confounded


def test_what_these_clients_always_meet_is_no_precursor():
    """A program that asks a dead service every twenty seconds, failing or not."""
    run = story()
    always = [met(c, t * S) for c in CLIENTS[:3] for t in range(0, 3600, 20)]
    row = only(watch(run.failures, always))

    assert (row.verdict, row.exposed_cases) == ("not-proved", 9)
    assert row.unfollowed > 100


def test_clients_that_are_watched_from_elsewhere_are_no_controls():
    """Of a client that captured itself more is seen than of one behind a switch."""
    run = story()
    vantage = {c: "" if c in CLIENTS[:3] else "gateway" for c in CLIENTS}
    sets = match(watch(run.failures, (), vantage=vantage))[0].sets

    assert {w.client for s in sets for w in s.others} <= set(CLIENTS[:3])


def test_without_other_clients_nothing_is_proved():
    run = story()
    row = only(watch(run.failures, run.encounters, vantage={c: c for c in CLIENTS}))

    assert row.verdict == "not-proved"
    assert "no other client" in " ".join(row.reasons)


def test_windows_end_where_a_capture_has_a_gap():
    """The second half of the first window is all that was captured of it: its controls are as short."""
    spans = [[START, START + 80 * S], [START + 90 * S, START + HOUR]]
    sets = match(watch([failure(CLIENTS[0], 100 * S)], (), spans=spans))[0].sets

    assert {w.length_ns for s in sets for w in (s.case, *s.itself, *s.others)} == {10 * S}


def test_failures_at_the_same_moment_share_their_controls():
    """Three clients at once, three times, and two healthy ones: one chance in ten each time."""
    failures = [failure(c, (200 + 300 * n) * S + k * S) for n in range(3) for k, c in enumerate(CLIENTS[:3])]
    clients = CLIENTS[:5]
    run = watch(failures, [met(f.client, f.time_ns - START - 3 * S) for f in failures], clients=clients)
    row = only(run)

    assert (row.cases, row.exposed_cases, row.verdict) == (9, 9, "supported")
    assert row.p == pytest.approx(1e-3)


def test_several_runs_prove_together_what_none_does_alone():
    """A fault that comes three times a day."""
    runs = [cases_of(story(cases=3)) for _ in range(4)]
    (alone,) = judge(runs[:1]).rows
    (together,) = judge(runs).rows

    assert (alone.verdict, alone.too_few) == ("not-proved", True)
    assert (together.verdict, together.cases, together.exposed_cases, together.clients) == ("supported", 12, 12, 3)


def test_a_run_without_failures_has_no_precursors():
    found = judge([cases_of(watch((), [met(CLIENTS[0], 5 * S)]))])
    assert (found.failures, found.rows, found.compared) == ((), (), 0)


@pytest.mark.parametrize(("pace", "before"), [(100, 30), (32, 10), (15, 10), (11, 5)])
def test_failures_in_quick_succession_are_looked_at_more_closely(pace, before):
    """A program that is started again and dies again: shorter windows leave times to compare with."""
    failures = [failure(c, (60 + pace * n + k) * S) for n in range(4) for k, c in enumerate(CLIENTS[:3])]
    found = judge([cases_of(watch(failures, [met(f.client, f.time_ns - START - 3 * S) for f in failures]))])
    (row,) = found.rows

    assert (found.before_ns, row.cases, row.exposed_cases, row.verdict) == (before * S, 12, 12, "supported")
