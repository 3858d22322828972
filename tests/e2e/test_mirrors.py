"""The last point is a switch's mirror, and the mirror loses copies: that is no loss of the network."""

from __future__ import annotations

import json

import pytest

from lab import devices
from tests.support.lab_runs import Lab, called_in, dropped_in, ended
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

POINTS = ["line-near", "line-far", "fw-in"]
FLOWS = {
    "datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001},
    "stream": {"from": "client-1", "to": "app-1", "protocol": "tcp", "port": 5002},
}
COLLECTOR, MIRROR = "client-3", "mirror"
LOSS, MIRROR_LOSS = 0.03, 0.05


def captured(lab, expression):
    """Send datagrams and a stream over the lossy line; return (captures by point, the mirror's last, dropped)."""
    with lab.capturing(COLLECTOR, "mgmt0", expression, "mirror.pcap") as mirrored:
        run = lab.run(lab.playbook("mirrored", FLOWS, POINTS))
        run.wait_for("capture.window_open")
        before = len(lab.truth())
        lab.line(loss=LOSS)
        with lab.serving("app-1", "udp-receive", "5001", "60"):
            receiver = lab.traffic("app-1", "tcp-receive", "5002")
            ended(
                lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "2000", "500", "200"),
                lab.traffic("client-1", "tcp-send", "10.10.10.2", "5002", "1500", "400", "300"),
                receiver,
            )
        assert lab.captured(run) == 0
    dropped = dropped_in(lab.truth()[before:])
    lab.reset()
    return {p: run.raw(p)[0] for p in POINTS} | {MIRROR: mirrored}, dropped


@pytest.fixture(scope="module")
def erspan(lab_place, tmp_path_factory):
    """Captures of three points and of an ERSPAN mirror that loses one copy in twenty."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("erspan"))
    lab.reset()
    switch = devices.erspan_mirror(lab.place, "server-sw", "p1", COLLECTOR, loss=MIRROR_LOSS, folder=lab.folder)
    with switch as log:
        captures, dropped = captured(lab, "ip proto 47")
    return captures, dropped, [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def vxlan(lab_place, tmp_path_factory):
    """The same with the kernel's own VXLAN, which numbers nothing."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("vxlan"))
    lab.reset()
    with devices.vxlan_mirror(lab.place, "server-sw", "p1", COLLECTOR, loss=MIRROR_LOSS):
        return captured(lab, "udp port 4789")


def judged(folder, captures, points):
    """Return (called vanished, result) of the captures of *points*."""
    chosen = {p: captures[p] for p in points}
    result = analyse_files(folder, chosen)
    return called_in(result.vanished, {p: [path] for p, path in chosen.items()}), result


def test_numbered_copies_that_were_lost_are_no_loss_of_the_network(erspan, tmp_path):
    """Nothing but what the line dropped, on the line, although nothing lies behind the mirror.

    Not quite all of it: copies come late, so clocks are known to a millisecond or two, and then an acknowledgement may
    seem to come before the data sent again that it is for.
    """
    captures, dropped, copies = erspan

    called, result = judged(tmp_path, captures, [*POINTS, MIRROR])

    assert sum(dropped.values()) > 80
    assert sum(c["fate"] == "dropped" for c in copies) > 120
    assert called <= dropped
    assert sum(called.values()) > 0.9 * sum(dropped.values())
    for entry in result.vanished:
        ends = sorted(map([*POINTS, MIRROR].index, (entry.last_seen, entry.first_missing)))
        assert ends[0] == POINTS.index("line-near"), entry
        assert ends[1] >= POINTS.index("line-far"), entry


def test_the_mirror_s_own_losses_are_told(erspan, tmp_path):
    """As many as the switch lost, and the point is degraded for it."""
    captures, _, copies = erspan
    received = [c["number"] for c in copies if c["fate"] == "sent"]
    lost = received[-1] - received[0] + 1 - len(received)

    _, result = judged(tmp_path, captures, [*POINTS, MIRROR])

    points = {p.name: p for p in result.points}
    told = f"its mirror lost {lost:,} of {received[-1] - received[0] + 1:,} copies, by the numbers that it gave them"
    assert told in points[MIRROR].reasons
    assert points[MIRROR].quality == "degraded"


def test_a_mirror_that_numbers_its_copies_accuses_where_it_was_not_blind(erspan, tmp_path):
    """Alone behind the line it still finds losses, and nothing that was no loss."""
    captures, dropped, _ = erspan

    called, _ = judged(tmp_path, captures, ["line-near", MIRROR])

    assert called <= dropped
    assert sum(called.values()) > 0.4 * sum(dropped.values())


@pytest.mark.parametrize("points", [[*POINTS, MIRROR], ["line-near", MIRROR], ["line-near", MIRROR, "fw-in"]])
def test_copies_without_numbers_accuse_nobody_wrongly(vxlan, tmp_path, points):
    """Acknowledged data that the mirror did not show tells that it loses: its silence no longer counts."""
    captures, dropped = vxlan

    called, _ = judged(tmp_path, captures, points)

    assert called <= dropped
    if points[:3] == POINTS:
        assert sum(called.values()) > 0.95 * sum(dropped.values())
