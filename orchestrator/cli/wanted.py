"""Read what somebody wants cut out, as people write it: times, ranges, flows."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import click

from orchestrator.model.wanted import End, Moment, Wanted

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
S = UNITS["s"]
AROUND_NS = S
LARGEST_PORT = 65_535
MOST_PACKETS = 10**9

_SPAN = re.compile(r"(?P<number>\d{1,12}(?:\.\d{1,9})?) ?(?P<unit>ns|us|µs|ms|s|m|h)")
_CLOCK = r"(?P<clock>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<fraction>\d{1,9}))?"
_OF_DAY = re.compile(_CLOCK + "Z?")
_ABSOLUTE = re.compile(rf"(?P<day>\d{{4}}-\d\d-\d\d)[T ]{_CLOCK} ?(?P<zone>Z|[+-]\d\d:\d\d)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wanted(
    *, start: str | None, end: str | None, around: str | None, flows: tuple[str, ...], points: tuple[str, ...],
    vanished: bool, resets: bool, context: tuple[str, ...],
) -> Wanted:  # fmt: skip
    """Return what the options ask for.

    Raises:
        click.UsageError: A text cannot be read, or options contradict each other.
    """
    first, last = _moment(start, "--from"), _moment(end, "--to")
    if around is not None:
        if first or last:
            msg = "give either --around or --from and --to"
            raise click.UsageError(msg)
        first, last = _around(around)
    if context and not (vanished or resets):
        msg = "--context says how much around what --vanished or --resets selects: give one of them"
        raise click.UsageError(msg)
    packets, time_ns = _context(context or ("5",))
    return Wanted(
        start=first, end=last, flows=tuple(map(read_flow, flows)), points=points, vanished=vanished, resets=resets,
        context_packets=packets, context_ns=time_ns,
    )  # fmt: skip


def read_moment(text: str) -> Moment | None:
    """Return the time in *text*: ``2026-11-24T22:49:01.5Z``, ``22:49:01``, or ``12.5s`` after the window opened.

    Times without a zone are UTC. None where it cannot be read.
    """
    if match := _SPAN.fullmatch(text.removeprefix("+")):
        return Moment("after", _span_ns(match))
    if match := _OF_DAY.fullmatch(text):
        since = _whole(f"1970-01-01T{match['clock']}+00:00", match["fraction"])
        return None if since is None else Moment("of-day", since)
    if match := _ABSOLUTE.fullmatch(text):
        zone = match["zone"] or "Z"
        since = _whole(f"{match['day']}T{match['clock']}{zone}", match["fraction"])
        return None if since is None else Moment("absolute", since)
    return None


def read_flow(text: str) -> tuple[End, End]:
    """Return the two ends in *text*: ``10.0.0.1:1234-10.0.0.2:443``, a host, ``:443``, ``[2001:db8::1]:443``.

    Raises:
        click.UsageError: It cannot be read.
    """
    ends = [_end(part.strip()) for part in text.split("-")]
    if len(ends) == 1:
        ends.append(End())
    one, other = ends[0], ends[-1]
    if len(ends) != 2 or one is None or other is None:  # noqa: PLR2004  # a flow has two ends
        msg = f"--flow {text}: write 10.0.0.1:1234-10.0.0.2:443, or one end: a host, host:port, or :port"
        raise click.UsageError(msg)
    return one, other


def _end(text: str) -> End | None:
    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":") if port.startswith(":") or not port else "?"
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdecimal() and int(port) <= LARGEST_PORT):
        return None
    number = int(port) if port else None
    if not address:
        return End(port=number) if port else None
    try:
        value = int(ipaddress.ip_address(address))
    except ValueError:
        return None
    return End(address=(value >> 64, value & (2**64 - 1)), port=number)


def _moment(text: str | None, option: str) -> Moment | None:
    if text is None:
        return None
    moment = read_moment(text)
    if moment is None:
        msg = f"{option} {text}: write 2026-11-24T22:49:01.5Z, 22:49:01 (UTC), or 12.5s after the window opened"
        raise click.UsageError(msg)
    return moment


def _around(text: str) -> tuple[Moment, Moment]:
    """Return begin and end of ``TIME±SPAN``."""
    when, _, span = text.replace("+-", "±").partition("±")
    middle = read_moment(when.strip())
    match = _SPAN.fullmatch(span.strip()) if "±" in text or "+-" in text else None
    if middle is None or (match is None and ("±" in text or "+-" in text)):
        msg = f"--around {text}: write 22:49:01±2s; without ± it is one second before and after"
        raise click.UsageError(msg)
    width = _span_ns(match) if match else AROUND_NS
    return replace(middle, shift_ns=-width), replace(middle, shift_ns=width)


def _context(texts: tuple[str, ...]) -> tuple[int, int]:
    """Return (packets, nanoseconds) before and after."""
    packets, time_ns = 0, 0
    for text in texts:
        if text.isascii() and text.isdecimal():
            packets = min(int(text), MOST_PACKETS)
        elif match := _SPAN.fullmatch(text):
            time_ns = _span_ns(match)
        else:
            msg = f"--context {text}: write a number of packets such as 5, or a time such as 50ms"
            raise click.UsageError(msg)
    return packets, time_ns


def _span_ns(match: re.Match[str]) -> int:
    return int(Decimal(match["number"]) * UNITS[match["unit"]])


def _whole(text: str, fraction: str | None) -> int | None:
    """Return nanoseconds since the epoch; Python's own times have microseconds only."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds = (moment - _EPOCH).days * 86_400 + (moment - _EPOCH).seconds
    return seconds * S + int((fraction or "0").ljust(9, "0"))
