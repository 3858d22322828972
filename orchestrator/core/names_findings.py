"""Sentences about name servers that fail or are slow, and about what routers and TLS say when they refuse."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.core.analyses.tls_alerts import HARMLESS
from orchestrator.core.grounds import PROBABLY_BECAUSE
from orchestrator.model.finding import Evidence, Finding
from orchestrator.model.names import SLOW_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.core.grounds import Grounds
    from orchestrator.model.names import DnsOutcome, DnsTransaction, IcmpError, TlsAlert

WORDS: dict[DnsOutcome, str] = {
    "no-answer": "no answer", "answer-lost": "an answer that vanished on its way", "servfail": "server failure",
    "refused": "refused", "error": "other error",
}  # fmt: skip
MOST_OF_A_KIND, EXAMPLES = 10, 3
BREAKS = ("unreachable", "prohibited", "needed", "exceeded", "too big", "unknown", "no route", "failed", "problem")
"""Of errors that say that a packet did not come through."""


def names_findings(grounds: Grounds) -> list[Finding]:
    """Return one finding for each server that failed or was slow, each kind of error and sender, each kind of alert."""
    return [*_failures(grounds), *_slow(grounds), *_errors(grounds), *_alerts(grounds)]


def _by_server(
    grounds: Grounds, transactions: Sequence[DnsTransaction]
) -> Iterator[tuple[str, int, list[DnsTransaction]]]:
    """Yield (server, all its questions, those of *transactions*), the most of these first."""
    total = dict(grounds.names.asked_of)
    groups: dict[str, list[DnsTransaction]] = {}
    for transaction in transactions:
        groups.setdefault(transaction.flow.dst, []).append(transaction)
    for server, mine in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))[:MOST_OF_A_KIND]:
        yield server, max(total.get(server, 0), len(mine)), mine


def _failures(grounds: Grounds) -> list[Finding]:
    """One finding for each server of which questions failed, one for each that no point hears."""
    failed = [t for t in grounds.names.dns if t.outcome in WORDS]
    unheard = [t for t in grounds.names.dns if t.outcome == "no-answer-seen"]
    found = [_failure(grounds, *group) for group in _by_server(grounds, failed)]
    return [*found, *(_unheard(*group) for group in _by_server(grounds, unheard))]


def _failure(grounds: Grounds, server: str, total: int, failed: Sequence[DnsTransaction]) -> Finding:
    """Word what failed of the questions to one server."""
    outcomes = Counter(t.outcome for t in failed)
    least = "at least " if grounds.names.dns_more_failed else ""
    statement = f"Name server {server}: {least}{_times(len(failed), 'question')} of {total:,} came to nothing"
    statement += f" ({_times(len({t.flow.src for t in failed}), 'client')}): "
    statement += ", ".join(f"{n:,} {WORDS[outcome]}" for outcome, n in outcomes.most_common()) + "."
    statement += _where(failed) + _beside(grounds, server, failed) + _asked_for(failed)
    silent = outcomes["no-answer"] > 0
    why = ("a filter or policy beyond that point", "a server that is down, or too busy to answer") if silent else ()
    return Finding(
        id=f"dns-failure-{server}", kind="dns-failure", verdict="supported", statement=statement,
        evidence=tuple(_evidence(t) for t in failed[:EXAMPLES]),
        alternatives=(
            *why, *(PROBABLY_BECAUSE if any(t.lost for t in failed) else ()), "servers that this one asks in turn"
        ),
        would_change_it=(f"a capture beside {server}" if silent else f"the log of {server}",),
    )  # fmt: skip


def _unheard(server: str, total: int, unheard: Sequence[DnsTransaction]) -> Finding:
    """Say of a server that nobody hears no more than that."""
    clients = len({t.flow.src for t in unheard})
    return Finding(
        id=f"dns-unheard-{server}", kind="dns-failure", verdict="not-proved",
        statement=f"No answer seen to {_times(len(unheard), 'question')} of {total:,} to the name server {server}"
        f" ({_times(clients, 'client')}): no point that saw them hears this server at all.{_asked_for(unheard)}",
        evidence=tuple(_evidence(t) for t in unheard[:EXAMPLES]),
        alternatives=("answers that take a way without capture point", "a server that is down"),
        would_change_it=(f"a capture beside {server}",),
    )  # fmt: skip


def _beside(grounds: Grounds, server: str, failed: Sequence[DnsTransaction]) -> str:
    """Say how many clients learned the name all the same, and what could not be decided."""
    known = {(t.flow.src, t.qname, t.qtype) for t in grounds.names.dns if t.outcome in {"answered", "nxdomain"}}
    anew = sum((t.flow.src, t.qname, t.qtype) in known for t in failed)
    text = f" {anew:,} of these names the client learned by asking anew, or elsewhere." if anew else ""
    open_ones = sum(t.outcome == "undecided" and t.flow.dst == server for t in grounds.names.dns)
    return text + (f" {open_ones:,} more could not be decided." if open_ones else "")


def _where(failed: Sequence[DnsTransaction]) -> str:
    """Say where questions or answers ended, as far as that is known."""
    text = ""
    for (near, far), n in Counter(t.lost for t in failed if t.lost is not None).most_common(EXAMPLES):
        text += f" {n:,} vanished between {near} and {far}."
    for reason, n in Counter(t.reason for t in failed if t.rejected).most_common(EXAMPLES):
        text += f" {n:,} {'were' if n > 1 else 'was'} rejected: {reason}."
    for point, n in Counter(t.silent_at for t in failed if t.silent_at is not None).most_common(EXAMPLES):
        text += f" Of {n:,} no answer came to {point}, which saw the question."
    return text


def _asked_for(transactions: Sequence[DnsTransaction]) -> str:
    """Name some of what was asked for."""
    asked = list(dict.fromkeys(f"{t.qname} {t.qtype}" for t in transactions))
    more = f" and {len(asked) - EXAMPLES:,} more" if len(asked) > EXAMPLES else ""
    return f" Asked for: {', '.join(asked[:EXAMPLES])}{more}."


def _slow(grounds: Grounds) -> list[Finding]:
    """One finding for each server that answered late."""
    late = [t for t in grounds.names.dns if t.took_ns is not None and t.took_ns > SLOW_NS and t.outcome not in WORDS]
    return [_late(*group) for group in _by_server(grounds, late)]


def _late(server: str, total: int, late: Sequence[DnsTransaction]) -> Finding:
    """Word which answers of one server came late."""
    worst = max(late, key=lambda t: t.took_ns or 0)
    again = sum(t.asked > 1 for t in late)
    statement = (
        f"Name server {server}: {_times(len(late), 'answer')} to {total:,} questions came later than"
        f" {SLOW_NS / 1e9:.3g} s after they were first asked, the latest after {(worst.took_ns or 0) / 1e9:.3g} s;"
        f" {again:,} of them had been asked more than once.{_asked_for(late)}"
    )
    first_copies = ("the first copy of a question, or its answer, was lost beyond that point",) if again else ()
    return Finding(
        id=f"dns-slow-{server}", kind="dns-slow", verdict="supported", statement=statement,
        evidence=tuple(_evidence(t) for t in (worst, *(t for t in late if t is not worst))[:EXAMPLES]),
        alternatives=(*first_copies, "servers that this one asks in turn", "the way to it"),
        would_change_it=(f"a capture beside {server}",),
    )  # fmt: skip


def _evidence(t: DnsTransaction) -> Evidence:
    """Return where a reader finds a question."""
    family = "ipv6" if ":" in t.flow.src else "ip"
    text = f"dns.id=={t.id:#06x} && {family}.addr=={t.flow.src} && {t.flow.protocol}.port=={t.flow.sport}"
    return Evidence(point=t.last_seen, frame=t.frame, filter=text)


def _errors(grounds: Grounds) -> list[Finding]:
    """One finding for each kind of error and sender."""
    groups: dict[tuple[str, str], list[IcmpError]] = {}
    for error in grounds.names.icmp_errors:
        if any(word in error.name for word in BREAKS):
            groups.setdefault((error.name, error.sender), []).append(error)
    ordered = sorted(groups.items(), key=lambda g: -sum(e.count for e in g[1]))
    found = [_error(name, sender, errors) for (name, sender), errors in ordered[:MOST_OF_A_KIND]]
    return [*found, *_left_out(grounds, [errors for _, errors in ordered[MOST_OF_A_KIND:]])]


def _error(name: str, sender: str, errors: Sequence[IcmpError]) -> Finding:
    """Word what one address said."""
    first = errors[0]
    count = sum(e.count for e in errors)
    quoted = [str(e.quoted) for e in errors if e.quoted is not None]
    statement = f"{sender} says {_times(count, 'time')} by {first.protocol.upper()}: {name}"
    mtus = sorted({e.mtu for e in errors if e.mtu is not None})
    statement += f" (next-hop MTU {', '.join(f'{m:,}' for m in mtus)})" if mtus else ""
    statement += f", about {_times(len(errors), 'flow')} ({sum(e.known for e in errors):,} seen here)"
    statement += f": {', '.join(quoted[:EXAMPLES])}" if quoted else ""
    statement += f" and {len(quoted) - EXAMPLES:,} more." if len(quoted) > EXAMPLES else "."
    family = "ipv6" if ":" in sender else "ip"
    layer = "icmpv6" if first.protocol == "icmp6" else "icmp"
    text = f"{family}.src=={sender} && {layer}.type=={first.type} && {layer}.code=={first.code}"
    return Finding(
        id=f"icmp-{name.replace(' ', '-')}-{sender}", kind="icmp-error", verdict="supported", statement=statement,
        evidence=tuple(Evidence(point=e.point, frame=e.frame, filter=text) for e in errors[:EXAMPLES]),
        alternatives=_why_said(name, sender), would_change_it=(f"the configuration or log of {sender}",),
    )  # fmt: skip


def _why_said(name: str, sender: str) -> tuple[str, ...]:
    """Return what else explains an error."""
    forged = f"a device that speaks in the name of {sender}"
    if "exceeded" in name:
        return ("a traceroute, which asks for it", "a routing loop", forged)
    if "needed" in name or "too big" in name:
        return ("path MTU discovery at work, which heals itself where the sender hears it", forged)
    return (forged,)


def _left_out(grounds: Grounds, groups: Sequence[Sequence[IcmpError]]) -> list[Finding]:
    """Say how much is not said."""
    if not groups:
        return []
    total = sum(e.count for e in grounds.names.icmp_errors)
    count = sum(e.count for errors in groups for e in errors)
    return [
        Finding(
            id="icmp-more", kind="icmp-error", verdict="supported",
            statement=f"{count:,} more of {total:,} errors of ICMP, of {len(groups):,} other kinds or senders, stand in"
            " icmp_errors of result.json.",
        )
    ]  # fmt: skip


def _alerts(grounds: Grounds) -> list[Finding]:
    """One finding for each kind of alert and server."""
    groups: dict[tuple[str, bool, str], list[TlsAlert]] = {}
    for alert in grounds.names.tls_alerts:
        if alert.description not in HARMLESS:
            groups.setdefault((alert.name, alert.client == alert.flow.src, _server(alert)), []).append(alert)
    ordered = sorted(groups.items(), key=lambda g: -len(g[1]))
    return [_alert(grounds, *key, alerts) for key, alerts in ordered[:MOST_OF_A_KIND]]


def _server(alert: TlsAlert) -> str:
    """Return the server of an alert's connection."""
    flow = alert.flow if alert.client == alert.flow.src else alert.flow.turned()
    return f"{flow.dst}:{flow.dport}"


