"""Segmentation offload at both hosts: their captures hold frames that no wire carried, and nobody is accused for it."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from tests.support.lab_runs import PATH_TO_APP_1, Lab, dropped_alone_in, dropped_in, ended, vanished_packets

pytestmark = pytest.mark.lab

FLOWS = {"bulk": {"from": "client-1", "to": "app-1", "protocol": "tcp", "port": 5003}}
CONNECTIONS, BYTES = 4, 1_500_000
LONGEST_ON_WIRE = 1_514


@pytest.fixture(scope="module")
def offloaded(lab_place, tmp_path_factory):
    """Four connections that carry 1.5 MB each way at once over a line that loses 3 % either way."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("offloaded"))
    lab.reset()
    with lab.offloading(client_1="eth0", app_1="eth0"):
        run = lab.run(lab.playbook("offloaded", FLOWS, PATH_TO_APP_1))
        run.wait_for("capture.window_open")
        before = len(lab.truth())
        lab.line(loss=0.03)
        server = lab.traffic("app-1", "exchange-serve", "5003", str(CONNECTIONS), str(BYTES))
        ended(lab.traffic("client-1", "exchange", "10.10.10.2", "5003", str(CONNECTIONS), str(BYTES)), server)
        code = lab.captured(run)
    truth = lab.truth()[before:]
    lab.reset()
    return run, code, truth


def longest_frames(run):
    """Return by point the length of the longest frame and how many are longer than the wire carries."""
    found = {}
    for point in PATH_TO_APP_1:
        lengths = []
        for path in run.raw(point):
            argv = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "frame.len"]
            lengths += map(int, subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())
        found[point] = (max(lengths), sum(n > LONGEST_ON_WIRE for n in lengths))
    return found


def test_only_the_hosts_show_frames_that_no_wire_carried(offloaded):
    """The scene is what it claims to be: super-segments at both ends, sent and received, wire frames between them."""
    run, _, truth = offloaded
    found = longest_frames(run)

    assert all(count > 100 for _, count in (found["client-1"], found["app-1"]))
    assert {p for p, (longest, _) in found.items() if longest > LONGEST_ON_WIRE} == {"client-1", "app-1"}
    assert max(line["len"] for line in truth) <= LONGEST_ON_WIRE


def test_the_vanished_are_exactly_what_the_line_dropped(offloaded):
    """Packet for packet, data and acknowledgements, both ways."""
    run, code, truth = offloaded
    dropped = dropped_in(truth)

    called = Counter(vanished_packets(run))

    assert code == 0
    assert min(sum(line["fate"] == "dropped" and line["dir"] == d for line in truth) for d in ("ab", "ba")) > 50
    assert dropped_alone_in(truth) <= called <= dropped


def test_every_claim_names_the_line(offloaded):
    """No packet that a host split or merged is called vanished between the host and the next wire."""
    run, _, _ = offloaded

    assert {frozenset((v["last_seen"], v["first_missing"])) for v in run.result["vanished"]} == {
        frozenset(("line-near", "line-far"))
    }
    for row in run.result["segments"]:
        if {row["from"], row["to"]} != {"line-near", "line-far"}:
            assert (row["vanished"], row["vanished_probable"]) == (0, 0), row


def test_the_hosts_say_that_they_offload_and_are_no_worse_for_it(offloaded):
    """A frame that can be taken apart exactly is no defect of the capture."""
    run, _, _ = offloaded
    points = {p["name"]: p for p in run.result["points"]}

    assert {name for name, p in points.items() if p["offloads"]} == {"client-1", "app-1"}
    assert {p["quality"] for p in points.values()} == {"good"}
