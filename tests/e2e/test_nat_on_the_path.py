"""Addresses and ports rewritten at the firewall, one way and both, while the line loses packets before it."""

from __future__ import annotations

from collections import Counter

import pytest

from lab import faults
from tests.support.lab_runs import Lab, called_in, dropped_alone_in, dropped_in, ended
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

POINTS = ["access", "line-near", "line-far", "core", "fw-out", "fw-in", "fw-dmz", "app-1"]
FLOWS = {"all": {"from": ["client-1", "client-2"], "to": "app-1"}}
SOURCE_TRANSLATED = ["line-near", "line-far", "fw-out", "fw-in", "app-1"]
BOTH_TRANSLATED = ["line-near", "line-far", "fw-out", "fw-dmz"]
ONE_PORT = "45000"
"""Both clients send from it, so the firewall must give one of them another."""


@pytest.fixture(scope="module")
def translated(lab_place, tmp_path_factory):
    """Two clients behind one address, a service behind another, 4 % loss; a filter by hand takes everything."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("translated"))
    lab.reset()
    faults.Firewall(lab.place).translate(on=True)
    run = lab.run(lab.playbook("translated", FLOWS, POINTS, filter="ip"))
    run.wait_for("capture.window_open")
    before = len(lab.truth())
    lab.line(loss=0.04)
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        receivers = [
            lab.traffic("app-1", "tcp-receive", "5002"), lab.traffic("dmz-1", "exchange-serve", "8080", "2", "400000"),
        ]  # fmt: skip
        ended(
            lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "1200", "400", "200", ONE_PORT),
            lab.traffic("client-2", "udp-send", "10.10.10.2", "5001", "1200", "400", "200", ONE_PORT),
            lab.traffic("client-1", "tcp-send", "10.10.10.2", "5002", "1000", "400", "300"),
            lab.traffic("client-2", "exchange", "203.0.113.80", "80", "2", "400000"),
            *receivers,
        )
        # captures alone do not say how long they listened: what dies behind their last packet is at the window's edge
        lab.line(loss=0.0)
        server = lab.traffic("dmz-1", "exchange-serve", "8080", "1", "1000")
        ended(lab.traffic("client-2", "exchange", "203.0.113.80", "80", "1", "1000"), server)
        ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "20", "400", "200"))
    assert lab.captured(run) == 0
    truth = lab.truth()[before:]
    lab.reset()
    return run, truth


PUBLIC_PORTS = {80, 8080}


def kept(packets, *, public):
    """Return what a translation keeps of *packets*, of the flows with the public service or of the others."""
    chosen = Counter()
    for packet, count in packets.items():
        _, _, protocol, sport, dport, number, seq = packet
        if bool({sport, dport} & PUBLIC_PORTS) == public:
            chosen[protocol, number, seq] += count
    return chosen


def dropped(truth, *, public):
    """Return what the line dropped, and of it what no twin hides."""
    return kept(dropped_in(truth), public=public), kept(dropped_alone_in(truth), public=public)


def worked_out(run, folder, points, *, public):
    """Return (vanished packets, result) of the captures of *points* alone, without playbook and inventory."""
    captures = {p: run.raw(p)[0] for p in points}
    result = analyse_files(folder, captures)
    called = called_in(result.vanished, {p: [path] for p, path in captures.items()})
    return kept(called, public=public), result


@pytest.mark.parametrize("points", [SOURCE_TRANSLATED, ["line-near", "line-far", "fw-in"], ["line-near", "app-1"]])
def test_two_clients_behind_one_address(translated, tmp_path, points):
    """No inventory tells of the translation: it is learned, and exactly what the line dropped is found."""
    run, truth = translated
    lost, alone = dropped(truth, public=False)

    called, result = worked_out(run, tmp_path, points, public=False)

    assert sum(lost.values()) > 90
    assert alone <= called <= lost
    assert {("192.168.0.1", "10.10.10.1"), ("192.168.0.2", "10.10.10.1")} <= changes(result)


@pytest.mark.parametrize("points", [BOTH_TRANSLATED, ["line-near", "line-far", "fw-dmz"], ["line-near", "fw-dmz"]])
def test_client_and_server_behind_other_addresses(translated, tmp_path, points):
    """Both ends of the five-tuple differ behind the firewall."""
    run, truth = translated
    lost, alone = dropped(truth, public=True)

    called, result = worked_out(run, tmp_path, points, public=True)

    assert sum(lost.values()) > 40
    assert alone <= called <= lost
    assert {("203.0.113.80", "10.20.20.2"), ("192.168.0.2", "10.20.20.1")} <= changes(result)


def changes(result):
    """Return the address changes that were seen."""
    return {t[2:] for t in result.translations}


def test_the_run_does_not_acquit_the_line(translated):
    """Filters by hand beside declared translations leave every loss undecided: no reason to say no."""
    run, _ = translated

    assert run.result["vanished"] == []
    assert run.result["headline"]["network"] == "cannot-tell"
