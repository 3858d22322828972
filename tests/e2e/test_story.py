"""The call-centre story and other faults of the lab, each held against what really happened."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lab import faults
from lab.devices import breakout
from tests.support.lab_runs import PATH_TO_APP_1, REPOSITORY, ended
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

DATAGRAMS = {"datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001}}


def play(lab):
    """Let two of three agents call the closed public service; return what happened to each."""
    argv = [sys.executable, "-m", "lab", "--prefix", lab.place.prefix, "--dir", str(lab.place.directory)]
    done = subprocess.run([*argv, "story", "--after", "2"], check=True, capture_output=True, cwd=REPOSITORY)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def story(lab_place, tmp_path_factory):
    """The shipped playbook while a policy closes the public service."""
    from tests.support.lab_runs import Lab  # noqa: PLC0415  # the module's lab is made here

    lab = Lab(lab_place, tmp_path_factory.mktemp("story"))
    lab.reset()
    faults.set_clock(lab.place, "client-2", offset_ns=7_250_000_000, drift_ppm=300.0)
    faults.block_public_service(lab.place, "drop")
    run = lab.run(lab.shipped("call-centre-rst"), "--set", "window.duration=300s")
    run.wait_for("capture.window_open")
    truth = play(lab)
    code = lab.captured(run)
    lab.reset()
    return run, code, truth


def test_the_network_is_acquitted_and_the_closed_service_is_named(story):
    """Nothing vanished; every reset is born at a client; each burst follows SYNs that nobody answered."""
    run, code, truth = story
    result = run.result
    crashed = {c for c, what in truth.items() if "crashed_ns" in what}

    assert code == 0
    assert crashed == {"client-1", "client-2"}
    assert (result["headline"]["network"], result["headline"]["domain"]) == ("no", "policy")
    assert result["vanished"] == []
    assert {(r["origin"], r["born"]["before"]) for r in result["resets"]} == {("endpoint", c) for c in crashed}
    assert {b["host"]: b["flows"] for b in result["bursts"]} == {"192.168.0.1": 3, "192.168.0.2": 3}
    unanswered = next(f for f in result["findings"] if f["kind"] == "syn-unanswered")
    assert "203.0.113.80:80" in unanswered["statement"]
    assert "2 of 2 bursts" in unanswered["statement"]
    assert unanswered["segment"] == ["fw-out", None]


def test_the_expectations_of_the_playbook_are_judged(story):
    """No reset is born in the network; so few packets cannot show a loss below 0.1 %, and the report says so."""
    run, _, _ = story

    outcomes = {e["name"].split()[0]: e["outcome"] for e in run.result["expect"]}

    assert outcomes == {"loss": "undecidable", "resets": "pass", "delay": "pass"}


def test_the_gateway_alone_says_the_clients_side_and_no_more(story, tmp_path):
    """One point: the resets come from the clients' side, the path itself was not measured."""
    run, _, _ = story

    result = analyse_files(tmp_path, {"gateway": run.raw("core")[0]})

    assert result.headline.network == "cannot-tell"
    assert "clients' side of gateway" in result.headline.statement
    assert {r.side for r in result.resets} == {"client"}


def test_a_healthy_service_makes_no_story(lab):
    """The same agents with the service open: nothing is reset, nothing vanishes, nobody is accused."""
    run = lab.run(lab.shipped("call-centre-rst"), "--set", "window.duration=300s")
    run.wait_for("capture.window_open")
    truth = play(lab)
    assert lab.captured(run) == 0

    result = run.result
    assert all("crashed_ns" not in what for what in truth.values())
    assert (result["headline"]["network"], result["resets"], result["vanished"]) == ("no", [], [])
    assert not [f for f in result["findings"] if f["kind"] in {"syn-unanswered", "loss", "burst"}]


