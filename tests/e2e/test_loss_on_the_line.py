"""Loss on the dedicated line, against the line's own log of every packet that it received."""

from __future__ import annotations

import subprocess
from collections import Counter
from decimal import Decimal

import pytest

from lab import faults
from tests.support.lab_runs import PATH_TO_APP_1, dropped_alone_in, dropped_in, ended, frames_of, vanished_packets
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

FLOWS = {
    "datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001},
    "stream": {"from": "client-1", "to": "app-1", "protocol": "tcp", "port": 5002},
}


@pytest.fixture(scope="module")
def lossy(lab_place, tmp_path_factory):
    """2 000 UDP and 2 000 TCP segments over a line that loses 5 %, two clocks wrong by seconds and 300 ppm."""
    from tests.support.lab_runs import Lab  # noqa: PLC0415  # the module's lab is made here

    lab = Lab(lab_place, tmp_path_factory.mktemp("lossy"))
    lab.reset()
    faults.set_clock(lab.place, "client-1", offset_ns=7_250_000_000, drift_ppm=300.0)
    faults.set_clock(lab.place, "line-b", offset_ns=-3_100_000_000, drift_ppm=-300.0)
    run = lab.run(lab.playbook("lossy", FLOWS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    before = len(lab.truth())
    lab.line(loss=0.05)
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        receiver = lab.traffic("app-1", "tcp-receive", "5002")
        senders = [
            lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "2000", "400", "200"),
            lab.traffic("client-1", "tcp-send", "10.10.10.2", "5002", "2000", "400", "300"),
        ]
        ended(*senders, receiver)
    code = lab.captured(run)
    truth = lab.truth()[before:]
    lab.reset()
    return run, code, truth


def test_the_vanished_are_exactly_what_the_line_dropped(lossy):
    """Packet for packet, on the right segment, whatever the clocks."""
    run, code, truth = lossy
    dropped = dropped_in(truth)

    called = Counter(vanished_packets(run))

    assert code == 0
    assert sum(dropped.values()) > 150
    assert dropped_alone_in(truth) <= called <= dropped


def test_nothing_is_called_vanished_anywhere_else(lossy):
    """Every entry names the line; every other segment says zero."""
    run, _, _ = lossy
    result = run.result

    assert {tuple(sorted((v["last_seen"], v["first_missing"]))) for v in result["vanished"]} == {
        ("line-far", "line-near")
    }
    for row in result["segments"]:
        if {row["from"], row["to"]} != {"line-near", "line-far"}:
            assert (row["vanished"], row["vanished_probable"]) == (0, 0), row
        if not row["inferred"]:
            assert row["sent"] == row["delivered"] + row["vanished"] + row["vanished_probable"] + row["undecided"]


def test_the_clocks_are_found(lossy):
    """Seconds and 300 ppm are measured to within the stated uncertainty."""
    run, _, _ = lossy
    clocks = {p["name"]: p["clock"] for p in run.result["points"]}

    assert abs(clocks["client-1"]["drift_ppb"] - 300_000) < 20_000
    assert abs(clocks["line-far"]["drift_ppb"] + 300_000) < 20_000
    assert abs(clocks["client-1"]["offset_ns"] - 7_250_000_000) < 50_000_000
    assert all(c["uncertainty_ns"] is not None and c["uncertainty_ns"] < 2_000_000 for c in clocks.values())


def test_the_answer_accuses_the_line(lossy):
    """Yes, the network: this segment, this circuit."""
    run, _, _ = lossy
    headline = run.result["headline"]

    assert (headline["network"], headline["domain"]) == ("yes", "segment")
    assert "cc-hq" in headline["statement"]


@pytest.mark.parametrize("gateway", ["core", "fw-in"])
def test_from_the_gateway_alone_each_lost_range_is_one_hole(lossy, tmp_path, gateway):
    """Nothing is called vanished; the outer segment counts the client's data that the line lost, each range once."""
    run, _, truth = lossy
    lost = {
        line["seq"]  # a retransmission may stand for several segments; it begins where the first of them did
        for line in truth
        if line["fate"] == "dropped" and line["dir"] == "ab" and line["proto"] == 6 and line["payload"]
    }

    result = analyse_files(tmp_path, {gateway: run.raw(gateway)[0]})

    outer = next(s for s in result.segments if s.near is None and s.far == gateway and s.direction == "forward")
    assert result.vanished == ()
    assert outer.inferred
    assert outer.holes == len(lost)


def test_the_merged_file_holds_every_packet_in_corrected_order(lossy):
    """Tshark opens it: one named interface a point, as many packets as the captures together, times that only rise."""
    run, _, _ = lossy
    argv = ["tshark", "-n", "-r", str(run.path / "merged.pcapng"), "-T", "fields"]
    fields = ("frame.interface_name", "frame.time_epoch", "ip.id", "udp.dstport")
    out = subprocess.run(
        [*argv, *(a for f in fields for a in ("-e", f))], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split("\t") for line in out.splitlines()]
    times = [Decimal(row[1]) for row in rows]
    captured = {p: len(frames_of(run.raw(p))) for p in PATH_TO_APP_1}

    assert Counter(row[0] for row in rows) == captured
    assert times == sorted(times)
    assert len(rows) == sum(captured.values())


def test_the_line_is_crossed_in_path_order(lossy):
    """Every datagram that arrived stands in the merged file at the line's near end before its far end."""
    run, _, _ = lossy
    argv = ["tshark", "-n", "-r", str(run.path / "merged.pcapng"), "-Y", "udp.dstport == 5001", "-T", "fields"]
    out = subprocess.run(
        [*argv, "-e", "frame.interface_name", "-e", "ip.id"], check=True, capture_output=True, text=True
    ).stdout
    order: dict[str, list[str]] = {}
    for line in out.splitlines():
        point, number = line.split("\t")
        order.setdefault(number, []).append(point)
    both = [seen for seen in order.values() if "line-far" in seen]

    assert len(both) > 1500
    assert all(seen.index("client-1") < seen.index("line-far") < seen.index("app-1") for seen in both)
