"""Quantities are read exactly, or refused with an example of how to write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from orchestrator.config import sizes

HOUR_NS = 3600 * 10**9
EIGHT_O_CLOCK_NS = 1_795_334_400 * 10**9  # 2026-11-22T08:00Z, from `date -u -d … +%s`


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (sizes.parse_bytes, "64 MiB", 64 << 20),
        (sizes.parse_bytes, "1 GB", 10**9),
        (sizes.parse_bytes, "1.5 KiB", 1536),
        (sizes.parse_rate_bps, "20 Mbit/s", 20_000_000),
        (sizes.parse_duration_ns, "10m", 600 * 10**9),
        (sizes.parse_duration_ns, "2s", 2 * 10**9),
        (sizes.parse_duration_ns, "8 ms", 8_000_000),
        (sizes.parse_duration_ns, "1h 30m", HOUR_NS + HOUR_NS // 2),
        (sizes.parse_duration_ns, "0.1 s", 100_000_000),
        (sizes.parse_share, "0.1 %", 0.001),
        (sizes.parse_instant_ns, "2026-11-22T08:00Z", EIGHT_O_CLOCK_NS),
        (sizes.parse_instant_ns, "2026-11-22T09:00+01:00", EIGHT_O_CLOCK_NS),
        (sizes.parse_interval_ns, "2026-11-22T08:00Z/PT4H", (EIGHT_O_CLOCK_NS, EIGHT_O_CLOCK_NS + 4 * HOUR_NS)),
        (sizes.parse_interval_ns, "2026-11-22T08:00Z/P1DT1H", (EIGHT_O_CLOCK_NS, EIGHT_O_CLOCK_NS + 25 * HOUR_NS)),
        (
            sizes.parse_interval_ns,
            "2026-11-22T08:00Z/2026-11-22T09:00Z",
            (EIGHT_O_CLOCK_NS, EIGHT_O_CLOCK_NS + HOUR_NS),
        ),
    ],
)
def test_a_quantity_is_read_exactly(read, text, expected):
    """Each row is one way in which people write a quantity."""
    assert read(text) == expected


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (sizes.parse_bytes, 64, "64 has no unit: write a size such as 64 MiB"),
        (sizes.parse_bytes, "64 mb", "'64 mb' is not a size such as 64 MiB"),
        (sizes.parse_duration_ns, "ten", "'ten' is not a duration such as 10m, 2s or 8 ms"),
        (sizes.parse_duration_ns, "0.1 ns", "'0.1 ns' is finer than a nanosecond"),
        (sizes.parse_duration_ns, True, "this is not a duration such as 10m, 2s or 8 ms"),
        (sizes.parse_share, "120 %", "'120 %' is not a share from 0 % to 100 % such as 0.1 %"),
        (sizes.parse_instant_ns, "2026-11-22T08:00", "'2026-11-22T08:00' is not a time with its zone such as"),
        (sizes.parse_interval_ns, "2026-11-22T08:00Z/P", "is not an interval such as"),
        (sizes.parse_interval_ns, "2026-11-22T08:00Z/2026-11-22T07:00Z", "ends before it begins"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(read, value, message):
    """A number without a unit is the commonest mistake, so it has words of its own."""
    with pytest.raises(ValueError, match=re.escape(message)):
        read(value)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_value_error(text):
    """Whatever stands in the file becomes a message, never a traceback."""
    for read in (
        sizes.parse_bytes,
        sizes.parse_rate_bps,
        sizes.parse_duration_ns,
        sizes.parse_share,
        sizes.parse_instant_ns,
        sizes.parse_interval_ns,
    ):
        try:
            read(text)
        except ValueError:
            continue
