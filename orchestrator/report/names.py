"""Questions to name servers, errors of ICMP and alerts of TLS as result.json holds them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.model.names import DnsTransaction, IcmpError, Names, TlsAlert

    Written = Callable[[int | None], str | None]


def names_document(names: Names, timestamp: Written) -> dict[str, Any]:
    """Return the part of result.json that messages in the clear tell; *timestamp* writes a time."""
    return {
        "dns": [_question(t, timestamp) for t in names.dns],
        "dns_in_all": names.dns_in_all,
        "dns_not_read": names.dns_not_read,
        "icmp_errors": [_error(e, timestamp) for e in names.icmp_errors],
        "icmp_errors_in_all": names.icmp_errors_in_all,
        "tls_alerts": [_alert(a, timestamp) for a in names.tls_alerts],
        "tls_alerts_in_all": names.tls_alerts_in_all,
        "tls_alerts_encrypted": names.tls_alerts_encrypted,
    }


def _question(t: DnsTransaction, timestamp: Written) -> dict[str, Any]:
    return {
        "client": t.flow.src, "server": t.flow.dst, "flow": asdict(t.flow), "id": t.id, "qname": t.qname,
        "qtype": t.qtype, "asked": timestamp(t.asked_ns), "asked_at": t.asked_at, "times_asked": t.asked,
        "outcome": t.outcome, "reason": t.reason or None, "rcode": t.rcode, "answered": timestamp(t.answered_ns),
        "answered_at": t.answered_at, "took_ns": t.took_ns, "truncated": t.truncated, "answers": t.answers,
        "seen": list(t.seen), "last_seen": t.last_seen, "frames": {t.last_seen: [t.frame]},
        "vanished": list(t.lost) if t.lost else None,
        "rejected": t.rejected, "silent_at": t.silent_at,
    }  # fmt: skip


def _error(e: IcmpError, timestamp: Written) -> dict[str, Any]:
    return {
        "protocol": e.protocol, "type": e.type, "code": e.code, "name": e.name, "mtu": e.mtu, "sender": e.sender,
        "receiver": e.receiver, "quoted": asdict(e.quoted) if e.quoted else None, "quoted_seen": e.known,
        "count": e.count, "first": timestamp(e.first_ns), "last": timestamp(e.last_ns),
        "times": [timestamp(t) for t in e.times_ns], "points": dict(e.points), "frames": {e.point: [e.frame]},
    }  # fmt: skip


def _alert(a: TlsAlert, timestamp: Written) -> dict[str, Any]:
    return {
        "flow": asdict(a.flow), "sender": a.flow.src, "client": a.client, "level": a.level,
        "description": a.description, "name": a.name, "time": timestamp(a.time_ns), "seen": list(a.points),
        "frames": {a.point: [a.frame]},
    }  # fmt: skip