@pytest.fixture(scope="module")
def unseen(lab_place, tmp_path_factory):
    """The story again, but the agents' calls leave by a breakout of their own, which no point covers."""
    from tests.support.lab_runs import Lab  # noqa: PLC0415  # the module's lab is made here

    lab = Lab(lab_place, tmp_path_factory.mktemp("unseen"))
    lab.reset()
    with breakout(lab.place, "client-1"), breakout(lab.place, "client-2"):
        run = lab.run(lab.shipped("call-centre-rst"), "--set", "window.duration=300s")
        run.wait_for("capture.window_open")
        truth = play(lab)
        code = lab.captured(run)
    assert code == 0
    assert {c for c, what in truth.items() if "crashed_ns" in what} == {"client-1", "client-2"}
    return run, truth


def test_a_call_that_no_point_sees_is_not_made_up(unseen):
    """The resets are the clients'; nothing is lost, nobody is named, and what was tried before is not visible."""
    result = unseen[0].result

    assert result["headline"]["network"] != "yes"
    assert result["headline"]["domain"] in {"client", "unknown"}
    assert {(r["origin"], r["born"]["before"]) for r in result["resets"]} == {
        ("endpoint", "client-1"), ("endpoint", "client-2"),
    }  # fmt: skip
    assert not [f for f in result["findings"] if f["kind"] in {"syn-unanswered", "loss"}]


def test_from_the_gateway_alone_the_unseen_call_leaves_sides_times_and_what_would_decide(unseen, tmp_path):
    """No loss on either side; when each client failed, to lay beside the application's log."""
    run, truth = unseen

    result = analyse_files(tmp_path, {"gateway": run.raw("core")[0]})

    assert result.headline.network == "cannot-tell"
    assert {r.side for r in result.resets} == {"client"}
    assert result.vanished == ()
    assert [s for s in result.segments if s.vanished or s.vanished_probable or s.holes] == []
    failed = {b.host: b.time_ns for b in result.bursts}
    for client, host in (("client-1", "192.168.0.1"), ("client-2", "192.168.0.2")):
        assert abs(failed[host] - truth[client]["crashed_ns"]) < 10**9


@pytest.mark.parametrize(
    ("rule", "lost"),
    [
        ({"nth": 10}, 40),
        ({"longer_than": 500}, 200),
        ({"source": "192.168.0.9"}, 0),
    ],
    ids=["every tenth", "the long ones", "another client's"],
)
def test_drops_at_the_firewall_are_between_its_two_sides(lab, rule, lost):
    """By number, by size and by flow: exactly so many vanish, and only between fw-out and fw-in."""
    faults.Firewall(lab.place).add(faults.flow_rule("drop", protocol="udp", target="10.10.10.2", port=5001, **rule))
    run = lab.run(lab.playbook("firewall", DATAGRAMS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        ended(*(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "200", "200", s) for s in ("200", "900")))
    assert lab.captured(run) == 0

    vanished = {(s["from"], s["to"]): s["vanished"] for s in run.result["segments"] if s["vanished"]}
    assert vanished == ({("fw-out", "fw-in"): lost} if lost else {})
    assert run.segment("fw-out", "fw-in")["sent"] == 400


def test_delay_and_a_full_queue_on_the_line_are_measured(lab):
    """8 ms are found within the stated uncertainty; what the line's queue had no room for vanished there, no more."""
    run = lab.run(lab.playbook("queue-on-the-line", DATAGRAMS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    before = len(lab.truth())
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        lab.line(delay_ms=8, jitter_ms=2)
        ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "300", "300", "200"))
        lab.line(ab={"rate_bps": 1_000_000, "queue_bytes": 8_000})
        ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "300", "2000", "600"))
    overflowed = [t for t in lab.truth()[before:] if t["fate"] == "dropped"]
    assert lab.captured(run) == 0

    line = run.segment("line-near", "line-far")
    assert {t["why"] for t in overflowed} == {"queue"}
    assert line["vanished"] == len(overflowed) > 50
    assert sum(s["vanished"] for s in run.result["segments"]) == len(overflowed)
    assert line["delay_ns"]["p50"] > 6_000_000 - (line["delay_ns"]["uncertainty"] or 0)