def _alert(grounds: Grounds, name: str, by_client: bool, server: str, alerts: Sequence[TlsAlert]) -> Finding:  # noqa: FBT001  # a part of the key
    """Word alerts of one kind."""
    first = alerts[0]
    hosts = sorted({a.flow.src for a in alerts})
    who = ", ".join(hosts[:EXAMPLES]) + (f" and {len(hosts) - EXAMPLES:,} more" if len(hosts) > EXAMPLES else "")
    connections = len({str(a.flow) for a in alerts})
    fatal = sum(a.level == "fatal" for a in alerts)
    statement = (
        f"TLS alert “{name}” from {'the client' if by_client else 'the server'} {who},"
        f" {_times(connections, 'connection')} of {server}: {len(alerts):,} of {grounds.names.tls_alerts_in_all:,}"
        f" alerts in the clear, {fatal:,} of them fatal."
    )
    text = f"tls.alert_message.desc=={first.description} && tcp.port=={first.flow.sport}"
    return Finding(
        id=f"tls-alert-{first.description}-{'client' if by_client else 'server'}-{server}", kind="tls-alert",
        verdict="supported", statement=statement,
        evidence=tuple(Evidence(point=a.point, frame=a.frame, filter=text) for a in alerts[:EXAMPLES]),
        alternatives=(f"a device on the way that speaks TLS in the name of {who}",),
        would_change_it=(f"the log of {server}",),
    )  # fmt: skip


def _times(count: int, thing: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {thing}{'s' if count != 1 else ''}"
