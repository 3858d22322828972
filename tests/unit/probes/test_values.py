"""Values, their limits, and the pure readers of what a host says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from probes import agent, errors, preflight
from probes.capture import parse_sample
from probes.clock import parse_time
from probes.errors import AgentError, ProbeError, SpecError
from probes.replay import Exchange, ReplayTransport, Transcript
from probes.spec import CaptureSpec, Sample

SPEC = CaptureSpec(
    run_id="20260101-000000-abcd",
    point="fw-in",
    interface="eth0",
    filter="tcp port 8080",
    snaplen=160,
    buffer_kib=65_536,
    max_seconds=600,
    lease_seconds=30,
    min_free_kib=1000,
    max_file_kib=2000,
)
LIVE = "tcpdump: 100 packets captured, 200 packets received by filter, 3 packets dropped by kernel"
GOOD = {
    "tcpdump": "/usr/bin/tcpdump",
    "privilege": "root",
    "interface": "present",
    "flags": "0x1003",
    "operstate": "up",
    "filter_exit": "0",
    "filter_said": "",
    "free_kib": "100000",
    "writable": "yes",
    "has_sha256sum": "yes",
    "has_timeout": "yes",
    "load": "0.10",
    "cpus": "2",
    "offloads": "",
    "ntp_synchronised": "yes",
}


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": ""},
        {"run_id": "../etc"},
        {"run_id": "a@b"},
        {"point": ".hidden"},
        {"point": "a b"},
        {"interface": "-w"},
        {"interface": "eth0;id"},
        {"interface": ""},
        {"filter": "ip\nor arp"},
        {"filter": "ip `id`"},
        {"filter": "$(id)"},
        {"filter": "a;b"},
        {"filter": "tcp port 80 'x'"},
        {"base_dir": "relative"},
        {"base_dir": "/tmp/.hidden"},
        {"base_dir": "/tmp/../etc"},
        {"snaplen": -1},
        {"max_seconds": 0},
        {"lease_seconds": 0},
        {"buffer_kib": 1},
    ],
    ids=str,
)
def test_what_must_not_reach_a_host_is_refused(change):
    """When the value is made, so that no later step has to think of it."""
    with pytest.raises(SpecError) as caught:
        replace(SPEC, **change)

    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "(ip host 192.168.0.1 and tcp port 8080) or (vlan and ip host 192.168.0.1)",
        "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0",
        "ether proto \\ip and ip[6:2] & 0x1fff != 0",
        "ip6 host fe80::1 or net 10.0.0.0/8",
        "",
    ],
)
def test_ordinary_filters_are_taken(text):
    """Brackets, comparisons and escaped keywords are filter language."""
    assert replace(SPEC, filter=text).filter == text


def test_names_of_captures_cannot_be_confused():
    """The same letters, cut elsewhere, are another capture."""
    assert replace(SPEC, run_id="a-b", point="c").name != replace(SPEC, run_id="a", point="b-c").name


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        (
            "sample 1795539700703756172 6820090000000 82976412 8192 " + LIVE,
            Sample(
                host_ns=1795539700703756172,
                monotonic_ns=6820090000000,
                captured=100,
                received=200,
                kernel_drops=3,
                free_kib=82976412,
                file_bytes=8192,
            ),
        ),
        ("sample 17 - - 0 ", Sample(host_ns=17, file_bytes=0)),
        (
            "sample 17 0500000000 9 0 tcpdump: listening on lo",
            Sample(host_ns=17, monotonic_ns=500_000_000, free_kib=9, file_bytes=0),
        ),
        ("end stop 0", None),
        ("sample", None),
        ("", None),
    ],
)
def test_lines_of_the_log(line, sample):
    """What is not known is None, never zero."""
    assert parse_sample(line) == sample


@given(st.text())
def test_no_line_of_a_log_is_too_odd(line):
    """A host may say anything."""
    parse_sample(line)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1795539112.123456", 1795539112123456000),
        ("1795539112,123456", 1795539112123456000),
        ("1795539112.000000001", 1795539112000000001),
        ("1795539112", 1795539112000000000),
        ("1795539112.%N", None),
        ("welcome", None),
        ("", None),
    ],
)
def test_times_are_read_without_a_float(text, time_ns):
    """One step of a float is 238 ns at today's epoch."""
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"tcpdump": "", "privilege": "none"}, "tool-missing", "no-go"),
        ({"privilege": "none", "user": "joe", "refusal": "sudo: a password is required"}, "wrapper-refused", "no-go"),
        ({"interface": "missing", "interfaces": "lo eth1 "}, "no-such-interface", "no-go"),
        ({"flags": "0x1002"}, "interface-down", "no-go"),
        ({"operstate": "lowerlayerdown"}, "no-carrier", "warning"),
        ({"filter_exit": "1", "filter_said": "tcpdump: syntax error"}, "filter", "no-go"),
        ({"free_kib": "999"}, "disk-full", "no-go"),
        ({"free_kib": "2999"}, "disk-tight", "warning"),
        ({"writable": ""}, "cannot-write", "no-go"),
        ({"load": "4.10"}, "load", "warning"),
        ({"leftover": "r@p abandoned"}, "leftover", "warning"),
        ({"leftover": "r@p live"}, "other-capture", "warning"),
        ({"leftover": "r@p ended"}, "unfetched", "info"),
        ({"offloads": "generic-receive-offload tcp-segmentation-offload"}, "offloads", "info"),
        ({"ethtool": "missing"}, "offloads", "info"),
    ],
    ids=str,
)
def test_what_a_fact_means(change, code, severity):
    """Each alone, on a host that is otherwise fit; each has a cure."""
    found = preflight.judge({**GOOD, **change}, SPEC, "fw")

    (reason,) = [one for one in found.reasons if one.code == code]
    assert reason.severity == severity
    assert reason.cure
    assert found.go is (severity != "no-go")


