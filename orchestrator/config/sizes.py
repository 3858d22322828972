"""Read quantities as people write them: ``64 MiB``, ``20 Mbit/s``, ``10m``, ``0.1 %``, ``2026-11-22T08:00Z/PT4H``.

Results are exact integers in the unit of the function's name; a text that cannot be read is a ValueError whose
message shows how to write it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([A-Za-zµ%/]+)")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?(ns|us|µs|ms|s|min|m|h|d)")
_ISO_DURATION = re.compile(r"P(?:([0-9]{1,4})D)?(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,8})S)?)?")

_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
_RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9, "Tbit/s": 10**12}
_TIMES_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_bytes(text: object) -> int:
    """Return the bytes in *text*, such as ``64 MiB`` or ``1 GB``."""
    return _scaled(text, _BYTES, "a size such as 64 MiB")


def parse_rate_bps(text: object) -> int:
    """Return the bits per second in *text*, such as ``20 Mbit/s``."""
    return _scaled(text, _RATES, "a rate such as 20 Mbit/s")


def parse_duration_ns(text: object) -> int:
    """Return the nanoseconds in *text*, such as ``10m``, ``8 ms`` or ``1h 30m``."""
    wanted = "a duration such as 10m, 2s or 8 ms"
    parts = re.split(r"(?<=[A-Za-z]) +(?=[0-9])", text) if isinstance(text, str) else []
    found = [_DURATION.fullmatch(part) for part in parts]
    if not found or not all(found):
        raise ValueError(_refusal(text, wanted))
    total = sum((Decimal(match[1]) * _TIMES_NS[match[2]] for match in found if match), Decimal(0))
    if total != int(total):
        msg = f"{text!r} is finer than a nanosecond"
        raise ValueError(msg)
    return int(total)


def parse_share(text: object) -> float:
    """Return the share in *text*, such as ``0.1 %``, as a number from 0 to 1."""
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    share = Decimal(match[1]) / 100 if match and match[2] == "%" else None
    if share is None or share > 1:
        raise ValueError(_refusal(text, "a share from 0 % to 100 % such as 0.1 %"))
    return float(share)


def parse_instant_ns(text: object) -> int:
    """Return the nanoseconds since the epoch of *text*, an ISO 8601 time with its zone."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(_refusal(text, "a time with its zone such as 2026-11-22T08:00Z"))
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def parse_interval_ns(text: object) -> tuple[int, int]:
    """Return begin and end of *text*, an ISO 8601 interval, in nanoseconds since the epoch."""
    wanted = "an interval such as 2026-11-22T08:00Z/PT4H or 2026-11-22T08:00Z/2026-11-22T12:00Z"
    begin_text, slash, end_text = text.partition("/") if isinstance(text, str) else ("", "", "")
    if not slash:
        raise ValueError(_refusal(text, wanted))
    begin_ns = parse_instant_ns(begin_text)
    length = _ISO_DURATION.fullmatch(end_text)
    if length and any(length.groups()):
        days, hours, minutes, seconds = (int(part or 0) for part in length.groups())
        return begin_ns, begin_ns + (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10**9
    if end_text.startswith("P"):
        raise ValueError(_refusal(text, wanted))
    end_ns = parse_instant_ns(end_text)
    if end_ns <= begin_ns:
        msg = f"{text!r} ends before it begins"
        raise ValueError(msg)
    return begin_ns, end_ns


def _scaled(text: object, units: dict[str, int], wanted: str) -> int:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(_refusal(text, wanted))
    return int(Decimal(match[1]) * units[match[2]])


def _refusal(text: object, wanted: str) -> str:
    if isinstance(text, int | float) and not isinstance(text, bool):
        return f"{text!r} has no unit: write {wanted}"
    return f"{text!r} is not {wanted}" if isinstance(text, str) else f"this is not {wanted}"
