"""Write a result for programs: result.json (schema 1) and vanished.jsonl."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.report.names import names_document
from orchestrator.report.precursors import precursors_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.model.changes import Modification
    from orchestrator.model.clock import ClockModel
    from orchestrator.model.connection import Connection, Half
    from orchestrator.model.finding import FlowKey, Reset, SegmentRow, Vanished
    from orchestrator.model.measures import Delay, Mechanism, Reordering, Resends, Survival
    from orchestrator.model.result import PointResult, Result
    from orchestrator.model.series import Series, SeriesLoss

MOST_VANISHED = 10_000
"""Entries in result.json; all of them stand in vanished.jsonl."""


def timestamp(time_ns: int | None) -> str | None:
    """Return nanoseconds since the epoch as ISO 8601 with nine digits, in UTC."""
    if time_ns is None:
        return None
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{seconds}.{rest:09d}"
    return f"{text}.{rest:09d}Z"


def result_document(result: Result, *, version: str, generated_ns: int) -> dict[str, Any]:
    """Return *result* as the document of DESIGN §10."""
    head = result.headline
    window = [timestamp(t) for t in head.window] if head.window else []
    return {
        "schema": 1,
        "tool": {"name": "vanishpoint", "version": version},
        "run_id": result.run_id,
        "generated_at": timestamp(generated_ns),
        "name": result.name,
        "headline": {
            "network": head.network, "domain": head.domain, "statement": head.statement,
            "scope": {"flows": list(head.flows), "points": list(head.points), "window": window},
            "because": list(head.because), "would_decide_it": list(head.would_decide_it),
        },
        "points": [_point(p) for p in result.points],
        "absent": [{"name": name, "reason": reason} for name, reason in result.absent],
        "paths": [{"name": p.name, "points": list(p.points)} for p in result.paths],
        "segments": [_segment(s) for s in result.segments],
        "vanished": [vanished_entry(v) for v in result.vanished[:MOST_VANISHED]],
        "truncated": len(result.vanished) > MOST_VANISHED,
        "undecided": [{"reason": u.reason, "count": u.count, "from": u.near, "to": u.far} for u in result.undecided],
        "resets": [_reset(r) for r in result.resets],
        "bursts": [
            {
                "host": b.host, "time": timestamp(b.time_ns), "flows": b.flows, "servers": b.servers,
                "open_flows": b.open_flows, "survivors": b.survivors, "quiet": b.quiet, "spread_ns": b.spread_ns,
                "went_on": b.went_on, "bystanders": b.bystanders, "together": list(b.together),
                "first_seen": b.first_seen, "frames": list(b.frames),
            }
            for b in result.bursts
        ],
        **precursors_document(result.precursors, timestamp),
        "translations": [{"from": a, "to": b, "inside": i, "outside": o} for a, b, i, o in result.translations],
        "series": [_series(s) for s in result.series],
        "connections": [_connection(c) for c in result.connections],
        "connections_in_all": result.connections_in_all,
        **names_document(result.names, timestamp),
        "findings": [
            {
                "id": f.id, "kind": f.kind, "verdict": f.verdict, "statement": f.statement,
                "segment": list(f.segment) if f.segment else None,
                "evidence": [{"point": e.point, "frame": e.frame, "filter": e.filter} for e in f.evidence],
                "alternatives": list(f.alternatives), "would_change_it": list(f.would_change_it),
            }
            for f in result.findings
        ],
        "expect": [{"name": e.name, "outcome": e.outcome, "reason": e.reason} for e in result.expect],
        "warnings": list(result.warnings),
    }  # fmt: skip


def vanished_lines(result: Result) -> Iterator[str]:
    """Yield one JSON line a vanished token."""
    for entry in result.vanished:
        yield json.dumps(vanished_entry(entry), ensure_ascii=False, sort_keys=True) + "\n"


def vanished_entry(v: Vanished) -> dict[str, Any]:
    """Return one vanished token."""
    return {
        "flow": _flow(v.flow), "kind": v.kind, "bytes": v.bytes, "last_seen": v.last_seen,
        "first_missing": v.first_missing, "verdict": v.verdict, "time": timestamp(v.time_ns), "packets": 1,
        "frames": {v.last_seen: [v.frame]}, "filter": _filter(v.flow), "recovered": v.recovered,
        "superseded": v.superseded, "stall_ns": v.stall_ns,
    }  # fmt: skip


def _filter(flow: FlowKey) -> str:
    """Return a Wireshark display filter for one direction of a flow."""
    family = "ipv6" if ":" in flow.src else "ip"
    text = f"{family}.src=={flow.src} && {family}.dst=={flow.dst}"
    if flow.protocol in {"tcp", "udp"}:
        text += f" && {flow.protocol}.srcport=={flow.sport} && {flow.protocol}.dstport=={flow.dport}"
    return text


def _flow(flow: FlowKey) -> dict[str, Any]:
    return {"protocol": flow.protocol, "src": flow.src, "sport": flow.sport, "dst": flow.dst, "dport": flow.dport}


def _clock(clock: ClockModel) -> dict[str, Any]:
    return {
        "reference": clock.reference, "at": timestamp(clock.at_ns), "offset_ns": clock.offset_ns,
        "uncertainty_ns": clock.uncertainty_ns, "drift_ppb": round(clock.drift * 1e9), "method": clock.method,
        "steps": [{"at": timestamp(at), "size_ns": size} for at, size in clock.steps], "notes": list(clock.notes),
    }  # fmt: skip


def _point(p: PointResult) -> dict[str, Any]:
    return {
        "name": p.name, "node": p.node, "order": p.order, "packets": p.packets, "first": timestamp(p.first_ns),
        "last": timestamp(p.last_ns), "link_type": p.link_type, "quality": p.quality, "reasons": list(p.reasons),
        "kernel_drops": p.kernel_drops, "capture_miss_rate": p.capture_miss_rate, "offloads": list(p.offloads),
        "files": [{"path": f.path, "sha256": f.sha256, "size": f.size_bytes, "packets": n} for f, n in p.files],
        "clock": _clock(p.clock), "not_decoded": dict(p.not_decoded),
        "coverage": [
            {"class": c.kind, "direction": c.direction, "passed": c.passed, "seen": c.seen} for c in p.coverage
        ],
    }  # fmt: skip


def _segment(s: SegmentRow) -> dict[str, Any]:
    loss, delay = s.loss, s.delay
    return {
        "from": s.near, "to": s.far, "direction": s.direction, "inferred": s.inferred, "span": s.span,
        "contains": list(s.contains), "name": s.name, "circuit": s.circuit, "holes": s.holes, "resent": s.resent,
        "series": _series_loss(s.series),
        "sent": s.sent, "delivered": s.delivered, "vanished": s.vanished, "vanished_probable": s.vanished_probable,
        "unseen": s.unseen, "undecided": s.undecided, "modified": s.modified,
        "modifications": [_modification(m, s.near) for m in s.modifications], "hops": s.hops,
        "duplicated": s.duplicated, "reordered": s.reordered, "resets_born": s.resets,
        "loss": None if loss is None else {
            "rate": loss.rate, "low": loss.low, "high": loss.high, "episodes": loss.episodes,
            "lost": loss.lost, "eligible": loss.eligible, "few": loss.few,
        },
        "delay_ns": None if delay is None else {
            "min": delay.min, "p50": delay.p50, "p95": delay.p95, "p99": delay.p99, "max": delay.max,
            "uncertainty": delay.uncertainty, "p999": delay.p999, "samples": delay.samples,
            "doubt": delay.doubt or None, "late": delay.late, "waited": delay.waited,
        },
        "pdv_ns": _variation(delay), "round_trip_ns": s.round_trip_ns, "reordering": _reordering(s.reordering),
        "mechanism": _mechanism(s.mechanism), "retransmissions": _resends(s.resends),
        "survival": _survival(s.survival),
    }  # fmt: skip


def _series(s: Series) -> dict[str, Any]:
    return {
        "kind": s.kind, "flow": _flow(s.flow), "direction": s.direction,
        "points": [
            {
                "point": p.point, "received": p.received, "lost": p.lost, "undecided": p.undecided,
                "elsewhere": p.elsewhere, "duplicated": p.duplicated, "reordered": p.reordered,
                "reason": p.reason or None,
            }
            for p in s.points
        ],
        "vanished": [{"from": near, "to": far, "packets": n} for near, far, n in s.vanished],
    }  # fmt: skip


def _connection(c: Connection) -> dict[str, Any]:
    return {
        "flow": _flow(c.flow), "elsewhere": {point: _flow(flow) for point, flow in c.elsewhere},
        "first": timestamp(c.first_ns), "last": timestamp(c.last_ns), "opened": c.opened, "closed": c.closed,
        "closed_by": c.closed_by, "origin": c.origin, "client": _half(c.client), "server": _half(c.server),
        "handshake": [{"point": h.point, "server_ns": h.server_ns, "client_ns": h.client_ns} for h in c.handshake],
        "idle_ns": c.idle_ns, "idle_at": timestamp(c.idle_at_ns) if c.idle_ns else None,
        "heartbeat": None if c.heartbeat is None else {
            "period_ns": c.heartbeat.period_ns, "beats": c.heartbeat.beats, "missed": c.heartbeat.missed,
            "missed_at": [timestamp(t) for t in c.heartbeat.missed_at_ns],
        },
        "stall": None if c.stall is None else {
            "by": c.stall.by, "kind": c.stall.kind, "packets": c.stall.packets, "resent": c.stall.resent,
            "since": timestamp(c.stall.since_ns), "until": timestamp(c.stall.until_ns), "last_seen": c.stall.last_seen,
            "frames": {c.stall.last_seen: [c.stall.frame]},
            "first_missing": c.stall.first_missing, "silent_before_ns": c.stall.silent_before_ns,
        },
        "zero_window": None if c.zero_window is None else {
            "by": c.zero_window.by, "longest_ns": c.zero_window.longest_ns, "at": timestamp(c.zero_window.at_ns),
        },
    }  # fmt: skip


def _half(half: Half) -> dict[str, int]:
    return {"packets": half.packets, "bytes": half.bytes, "resent": half.resent, "vanished": half.vanished}


def _series_loss(s: SeriesLoss | None) -> dict[str, Any] | None:
    if s is None:
        return None
    return {
        "lost": s.lost, "undecided": s.undecided, "received": s.received, "series": s.series, "kinds": list(s.kinds),
    }  # fmt: skip


def _modification(m: Modification, near: str | None) -> dict[str, Any]:
    return {
        "field": m.field, "packets": m.packets, "of": m.of,
        "changes": [{"from": c.before, "to": c.after, "packets": c.packets, "of": c.of} for c in m.changes],
        "flow": None if m.flow is None else _flow(m.flow),
        "frames": {} if m.frame is None else {near: [m.frame]},
    }  # fmt: skip


def _variation(delay: Delay | None) -> dict[str, int] | None:
    """Return delay less its minimum: what no clock offset touches."""
    if delay is None or delay.variation is None:
        return None
    return dict(zip(("p50", "p95", "p99", "max"), delay.variation, strict=True))


def _reordering(r: Reordering | None) -> dict[str, Any] | None:
    if r is None:
        return None
    return {
        "packets": r.packets, "of": r.of, "ratio": r.packets / r.of,
        "extent": {"p50": r.extent_p50, "max": r.extent_max}, "by_three": r.by_three,
        "late_ns": {"p50": r.late_p50_ns, "max": r.late_max_ns},
    }  # fmt: skip


def _survival(s: Survival | None) -> dict[str, Any] | None:
    if s is None:
        return None
    return {
        "loss": s.loss, "low": s.low, "high": s.high, "tokens": s.tokens,
        "capture": {"near": s.near_capture, "far": s.far_capture}, "distinguishable": s.distinguishable,
    }  # fmt: skip


def _resends(r: Resends | None) -> dict[str, Any] | None:
    if r is None:
        return None
    return {
        "first_copy_died": r.died, "first_copy_died_probable": r.died_probable, "ack_died": r.ack_died,
        "recovered": r.recovered, "not_recovered": r.not_recovered,
        "stall_ns": {"p50": r.stall_p50_ns, "max": r.stall_max_ns}, "behind": r.behind, "needless": r.needless,
        "undecided": r.undecided, "tail_probes": r.probes,
    }  # fmt: skip


def _mechanism(m: Mechanism | None) -> dict[str, Any] | None:
    if m is None:
        return None
    return {
        "cause": m.cause, "losses": m.losses, "episodes": m.episodes, "detail": m.detail,
        "statistics": [{"name": s.name, "value": s.value, "of": s.of} for s in m.statistics],
        "against": list(m.against), "interval": [timestamp(t) for t in m.interval_ns] if m.interval_ns else None,
    }  # fmt: skip


def _reset(r: Reset) -> dict[str, Any]:
    return {
        "flow": _flow(r.flow), "time": timestamp(r.time_ns), "first_seen": r.first_seen, "seen": list(r.seen),
        "born": {"after": r.born_after, "before": r.born_before}, "origin": r.origin, "family": r.family,
        "cause": r.cause, "supports": list(r.supports), "against": list(r.against),
        "would_decide": list(r.would_decide), "confidence": r.confidence, "evidence": list(r.evidence), "side": r.side,
        "frames": {point: list(frames) for point, frames in r.frames},
    }  # fmt: skip
