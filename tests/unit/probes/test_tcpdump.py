"""What tcpdump says, in golden files: command, output, what it means."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from probes import tcpdump
from probes.spec import CaptureSpec

GOLDEN = sorted((Path(__file__).parent / "data").glob("*.json"))
SPEC = CaptureSpec(
    run_id="20260101-000000-abcd",
    point="fw-in",
    interface="eth0",
    filter="host 10.10.10.2 and tcp port 8080",
    snaplen=160,
    buffer_kib=65_536,
    max_seconds=600,
    lease_seconds=30,
    min_free_kib=1_048_576,
    max_file_kib=4_194_304,
)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_tcpdump_says(path):
    """A new version or system is a new file."""
    case = json.loads(path.read_text())
    parsed, output = case["parsed"], case["output"]

    listening = tcpdump.parse_listening(output)
    assert asdict(tcpdump.parse_closing(output)) == parsed["counters"]
    assert (listening.link_type if listening else None) == parsed["link_type"]
    assert (listening.snaplen if listening else None) == parsed["snaplen"]
    assert list(tcpdump.parse_remarks(output)) == parsed["remarks"]
    if parsed["error"]:
        error = tcpdump.diagnose(
            output, case["exit_code"], place="fw", interface="eth0", user="capture", tcpdump="/usr/bin/tcpdump"
        )
        assert [type(error).__name__, error.code] == parsed["error"]
        assert str(error).startswith("fw:eth0: ")
        assert error.hint
        assert "{" not in error.hint


def test_there_are_golden_files():
    """An empty folder would pass everything above."""
    assert len(GOLDEN) >= 16


def test_the_cure_for_a_missing_right_can_be_typed():
    """Whole commands, with the path and the user of that host."""
    error = tcpdump.diagnose(
        "You don't have permission to capture", 1, place="fw", interface="eth0", user="joe", tcpdump="/opt/tcpdump"
    )

    assert "-m 0750 /opt/tcpdump /usr/local/lib/vanishpoint/tcpdump" in error.hint
    assert "setcap cap_net_raw,cap_net_admin+eip /usr/local/lib/vanishpoint/tcpdump" in error.hint
    assert "echo 'joe ALL=(root) NOPASSWD: /usr/local/sbin/vanishpoint-capture'" in error.hint


def test_the_options_of_a_capture():
    """The whole line, so that any change is seen."""
    line = "-i eth0 -n -s 160 -B 65536 --time-stamp-precision=nano -- host 10.10.10.2 and tcp port 8080"

    assert " ".join(tcpdump.build_options(SPEC)) == line


def test_a_filter_is_never_an_option():
    """Whatever it begins with, it stands behind the double dash."""
    options = tcpdump.build_options(replace(SPEC, filter="-w /etc/passwd"))

    assert options.index("--") == len(options) - 2


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("tcpdump version 4.99.3\nlibpcap version 1.10.3 (with TPACKET_V3)\n", "4.99.3"),
        ("tcpdump.4.9.2 version 4.9.2 -- Apple\n", "4.9.2"),
        ("something else\n", "something else"),
    ],
)
def test_the_version(text, version):
    """Of tcpdump, not of libpcap."""
    assert tcpdump.parse_version(text) == version


@given(st.text())
def test_no_output_is_too_odd_to_be_read(text):
    """A host may say anything."""
    tcpdump.parse_closing(text)
    tcpdump.parse_listening(text)
    tcpdump.parse_version(text)
    assert tcpdump.diagnose(text, 1, place="p", interface="i", user="u", tcpdump="t").hint