def test_a_fit_host_is_go():
    """And only the clock is spoken of."""
    found = preflight.judge(GOOD, SPEC, "fw")

    assert found.go
    assert [one.code for one in found.reasons] == ["clock"]


def test_the_same_trouble_is_told_once():
    """A missing interface makes the filter fail as well."""
    said = "tcpdump: eth0: No such device exists"
    found = preflight.judge({**GOOD, "interface": "missing", "filter_exit": "1", "filter_said": said}, SPEC, "fw")

    assert [one.code for one in found.reasons if one.severity == "no-go"] == ["no-such-interface"]


def test_chrony_is_quoted():
    """Its offset is a fact worth keeping."""
    chrony = "A29FC87B,ntp.example,3,1795539112.1,-0.000012,0.1,0.1,1,0.1,0.1,0.1,0.1,64,Normal"

    (reason,) = preflight.judge({**GOOD, "chrony": chrony}, SPEC, "fw").reasons

    assert "ntp.example, stratum 3, offset -0.000012 s" in reason.message


def test_facts_of_several_lines_are_joined():
    """As the agent prints them."""
    assert preflight.parse_facts(("uid 0", "leftover a live", "leftover b ended", "empty ")) == {
        "uid": "0",
        "leftover": "a live\nb ended",
        "empty": "",
    }


@pytest.mark.parametrize("code", [*agent._REFUSALS, "something-new"])
def test_every_refusal_is_an_error_with_a_hint(code):
    """One that the agent learns later is an error too."""
    answer = agent.Answer((("fail", f"{code} /var/tmp/x"),), 10, b"")

    error = agent.refusal(ReplayTransport(Transcript(())), answer, SPEC)

    assert isinstance(error, ProbeError)
    assert error.hint
    assert "{" not in f"{error} {error.hint}"


def test_an_account_without_a_shell_is_told():
    """What it said instead is quoted."""
    host = ReplayTransport(
        Transcript((Exchange(argv=("sh",), exit_code=1, stdout="This account is currently not available.\n"),))
    )

    with pytest.raises(AgentError, match="not available"):
        agent.read_answer(host, host.run(["sh"]))


def test_every_error_class_is_in_the_drawing():
    """The tree on top of errors.py is the truth."""
    classes = {cls.__name__ for cls in ProbeError.__subclasses__()} | {"ProbeError"}
    drawn = {line.strip("├└─ ").split(" ")[0] for line in errors.__doc__.splitlines() if "Error" in line}

    assert classes <= drawn
