"""What goes wrong at two in the morning: points that fail, users who press Ctrl-C, orchestrators that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import state
from lab.hosts import command_in
from lab.state import LabError
from tests.support.lab_runs import PATH_TO_APP_1, ended, wait_until

pytestmark = pytest.mark.lab

FLOWS = {"datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001}}
LEASE_S = 20


def on(lab, node, *argv):
    """Run a command on a host of the lab."""
    return subprocess.run(command_in(lab.place, node, list(argv)), check=True, capture_output=True, text=True).stdout


def orchestrator_process(run):
    """Return the vanishpoint process itself: `ip netns exec` and `env` have become it."""
    assert "vanishpoint" in Path(f"/proc/{run.process.pid}/cmdline").read_text()
    return run.process.pid


def test_points_that_fail_do_not_stop_the_others(lab):
    """Unreachable, tcpdump gone, a full disk: each is named with its cure, the rest of the run goes on; exit 5."""
    on(lab, "line-b", "sh", "-c", "mv /usr/bin/tcpdump /usr/bin/tcpdump.gone")
    on(lab, "core-sw", "sh", "-c", "head -c 60m /dev/zero >/tmp/full; head -c 62m /dev/zero >/var/tmp/full || true")
    management = ["ip", "-n", lab.place.namespace("fw"), "link", "set", "dev", "mgmt0"]
    subprocess.run([*management, "down"], check=True)
    try:
        run = lab.run(lab.playbook("failing", FLOWS, PATH_TO_APP_1))
        run.wait_for("capture.window_open")
        with lab.serving("app-1", "udp-receive", "5001", "60"):
            ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "200", "400", "200"))
        code = lab.captured(run)
    finally:
        subprocess.run([*management, "up"], check=True)
        on(lab, "line-b", "sh", "-c", "mv /usr/bin/tcpdump.gone /usr/bin/tcpdump")
        on(lab, "core-sw", "sh", "-c", "rm -f /tmp/full /var/tmp/full")

    points = {p["name"]: p for p in run.record["points"]}
    assert code == 5
    assert {n for n, p in points.items() if p["state"] == "failed"} == {"line-far", "core", "fw-out", "fw-in"}
    assert {n for n, p in points.items() if p["state"] == "collected"} == {"client-1", "access", "line-near", "app-1"}
    codes = {n: p["reason"]["code"] for n, p in points.items() if p["reason"]}
    assert codes["line-far"] == "tool-missing"
    assert codes["fw-out"] == codes["fw-in"] == "unreachable"
    assert "disk" in codes["core"]
    assert all(p["reason"]["cure"] for p in points.values() if p["reason"])
    assert run.segment("line-near", "app-1")["delivered"] == 200
    assert {p["name"] for p in run.result["points"]} == {"client-1", "access", "line-near", "app-1"}


def test_a_filter_that_does_not_compile_fails_every_point_with_its_reason(lab):
    """Nothing is captured: exit 3, and the host's own words about the filter."""
    playbook = lab.playbook("syntax", FLOWS, PATH_TO_APP_1, filter="udp prot 5001")

    done = subprocess.run(
        lab.command("run", str(playbook), "--runs", str(lab.folder / "runs")),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert "syntax error" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_stops_the_captures_and_fetches_the_files(lab):
    """Exit 130; every file is here with the hash that the host gave, nothing is left on any host."""
    run = lab.run(lab.playbook("interrupted", FLOWS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "200", "400", "200"))
    os.kill(orchestrator_process(run), signal.SIGINT)

    assert run.finish() == 130

    assert run.record["interrupted"] is True
    assert {p["state"] for p in run.record["points"]} == {"collected"}
    assert run.segment("line-near", "line-far")["delivered"] == 200
    assert lab.tcpdumps() == []
    for node in ("client-1", "line-a", "fw"):
        assert (
            on(lab, node, "sh", "-c", "ls -d /var/tmp/*vanishpoint*/* /tmp/*vanishpoint*/* 2>/dev/null || true").split()
            == []
        )


def test_ctrl_c_while_arming_leaves_nothing_behind(lab):
    """An interrupt before the window opens ends the run; no tcpdump is left."""
    run = lab.run(lab.playbook("early", FLOWS, PATH_TO_APP_1))
    run.wait_for("capture.arming")
    os.kill(orchestrator_process(run), signal.SIGINT)

    assert run.finish() == 130
    assert lab.tcpdumps() == []


def test_a_killed_orchestrator_leaves_no_tcpdump_after_the_lease(lab):
    """Kill -9: the hosts end the captures by themselves, and sweep removes the files."""
    run = lab.run(lab.playbook("killed", FLOWS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    assert len(lab.tcpdumps()) == len(PATH_TO_APP_1)
    os.kill(orchestrator_process(run), signal.SIGKILL)
    run.process.wait(10)

    wait_until(lambda: lab.tcpdumps() == [], "every tcpdump gone", LEASE_S + 15)

    swept = subprocess.run(lab.command("sweep", str(lab.inventory)), check=True, capture_output=True, text=True).stdout
    assert swept.count(run.id) == len(PATH_TO_APP_1)
    again = subprocess.run(lab.command("sweep", str(lab.inventory)), check=True, capture_output=True, text=True).stdout
    assert again == ""


def test_status_and_doctor_from_another_shell(lab):
    """While the window is open, status tells the state of every point; doctor says GO everywhere."""
    playbook = lab.playbook("watched", FLOWS, PATH_TO_APP_1)
    doctor = subprocess.run(lab.command("doctor", str(playbook), "--json"), capture_output=True, text=True, check=True)
    assert json.loads(doctor.stdout)["go"] is True
    run = lab.run(playbook)
    run.wait_for("capture.window_open")

    argv = lab.command("status", run.id, "--runs", str(lab.folder / "runs"), "--json")
    status = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

    assert status["phase"] == "window open"
    assert {p["state"] for p in status["points"]} == {"armed"}
    assert lab.captured(run) == 0
    status = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert status["phase"] == "finished"


def test_doctor_names_the_cure_of_a_host_without_tcpdump(lab):
    """NO-GO is exit 3, and each NO has a cure."""
    on(lab, "line-b", "sh", "-c", "mv /usr/bin/tcpdump /usr/bin/tcpdump.gone")
    try:
        argv = lab.command("doctor", str(lab.playbook("doctor", FLOWS, PATH_TO_APP_1)))
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    finally:
        on(lab, "line-b", "sh", "-c", "mv /usr/bin/tcpdump.gone /usr/bin/tcpdump")

    assert done.returncode == 3
    line = next(row for row in done.stdout.splitlines() if row.startswith("line-far"))
    assert "NO-GO" in line
    assert "cure:" in done.stdout


@pytest.mark.root
def test_down_ends_what_a_killed_up_left(tmp_path):
    """Kill -9 in the middle of up: down still removes every namespace and process."""
    place = state.Place(f"vpk{os.getpid()}", tmp_path / "lab")
    argv = ["--prefix", place.prefix, "--dir", str(place.directory)]
    up = subprocess.Popen(lab_command(argv, "up"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(n.startswith(place.prefix) for n in state.existing()), "the first namespaces")
    up.kill()
    up.wait(10)

    subprocess.run(lab_command(argv, "down"), check=True, capture_output=True)

    assert [n for n in state.existing() if n.startswith(place.prefix)] == []
    mounts = Path("/proc/mounts").read_text()
    assert str(tmp_path) not in mounts


def lab_command(options, verb):
    return [sys.executable, "-m", "lab", *options, verb]


def test_a_host_that_falls_silent_does_not_cost_the_others_their_lease(lab):
    """The firewall's management is cut for longer than a lease: only its points end; all others capture to the end."""
    management = ["ip", "-n", lab.place.namespace("fw"), "link", "set", "dev", "mgmt0"]
    run = lab.run(lab.playbook("silent", FLOWS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    subprocess.run([*management, "down"], check=True)
    try:
        wait_until(lambda: len(lab.tcpdumps()) == len(PATH_TO_APP_1) - 2, "the lease of the silent host", LEASE_S + 15)
        with lab.serving("app-1", "udp-receive", "5001", "60"):
            ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "200", "400", "200"))
        assert len(lab.tcpdumps()) == len(PATH_TO_APP_1) - 2
    finally:
        subprocess.run([*management, "up"], check=True)
    code = lab.captured(run)

    ends = {p["name"]: p["end_reason"] for p in run.record["points"]}
    assert {ends[p] for p in PATH_TO_APP_1 if not p.startswith("fw")} == {"stop"}
    assert code in {0, 5}
    assert run.segment("core", "fw-out")["vanished"] == 0
    assert run.segment("line-near", "line-far")["delivered"] == 200
    assert run.result["vanished"] == []


def test_the_lines_log_never_keeps_silent_about_its_own_overflow(lab):
    """When the relay cannot keep up, the truth refuses to be read as complete."""
    ping = ["ip", "netns", "exec", lab.place.namespace("client-1"), "ping", "-c", "2", "-W", "2", "10.10.10.2"]
    subprocess.run(ping, check=True, capture_output=True)  # addresses are resolved before the relay stands still
    relays = [p for p in state.processes(lab.place.namespace("line")) if "line.py" in cmdline(p)]
    os.kill(relays[0], signal.SIGSTOP)
    try:
        ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "12000", "1000000", "20"))
    finally:
        os.kill(relays[0], signal.SIGCONT)

    with pytest.raises(LabError, match="missing from its log"):
        lab.truth()

    subprocess.run([*lab_command(["--prefix", lab.place.prefix, "--dir", str(lab.place.directory)], "up")], check=True)


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()
