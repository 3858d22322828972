"""What messages in the clear tell of a run, together, and as events to lay beside other things that happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.analyses.all_frames import AllFrames
from orchestrator.core.analyses.dns import find_questions
from orchestrator.core.analyses.icmp_errors import find_errors
from orchestrator.core.analyses.tls_alerts import HARMLESS, find_alerts
from orchestrator.core.frames import frame_numbers
from orchestrator.model.names import SLOW_NS, Event, EventKind, Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.core.analysis import Analysis
    from orchestrator.model.messages import Messages
    from orchestrator.model.names import DnsTransaction, IcmpError, TlsAlert

FAILED = ("servfail", "refused", "error")
LAST_SERVICE = 1023
"""Ports up to here are those of servers."""
SILENT = ("no-answer", "answer-lost")
"""Where no answer is seen because no point hears the server, nothing is known to have gone wrong."""


def read_names(found: Analysis, scene: Scene, messages: Messages | None) -> Names:
    """Return what *messages* tell, nothing where none were read; *found* knows all frames of the run."""
    if messages is None:
        return Names()
    frames = AllFrames(
        packets=found.packets, point=found.point, token=found.token_of_row, time_ns=found.reference_ns,
        number=frame_numbers(found.point, len(scene.names)),
    )  # fmt: skip
    quoted = find_errors(scene, frames, messages.icmp)
    asked = find_questions(scene, frames, messages, quoted.by_flow)
    warned = find_alerts(scene, frames, messages.alerts)
    return Names(
        dns=tuple(asked.transactions), dns_in_all=asked.in_all, dns_not_read=asked.not_read, asked_of=tuple(asked.of),
        dns_more_failed=asked.some_left_out,
        icmp_errors=tuple(quoted.errors), icmp_errors_in_all=quoted.in_all, tls_alerts=tuple(warned.alerts),
        tls_alerts_in_all=warned.in_all, tls_alerts_encrypted=warned.encrypted,
    )  # fmt: skip


def events(names: Names) -> list[Event]:
    """Return what went wrong for clients, in order of time."""
    found = [e for t in names.dns for e in _of_question(t)]
    found += [e for error in names.icmp_errors for e in _of_error(error)]
    found += [_of_alert(a) for a in names.tls_alerts if a.description not in HARMLESS]
    return sorted(found, key=lambda e: (e.time_ns, e.client, e.kind, e.target))


def _of_question(t: DnsTransaction) -> Iterator[Event]:
    """Yield what went wrong with one question: a name that does not exist is an answer."""
    kind: EventKind | None = None
    if t.outcome in SILENT:
        kind = "dns-no-answer"
    elif t.outcome in FAILED:
        kind = "dns-failure"
    elif t.took_ns is not None and t.took_ns > SLOW_NS:
        kind = "dns-slow"
    if kind is not None:
        yield Event(
            client=t.flow.src, time_ns=t.asked_ns, kind=kind, target=t.flow.dst, flow=t.flow, point=t.last_seen,
            frame=t.frame,
        )  # fmt: skip


def _of_error(error: IcmpError) -> Iterator[Event]:
    """Yield an event each time that a client's packet was rejected; one too large, or expired, is another matter."""
    if error.quoted is None or not ("prohibited" in error.name or _is_unreachable(error)):
        return
    if error.quoted.sport <= LAST_SERVICE < error.quoted.dport:  # an answer that nobody waits for any more
        return
    kind: EventKind = "icmp-prohibited" if "prohibited" in error.name else "icmp-unreachable"
    target = f"{error.quoted.dst}:{error.quoted.dport}" if error.quoted.dport else error.quoted.dst
    for time in error.times_ns:
        yield Event(
            client=error.quoted.src, time_ns=time, kind=kind, target=target, flow=error.quoted, point=error.point,
            frame=error.frame,
        )  # fmt: skip


def _is_unreachable(error: IcmpError) -> bool:
    return "unreachable" in error.name or "unknown" in error.name or error.name in {"no route", "route rejected"}


def _of_alert(alert: TlsAlert) -> Event:
    """Return the event of an alert, whoever sent it."""
    server = alert.flow.turned() if alert.client == alert.flow.dst else alert.flow
    return Event(
        client=alert.client, time_ns=alert.time_ns, kind="tls-alert", target=f"{server.dst}:{server.dport}",
        flow=server, point=alert.point, frame=alert.frame,
    )  # fmt: skip
