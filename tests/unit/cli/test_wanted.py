"""Times and flows are read as people write them, and refused where they mean nothing."""

from __future__ import annotations

import click
import pytest

from orchestrator.cli.wanted import read_flow, read_moment, wanted
from orchestrator.model.wanted import End, Moment

S = 10**9
DAY = 86_400 * S
NOON = 1_700_049_600 * S
"""2023-11-15T12:00:00Z."""
ONE, OTHER = (0, 0x0A000001), (0, 0x0A000002)
SIX = (0x20010DB8 << 32, 1)
NOTHING = {
    "start": None, "end": None, "around": None, "flows": (), "points": (), "vanished": False, "resets": False,
    "context": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2023-11-15T12:00:00Z", NOON),
        ("2023-11-15T12:00Z", NOON),
        ("2023-11-15 12:00:00.123456789", NOON + 123_456_789),
        ("2023-11-15T13:00:00,5+01:00", NOON + S // 2),
        ("1969-12-31T23:59:59.9Z", -S // 10),
        ("12.5s", NOON - 4 * 3600 * S + 12_500_000_000),
        ("+90m", NOON - 4 * 3600 * S + 5_400 * S),
        ("12:00:00", NOON),
        ("07:00Z", NOON - 5 * 3600 * S),
        ("06:59:59.999999999Z", NOON + 19 * 3600 * S - 1),
    ],
)
def test_times(text, ns):
    """Absolute, since the window opened at 08:00, or of the day that begins an hour before."""
    moment = read_moment(text)
    assert moment is not None
    assert moment.resolve(NOON - 4 * 3600 * S) == ns


@pytest.mark.parametrize(
    "text", ["", "5", "noon", "25:00", "2023-02-30T00:00Z", "12:00:00.1234567890", "5 parsecs", "-5s"]
)
def test_what_is_no_time(text):
    """Each is None, for the caller names the option."""
    assert read_moment(text) is None


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("10.0.0.1:1234-10.0.0.2:443", (End(ONE, 1234), End(OTHER, 443))),
        ("10.0.0.1 - 10.0.0.2", (End(ONE), End(OTHER))),
        ("10.0.0.1-:443", (End(ONE), End(port=443))),
        ("10.0.0.1:", (End(ONE), End())),
        (":443", (End(port=443), End())),
        ("2001:db8::1", (End(SIX), End())),
        ("[2001:db8::1]:53", (End(SIX, 53), End())),
        ("[2001:db8::1]", (End(SIX), End())),
    ],
)
def test_flows(text, ends):
    """Either end may be left out, or its port."""
    assert read_flow(text) == ends


@pytest.mark.parametrize("text", ["", "-", "10.0.0", "a-b", "1.1.1.1-2.2.2.2-3.3.3.3", "[::1]x", ":65536", ":٣"])
def test_what_is_no_flow(text):
    """Said with an example."""
    with pytest.raises(click.UsageError, match=r"--flow .*: write 10"):
        read_flow(text)


def test_around_is_a_second_unless_said():
    """A range of both."""
    for text, width in (("12:00:00", S), ("12:00:00±20ms", S // 50), ("12:00:00 +- 2m", 120 * S)):
        asked = wanted(**{**NOTHING, "around": text})
        assert (asked.start, asked.end) == (Moment("of-day", DAY // 2, -width), Moment("of-day", DAY // 2, width))
        assert asked.start.resolve(NOON) == NOON - width


def test_context_is_five_packets_unless_said():
    """A number of packets, a time, or both."""
    for given, expected in (((), (5, 0)), (("0",), (0, 0)), (("50ms",), (0, S // 20)), (("3", "2s"), (3, 2 * S))):
        asked = wanted(**{**NOTHING, "vanished": True, "context": given})
        assert (asked.context_packets, asked.context_ns) == expected
