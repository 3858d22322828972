"""Sentences about what clients met before they failed, and about what is not visible from here."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.core.precursors.likely import likely
from orchestrator.model.finding import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.grounds import Grounds
    from orchestrator.model.precursor import Encounter, Failed, Failure, Met, Precursor

ENOUGH_CASES = 8
"""Below it, what precedes four failures of five is missed more often than not (ALGORITHMS D.6)."""
NOTEWORTHY = 0.05
MOST_LISTED, MOST_TIMES = 5, 12
WORDS: dict[Met, str] = {
    "syn-unanswered": "no answer from {} to an attempt to connect",
    "syn-refused": "{} refused a connection",
    "icmp-prohibited": "a router said that {} is prohibited",
    "icmp-unreachable": "a router said that {} is unreachable",
    "dns-failure": "the name server {} failed",
    "dns-no-answer": "no answer from the name server {}",
    "dns-slow": "a late answer from the name server {}",
    "tls-alert": "an alert of TLS on a connection with {}",
    "retransmissions": "data sent again and again on a connection with {}",
    "heartbeat-missed": "a heartbeat with {} did not come",
    "zero-window": "a window that stayed closed on a connection with {}",
    "stall": "a connection with {} that got no answer any more",
    "reset-received": "a connection reset by {}",
    "reset-sent": "a single connection with {} that the client reset",
}
FAILURES: dict[Failed, str] = {
    "burst": "several connections of one client reset by it at once",
    "reset": "a connection reset by its client",
    "silent": "a connection that got no answer any more",
    "unanswered": "an attempt to connect in vain",
}


def precursor_findings(grounds: Grounds) -> list[Finding]:
    """Return one finding for each thing met before failures that stands out, or one that says that nothing does."""
    rows = grounds.precursors.rows
    listed = [r for r in rows if r.verdict == "supported"]
    listed += [r for r in rows if r.verdict != "supported" and _is_worth_telling(r)][:MOST_LISTED]
    return [*(_finding(grounds, r) for r in listed), *_not_visible(grounds)]


def _is_worth_telling(row: Precursor) -> bool:
    """Say whether a reader would see a pattern that nothing proves."""
    return 2 * row.exposed_cases > row.cases if row.too_few else row.always or row.p < NOTEWORTHY


def in_words(row: Precursor) -> str:
    """Return what was met and when, with its denominators: ``3.0 s (2.9–3.1) before 9 of 9 failures: ...``."""
    lead = f"{row.lead_ns / 1e9:.1f} s ({row.lead_low_ns / 1e9:.1f}–{row.lead_high_ns / 1e9:.1f})"
    what = WORDS[row.event].format(row.target or "any of several hosts")
    times = "failures" if row.cases != 1 else "failure"
    return f"{lead} before {row.exposed_cases:,} of {row.cases:,} {times}: {what}"


def against(row: Precursor) -> str:
    """Return what the controls show."""
    if not row.controls:
        return "there is no control window to compare with"
    others, exposed = row.controls - row.own_controls, row.exposed_controls - row.exposed_own_controls
    return (
        f"the same in {row.exposed_controls:,} of {row.controls:,} control windows ({row.exposed_own_controls:,} of"
        f" {row.own_controls:,} of the same clients at other times, {exposed:,} of {others:,} of other clients at the"
        " same time)"
    )


def unproved(row: Precursor) -> str:
    """Return why it is not proved, empty where it is."""
    return "" if row.verdict == "supported" else f"; not proved: {row.reasons[0]}"


def _finding(grounds: Grounds, row: Precursor) -> Finding:
    """Word one thing met before failures."""
    statement = f"{in_words(row)}; {against(row)}. Failures here: {FAILURES[row.failure]}"
    statement += f"; {row.clients:,} client{'s' if row.clients != 1 else ''} met it."
    statement += f" It was met {row.unfollowed:,} more times without such a failure." if row.unfollowed else ""
    if row.too_few:
        statement += f" Too few cases ({row.cases:,}) to tell it from chance: listed, not proved."
    else:
        statement += f" {_p(row.p)}, {_tests(grounds)}{_odds(row)}."
        statement += "".join(f" Not proved: {reason}." for reason in row.reasons)
    statement += " It precedes them; that it is their cause is not shown."
    return Finding(
        id=f"precursor-{row.failure}-{row.event}-{row.target or 'any'}",
        kind="precursor" if row.stands_out else "met-before", verdict=row.verdict,
        statement=statement, evidence=tuple(_evidence(e) for e in row.examples if e.frame),
        alternatives=("something else that brings both about", "a habit of the application just before it ends"),
        would_change_it=_deciding(row),
    )  # fmt: skip


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"  # noqa: PLR2004  # as readers know it


def _tests(grounds: Grounds) -> str:
    return f"one of {grounds.precursors.tests:,} tests" if grounds.precursors.tests > 1 else "the only test"


def _odds(row: Precursor) -> str:
    if row.odds is None:
        return ""
    return f"; odds ratio {row.odds.ratio:.3g} (95 %: {row.odds.low:.3g}–{row.odds.high:.3g})"


def _evidence(e: Encounter) -> Evidence:
    """Return where a reader finds what was met."""
    host = e.target.rsplit(":", 1)[0] if e.flow is None else e.flow.dst
    family = "ipv6" if ":" in e.client else "ip"
    text = f"{family}.addr=={e.client} && {family}.addr=={host}"
    if e.kind in {"syn-unanswered", "syn-refused"}:
        text = f"tcp.flags.syn==1 && {text}"
    elif e.flow is not None and e.flow.protocol in {"tcp", "udp"}:
        text += f" && {e.flow.protocol}.port=={e.flow.sport}"
    return Evidence(point=e.point, frame=e.frame, filter=text)


def _deciding(row: Precursor) -> tuple[str, ...]:
    log = f"the log of the application at these times: what needs {row.target or 'these hosts'}?"
    if row.event == "syn-unanswered" and row.target is not None and row.examples:
        return (f"a capture beyond {row.examples[0].point}: host {row.target.rsplit(':', 1)[0]}", log)
    return (log,)


def _not_visible(grounds: Grounds) -> list[Finding]:
    """Say where connections died and nothing tells what came before: when, whose, and what would."""
    failures = [f for f in grounds.precursors.failures if f.kind != "unanswered"]
    if not failures or likely(grounds.precursors) is not None:
        return []
    clients = Counter(f.client for f in failures)
    seen = any(r.exposed_cases and (r.too_few or _is_worth_telling(r)) for r in grounds.precursors.rows)
    statement = (
        f"What came before the {len(failures):,} failure{'s' if len(failures) != 1 else ''} of"
        f" {len(clients):,} client{'s' if len(clients) != 1 else ''} is not visible from here: "
    )
    before = f"that these clients met on other connections in the {grounds.precursors.before_ns / 1e9:.0f} s before"
    if seen:
        statement += f"what little there is {before} proves nothing."
    else:
        statement += f"nothing {before} sets them apart from other times and other clients."
    if len(failures) < ENOUGH_CASES:
        statement += f" With {len(failures):,} cases (too few: {ENOUGH_CASES} are needed), a precursor may be missed."
    statement += _unseen(grounds) + f" For the application's log: {_times(failures)}."
    host = clients.most_common(1)[0][0]
    return [
        Finding(
            id="no-precursor", kind="no-precursor", verdict="not-proved", statement=statement,
            evidence=tuple(_reset_evidence(f) for f in failures[:3] if f.frame),
            alternatives=("the application or its host ends them by itself", "a call by a path that no point covers"),
            would_change_it=(f"one capture on the client {host} itself, of all its traffic, over one such failure",),
        )
    ]  # fmt: skip


def _unseen(grounds: Grounds) -> str:
    """Name what no capture here can show."""
    encrypted = grounds.names.tls_alerts_encrypted
    alerts = f"alerts of TLS 1.3, which are encrypted{f' ({encrypted:,} seen)' if encrypted else ''}"
    text = f" Not to be seen: {alerts}; names asked for over HTTPS or TLS (DoH, DoT); flows that leave by a path that"
    text += " no point covers, such as a local internet access."
    missing = grounds.precursors.incomplete
    return text + (f" Known in part: {'; '.join(missing)}." if missing else "")


def _reset_evidence(failure: Failure) -> Evidence:
    family = "ipv6" if ":" in failure.client else "ip"
    text = f"{family}.addr=={failure.client}"
    if failure.kind in {"burst", "reset"}:
        text = f"tcp.flags.reset==1 && {family}.src=={failure.client}"
    return Evidence(point=failure.point, frame=failure.frame, filter=text)


def _times(failures: Sequence[Failure]) -> str:
    """Return who failed when, on the reference clock."""
    by_client: dict[str, list[str]] = {}
    days: dict[str, str] = {}
    for failure in failures[:MOST_TIMES]:
        date, time = _clock(failure.time_ns)
        known = days.get(failure.client) == date
        by_client.setdefault(failure.client, []).append(time if known else f"{date} {time}".strip())
        days[failure.client] = date
    said = "; ".join(f"{client} at {', '.join(times)}" for client, times in by_client.items())
    more = len(failures) - MOST_TIMES
    return f"{said} (UTC)" + (f", and {more:,} more in failures of result.json" if more > 0 else "")


def _clock(time_ns: int) -> tuple[str, str]:
    """Return (date, time to the microsecond) in UTC, as logs write it."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return "", f"{seconds}.{rest // 1000:06d}"
    return moment.strftime("%Y-%m-%d"), f"{moment:%H:%M:%S}.{rest // 1000:06d}"
