"""Two captures whose kernels dropped a quarter of the packets: silent there, and all that was lost is found."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.lab_runs import PATH_TO_APP_1, Lab, dropped_alone_in, dropped_in, ended, vanished_packets

pytestmark = pytest.mark.lab

FLOWS = {
    "datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001},
    "stream": {"from": "client-1", "to": "app-1", "protocol": "tcp", "port": 5002},
}
AT_THE_LOSS, AT_THE_END = "line-far", "app-1"
BLINKING = (AT_THE_LOSS, AT_THE_END)
BLIND, AWAKE = 6_200, 1_700
"""Packets; the buffer holds about 3 600 of them, so some 28 % are dropped."""


@pytest.fixture(scope="module")
def dropping(lab_place, tmp_path_factory):
    """A line that loses 3 % while the captures behind it and at the server are stopped again and again."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("dropping"))
    lab.reset()
    run = lab.run(lab.playbook("dropping", FLOWS, PATH_TO_APP_1, buffer="1 MiB"))
    run.wait_for("capture.window_open")
    before = len(lab.truth())
    lab.line(loss=0.03)
    with (
        lab.serving("app-1", "udp-receive", "5001", "60"),
        lab.blinking("line-b", "wan", blind=BLIND, awake=AWAKE),
        lab.blinking("app-1", "eth0", blind=BLIND, awake=AWAKE),
    ):
        receiver = lab.traffic("app-1", "tcp-receive", "5002")
        ended(
            lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "20000", "4000", "300"),
            lab.traffic("client-1", "tcp-send", "10.10.10.2", "5002", "2500", "500", "300"),
            receiver,
        )
    code = lab.captured(run)
    truth = lab.truth()[before:]
    lab.reset()
    return run, code, truth


def shares(run):
    """Return by point the share of packets that its kernel says it dropped."""
    return {p["name"]: p["kernel_drops"] / (p["kernel_drops"] + p["packets"]) for p in run.result["points"]}


def test_two_points_dropped_a_quarter_and_the_others_nothing(dropping):
    """The scene is what it claims to be, by the kernel's own counters."""
    run, code, _ = dropping
    found = shares(run)

    assert code == 0
    assert all(0.18 < found[p] < 0.42 for p in BLINKING), found
    assert {p: share for p, share in found.items() if share} == {p: found[p] for p in BLINKING}


def test_the_vanished_are_exactly_what_the_line_dropped(dropping):
    """What a stopped capture did not see is nowhere called vanished; what the line dropped is, all of it."""
    run, _, truth = dropping
    dropped = dropped_in(truth)

    called = Counter(vanished_packets(run))

    assert sum(dropped.values()) > 500
    assert dropped_alone_in(truth) <= called <= dropped


def test_every_claim_spans_the_line_and_rests_on_a_sound_point(dropping):
    """Neither capture that dropped packets is named as the place where one is missing."""
    run, _, _ = dropping
    places = {p: number for number, p in enumerate(PATH_TO_APP_1)}
    near, far = places["line-near"], places["line-far"]

    for entry in run.result["vanished"]:
        ends = sorted((places[entry["last_seen"]], places[entry["first_missing"]]))
        assert ends[0] <= near < far <= ends[1], entry
        assert entry["first_missing"] not in BLINKING, entry


def test_the_miss_rate_is_near_what_the_kernel_says(dropping):
    """Measured from packets seen behind the point, not taken from its counter."""
    run, _, _ = dropping
    points = {p["name"]: p for p in run.result["points"]}

    assert points[AT_THE_LOSS]["capture_miss_rate"] == pytest.approx(shares(run)[AT_THE_LOSS], abs=0.03)
    assert all(points[p]["quality"] == "degraded" for p in BLINKING)
    assert all(f"{points[p]['kernel_drops']:,} kernel drops" in points[p]["reasons"] for p in BLINKING)
    assert {p["quality"] for name, p in points.items() if name not in BLINKING} == {"good"}
