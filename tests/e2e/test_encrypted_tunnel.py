"""A tunnel between two points: both ends see what is inside, the points between only what is outside."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from lab import devices
from tests.support.lab_runs import PATH_TO_APP_1, Lab, dropped_alone_in, dropped_in, ended, vanished_packets

pytestmark = pytest.mark.lab

FLOWS = {"all": {"from": "client-1", "to": "app-1"}}
FILTER = "udp port 5001 or tcp port 5002 or udp port 51820"
INSIDE_BEFORE, OUTSIDE, INSIDE_BEHIND = PATH_TO_APP_1[:2], PATH_TO_APP_1[2:6], PATH_TO_APP_1[6:]


@pytest.fixture(scope="module")
def tunnelled(lab_place, tmp_path_factory):
    """Datagrams and a stream through the tunnel; the line in its middle loses 4 % of what is outside."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("tunnelled"))
    lab.reset()
    with devices.tunnel(lab.place, lab.folder) as logs:
        playbook = lab.playbook("tunnelled", FLOWS, PATH_TO_APP_1, filter=FILTER)
        lab.declare()  # a filter by hand beside a declared translation would keep every point from accusing
        run = lab.run(playbook)
        run.wait_for("capture.window_open")
        before = len(lab.truth())
        lab.line(loss=0.04)
        with lab.serving("app-1", "udp-receive", "5001", "60"):
            receiver = lab.traffic("app-1", "tcp-receive", "5002")
            ended(
                lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "1500", "400", "200"),
                lab.traffic("client-1", "tcp-send", "10.10.10.2", "5002", "1500", "400", "300"),
                receiver,
            )
        code = lab.captured(run)
    truth = lab.truth()[before:]
    lab.reset()
    sealed = {node: [json.loads(line) for line in path.read_text().splitlines()] for node, path in logs.items()}
    return run, code, truth, sealed


def inside(truth, sealed):
    """Return every packet that was inside one of *truth*, with the fate of that."""
    packets = {("ab", s["counter"]): s for s in sealed["line-a"]} | {("ba", s["counter"]): s for s in sealed["fw"]}
    return [{**packets[t["dir"], t["counter"]], "dir": t["dir"], "fate": t["fate"]} for t in truth]


def test_only_the_outside_shows_in_the_middle(tunnelled):
    """The scene is what it claims to be."""
    run, code, truth, _ = tunnelled

    assert code == 0
    assert all("counter" in line for line in truth)
    assert sum(line["fate"] == "dropped" for line in truth) > 120
    assert all(p["packets"] > 3000 for p in run.result["points"])


def called_inside(run):
    """Return the inner packets that are called vanished."""
    return Counter(k for k in vanished_packets(run) if 51_820 not in k[3:5])


def test_what_was_lost_inside_is_found_between_the_points_that_see_it(tunnelled):
    """Packet for packet, the inner ones, between the last point before the tunnel and the first behind it."""
    run, _, truth, sealed = tunnelled
    entries = [v for v in run.result["vanished"] if 51_820 not in (v["flow"]["sport"], v["flow"]["dport"])]
    called = called_inside(run)

    lines = inside(truth, sealed)
    assert dropped_alone_in(lines) <= called <= dropped_in(lines)
    assert {frozenset((v["last_seen"], v["first_missing"])) for v in entries} == {
        frozenset((INSIDE_BEFORE[-1], INSIDE_BEHIND[0]))
    }


def test_what_was_lost_outside_is_found_on_the_line(tunnelled):
    """The datagrams that carry the tunnel are packets like others."""
    run, _, truth, _ = tunnelled
    called = Counter(k for k in vanished_packets(run) if 51_820 in k[3:5])

    assert called == dropped_in(truth)


def test_the_points_in_the_middle_accuse_nobody_of_what_they_cannot_see(tunnelled):
    """What is inside is no loss where it is hidden, and the claim across it is told to be one over several segments."""
    run, _, truth, sealed = tunnelled
    reasons = Counter()
    for entry in run.result["undecided"]:
        reasons[entry["reason"]] += entry["count"]
    twins = (dropped_in(inside(truth, sealed)) - called_inside(run)).total()  # of which nothing tells which one died
    spans = {(r["from"], r["to"]) for r in run.result["segments"] if r["span"] and r["vanished"]}

    assert spans == {(INSIDE_BEFORE[-1], INSIDE_BEHIND[0]), (INSIDE_BEHIND[0], INSIDE_BEFORE[-1])}
    assert set(reasons) <= {"encrypted", "no-coverage", "ambiguous"}
    assert reasons["ambiguous"] == twins


def test_the_numbers_of_the_tunnel_tell_the_same(tunnelled):
    """Nothing was lost before the tunnel's packets came to the first point; what the line dropped is located there."""
    run, _, truth, _ = tunnelled
    dropped = Counter(line["dir"] for line in truth if line["fate"] == "dropped")
    series = [s for s in run.result["series"] if s["kind"] == "wireguard"]

    assert {s["direction"] for s in series} == {"forward", "reverse"}
    assert all(p["lost"] == p["undecided"] == 0 for s in series for p in s["points"])
    located = {s["direction"]: sum(v["packets"] for v in s["vanished"]) for s in series}
    assert located == {"forward": dropped["ab"], "reverse": dropped["ba"]}


def test_the_points_in_the_middle_missed_nothing(tunnelled):
    """What they cannot see is not laid to their captures."""
    run, _, _, _ = tunnelled

    assert sum(r["unseen"] for r in run.result["segments"]) == 0
