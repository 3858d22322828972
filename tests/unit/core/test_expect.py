"""Expectations: what holds, what fails, and what so little data cannot show."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from orchestrator.core.expect import hold_against
from orchestrator.core.rates import loss_rate
from orchestrator.model.connection import Connection, Half
from orchestrator.model.finding import FlowKey, Reset, SegmentRow
from orchestrator.model.measures import Delay
from orchestrator.model.playbook import Expectation
from orchestrator.model.precursor import Precursor, Precursors

import numpy as np  # isort: skip


def row(lost, sent, p95_ms=9, uncertainty_ns=100_000):
    delay = Delay(min=0, p50=0, p95=p95_ms * 1_000_000, p99=0, max=0, uncertainty=uncertainty_ns)
    return SegmentRow(
        near="a", far="b", direction="forward", name="line", sent=sent, delivered=sent - lost, vanished=lost,
        loss=loss_rate(np.arange(lost) * 20, sent), delay=delay,
    )  # fmt: skip


def reset(origin, side="client"):
    flow = FlowKey(protocol="tcp", src="192.0.2.1", sport=1, dst="192.0.2.2", dport=2)
    return Reset(
        flow=flow, time_ns=0, first_seen="a", seen=("a",), born_after=None, born_before="a", origin=origin,
        family="active", cause="unknown", confidence=1.0, evidence=(), frames=(("a", (1,)),), side=side,
    )  # fmt: skip


def outcome(kind, settings, limits, rows=(), resets=()):
    (found,) = hold_against([Expectation(kind=kind, settings=settings, limits=limits)], rows, resets)
    return found.outcome


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(0, 100_000)], "pass"),
        ([row(0, 300)], "undecidable"),
        ([row(500, 10_000)], "fail"),
        ([row(12, 10_000)], "undecidable"),
        ([row(0, 100_000), row(500, 10_000)], "fail"),
        ([], "undecidable"),
    ],
    ids=["enough data", "too little data", "far above", "interval around the limit", "one of two", "not measured"],
)
def test_loss_is_judged_by_its_interval(rows, expected):
    """Zero of three hundred does not prove a loss below 0.1 %."""
    assert outcome("loss", {"segment": "line", "below": "0.1 %"}, {"below": 0.001}, rows) == expected


@pytest.mark.parametrize(("name", "expected"), [("line", "fail"), ("a..b", "fail"), ("other", "undecidable")])
def test_a_segment_is_meant_by_its_link_or_its_ends(name, expected):
    """A name that nothing was measured on is never a pass."""
    assert outcome("loss", {"segment": name, "below": "0.1 %"}, {"below": 0.001}, [row(500, 10_000)]) == expected


@pytest.mark.parametrize(
    ("p95_ms", "uncertainty_ns", "expected"),
    [(9, 100_000, "pass"), (50, 100_000, "fail"), (39, 2_000_000, "undecidable"), (9, None, "undecidable")],
)
def test_delay_is_judged_with_the_clocks_uncertainty(p95_ms, uncertainty_ns, expected):
    """A limit inside the bound cannot be decided."""
    rows = [row(0, 100, p95_ms, uncertainty_ns)]

    assert outcome("delay", {"p95_below": "40 ms"}, {"p95_below": 40e6}, rows) == expected


@pytest.mark.parametrize(
    ("resets", "expected"),
    [([], "pass"), ([reset("endpoint")], "pass"), ([reset("unknown")], "undecidable"), ([reset("network")], "fail")],
)
def test_a_reset_without_a_certain_maker_may_be_the_networks(resets, expected):
    """Neither a pass nor an accusation."""
    assert outcome("resets", {"born_in": "network", "at_most": 0}, {"at_most": 0}, (), resets) == expected


def test_a_flow_is_not_split_and_says_so():
    """An expectation on one flow is undecidable until counts are split by flow."""
    assert outcome("loss", {"flow": "app", "below": "1 %"}, {"below": 0.01}, [row(0, 100_000)]) == "undecidable"


@dataclass
class Clients:
    """What an analysis says of clients."""

    connections: list = field(default_factory=list)
    connections_in_all: int = 0
    precursors: Precursors = field(default_factory=Precursors)


def opened(*how, host="192.0.2.2"):
    flow = FlowKey(protocol="tcp", src="192.0.2.1", sport=1, dst=host, dport=443)
    half = Half(packets=1, bytes=0, resent=0, vanished=0)
    return [
        Connection(
            flow=flow, elsewhere=(), first_ns=0, last_ns=1, opened=one, closed="open", closed_by="unknown", origin=None,
            client=half, server=half, handshake=(), idle_ns=0, idle_at_ns=0, heartbeat=None,
        )
        for one in how
    ]  # fmt: skip


def judged(kind, settings, limits, clients):
    (found,) = hold_against([Expectation(kind=kind, settings=settings, limits=limits)], (), (), clients)
    return found.outcome


@pytest.mark.parametrize(
    ("how", "in_all", "expected"),
    [
        (["handshake"] * 99 + ["refused"], None, "pass"),
        (["handshake"] * 98 + ["refused", "unanswered"], None, "fail"),
        (["handshake"] * 98 + ["unseen", "mid-stream"], None, "undecidable"),
        (["mid-stream", "datagrams"], None, "undecidable"),
        (["handshake"] * 100, 3_000, "undecidable"),
        ([], None, "undecidable"),
    ],
    ids=["one of a hundred", "two of a hundred", "an answer not seen", "none opened", "a part of them", "nothing"],
)
def test_connections_succeed_by_count(how, in_all, expected):
    """What was opened before the capture is no attempt; an answer that nobody saw may be either."""
    clients = Clients(opened(*how), in_all or len(how))

    assert judged("connection", {"success": "99 %"}, {"success": 0.99}, clients) == expected


@pytest.mark.parametrize(
    ("to", "expected"), [("192.0.2.2:443", "pass"), ("192.0.2.3", "fail"), ("192.0.2.4", "undecidable")]
)
def test_connections_are_meant_by_where_they_lead(to, expected):
    both = [*opened("handshake"), *opened("refused", host="192.0.2.3")]

    assert judged("connection", {"success": "100 %", "to": to}, {"success": 1.0}, Clients(both, 2)) == expected


def before(verdict="supported", cases=9, exposed=9):
    return Precursor(
        failure="burst", event="syn-unanswered", target="203.0.113.7:443", cases=cases, exposed_cases=exposed,
        controls=45, exposed_controls=0, own_controls=20, exposed_own_controls=0, p=0.001, q=0.001, odds=None,
        lead_ns=3, lead_low_ns=3, lead_high_ns=3, clients=3, verdict=verdict, too_few=cases < 5,
        reasons=() if verdict == "supported" else ("too few cases",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "absent", "expected"),
    [
        (Precursors(), "any", "pass"),
        (Precursors(rows=(before(),), failures_in_all=9, compared=9), "any", "fail"),
        (Precursors(rows=(before(),), failures_in_all=9, compared=9), "syn-unanswered", "fail"),
        (Precursors(rows=(before(),), failures_in_all=9, compared=9), "dns-failure", "pass"),
        (Precursors(rows=(before("not-proved", 3, 3),), failures_in_all=3, compared=3), "any", "undecidable"),
        (Precursors(failures_in_all=4, compared=4), "any", "undecidable"),
        (Precursors(failures_in_all=12, compared=2), "any", "undecidable"),
        (Precursors(failures_in_all=12, compared=12), "any", "pass"),
    ],
    ids=["nothing failed", "found", "that one", "another one", "too few", "four", "no controls", "enough and none"],
)
def test_no_precursor_passes_only_where_one_would_have_shown(found, absent, expected):
    clients = Clients(opened("handshake"), 1, found)

    assert judged("precursor", {"absent": absent}, {}, clients) == expected


def test_without_any_connection_no_precursor_is_not_shown_to_be_absent():
    assert judged("precursor", {"absent": "any"}, {}, Clients()) == "undecidable"
