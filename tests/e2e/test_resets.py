"""Resets in the lab: made by a firewall, by a client, by a middlebox that forges them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab import faults
from tests.support.lab_runs import PATH_TO_APP_1, REPOSITORY, ended
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

FLOWS = {
    "connections": {"from": "client-1", "to": "app-1", "protocol": "tcp"},
    "context": {"from": "client-1", "keep": "signals"},
}


@pytest.fixture
def run(lab):
    """A run whose window is open."""
    started = lab.run(lab.playbook("resets", FLOWS, PATH_TO_APP_1))
    started.wait_for("capture.window_open")
    return started


def births(run):
    return {
        (r["flow"]["src"], r["born"]["after"], r["born"]["before"], r["origin"]) for r in run.result["resets"]
    }  # fmt: skip


def test_a_firewall_that_rejects_is_found_between_its_two_sides(lab, run):
    """The RST claims to be the server's; it is born between fw-in and fw-out, and the SYN went no further."""
    faults.Firewall(lab.place).add(faults.flow_rule("reset", target="10.10.10.2", port=9001))
    with lab.serving("app-1", "echo", "9001"):
        assert ended(lab.traffic("client-1", "connect", "10.10.10.2", "9001")) == [
            {"connected": False, "error": "ConnectionRefusedError"}
        ]

    assert lab.captured(run) == 0

    assert births(run) == {("10.10.10.2", "fw-in", "fw-out", "network")}
    assert {r["cause"] for r in run.result["resets"]} == {"firewall-reject"}


def test_a_firewall_that_cuts_a_connection_is_found_there(lab, run):
    """Data of an open connection is answered with a RST by the firewall; nobody behind it sees one."""
    with lab.serving("app-1", "echo", "9002"):
        talk = lab.traffic("client-1", "connect", "10.10.10.2", "9002")
        faults.Firewall(lab.place).add(
            "ip daddr 10.10.10.2 tcp dport 9002 ct original packets > 8 counter reject with tcp reset"
        )
        assert ended(talk)[0]["connected"] is False

    assert lab.captured(run) == 0

    assert ("10.10.10.2", "fw-in", "fw-out", "network") in births(run)
    assert all(b[3] != "endpoint" or b[0] == "192.168.0.1" for b in births(run))


@pytest.mark.parametrize("how", ["linger", "unread"])
def test_a_client_that_aborts_is_named(lab, run, how):
    """The first point is the client itself: the RST is born there, on the clients' side."""
    with lab.serving("app-1", "echo", "9003"):
        ended(lab.traffic("client-1", "abort", "10.10.10.2", "9003", how))

    assert lab.captured(run) == 0

    assert births(run) == {("192.168.0.1", None, "client-1", "endpoint")}
    assert run.result["headline"]["network"] == "no"


def test_a_closed_port_is_the_servers_own(lab, run):
    """The SYN reaches the server; the RST is born at or behind app-1."""
    ended(lab.traffic("client-1", "connect", "10.10.10.2", "9"))

    assert lab.captured(run) == 0

    assert births(run) == {("10.10.10.2", None, "app-1", "endpoint")}
    assert {r["cause"] for r in run.result["resets"]} == {"closed-port"}


def test_a_middlebox_that_forges_both_ends_is_found_where_the_claimed_sender_flips(lab, run):
    """core-sw resets both: the server's is born between core and line-far, the client's between line-far and core."""
    forger = [sys.executable, "-m", "lab", "--prefix", lab.place.prefix, "--dir", str(lab.place.directory)]
    subprocess.run([*forger, "fault", "forge", "--port", "9004", "--after", "3"], check=True, cwd=REPOSITORY)
    with lab.serving("app-1", "echo", "9004"):
        ended(lab.traffic("client-1", "connect", "10.10.10.2", "9004"))

    assert lab.captured(run) == 0

    forged = {b for b in births(run) if b[3] != "endpoint"}
    assert forged == {("10.10.10.2", "core", "line-far", "network"), ("192.168.0.1", "line-far", "core", "network")}


def test_from_the_gateway_alone_the_clients_resets_come_from_the_clients_side(lab, run, tmp_path):
    """One point: no segment is accused; the side is named."""
    with lab.serving("app-1", "echo", "9005"):
        for how in ("linger", "unread", "linger"):
            ended(lab.traffic("client-1", "abort", "10.10.10.2", "9005", how))
    assert lab.captured(run) == 0

    result = analyse_files(tmp_path, {"gateway": run.raw("core")[0]})

    assert len(result.resets) >= 3
    assert {(r.side, r.born_after, r.born_before) for r in result.resets} == {("client", None, "gateway")}
    assert result.vanished == ()
    assert result.headline.network != "yes"
