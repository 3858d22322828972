"""Expectations: what holds, what fails, and what so little data cannot show."""

from __future__ import annotations

import pytest

from orchestrator.core.expect import hold_against
from orchestrator.core.rates import loss_rate
from orchestrator.model.finding import FlowKey, Reset, SegmentRow
from orchestrator.model.measures import Delay
from orchestrator.model.playbook import Expectation

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
