"""Failures of clients and what they met before, as result.json holds them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.model.precursor import Encounter, Failure, Precursor, Precursors

    Written = Callable[[int | None], str | None]


def precursors_document(precursors: Precursors, timestamp: Written) -> dict[str, Any]:
    """Return the part of result.json that tells of failures; *timestamp* writes a time."""
    return {
        "failures": [_failure(f, timestamp) for f in precursors.failures],
        "failures_in_all": precursors.failures_in_all,
        "precursors": [_row(r, timestamp) for r in precursors.rows if r.stands_out],
        "met_before": [_row(r, timestamp) for r in precursors.rows if not r.stands_out],
        "precursor_tests": precursors.tests,
        "precursors_before_ns": precursors.before_ns,
        "precursors_incomplete": list(precursors.incomplete),
    }


def _failure(f: Failure, timestamp: Written) -> dict[str, Any]:
    return {
        "client": f.client, "time": timestamp(f.time_ns), "until": timestamp(f.until_ns), "kind": f.kind,
        "flows": [asdict(flow) for flow in f.flows], "frames": {f.point: [f.frame]} if f.frame else {},
    }  # fmt: skip


def _row(r: Precursor, timestamp: Written) -> dict[str, Any]:
    return {
        "failure": r.failure, "event": r.event, "target": r.target, "cases": r.cases, "exposed_cases": r.exposed_cases,
        "controls": r.controls, "exposed_controls": r.exposed_controls,
        "own_controls": r.own_controls, "exposed_own_controls": r.exposed_own_controls, "p": r.p, "q": r.q,
        "odds_ratio": None if r.odds is None else {"value": r.odds.ratio, "low": r.odds.low, "high": r.odds.high},
        "lead_ns": r.lead_ns, "lead_quartiles_ns": [r.lead_low_ns, r.lead_high_ns], "clients": r.clients,
        "verdict": r.verdict, "too_few": r.too_few, "unfollowed": r.unfollowed, "confounded": r.confounded,
        "reasons": list(r.reasons),
        "examples": [_encounter(e, timestamp) for e in r.examples],
    }  # fmt: skip


def _encounter(e: Encounter, timestamp: Written) -> dict[str, Any]:
    return {
        "client": e.client, "time": timestamp(e.time_ns), "flow": None if e.flow is None else asdict(e.flow),
        "frames": {e.point: [e.frame]} if e.frame else {},
    }  # fmt: skip
