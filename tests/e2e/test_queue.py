"""One playbook twice: the tasks inside this process, and on two workers behind a Redis server. Same outcome."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager

import pytest

from lab.hosts import command_in
from tests.support.lab_runs import PATH_TO_APP_1, ended, frames_of, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.redis]

PORT = 6390
BROKER = f"redis://127.0.0.1:{PORT}/0"
FLOWS = {"datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001}}
SENT, EVERY = 400, 20


@contextmanager
def serving(argv, ready):
    """Run *argv* until the end of the block; it is up when *ready* says so."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: ready() or process.poll() is not None, f"{argv[-3:]} up")
        assert process.poll() is None, argv
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def broker(lab):
    """A redis-server of our own in the orchestrator's namespace, and two workers."""
    if shutil.which("redis-server") is None:
        pytest.skip("NO REDIS: redis-server is not installed")
    pong = command_in(lab.place, "orchestrator", ["redis-cli", "-p", str(PORT), "ping"])
    redis = ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--dir", str(lab.folder)]
    with ExitStack() as stack:
        stack.enter_context(
            serving(
                command_in(lab.place, "orchestrator", redis),
                lambda: subprocess.run(pong, capture_output=True, check=False).stdout == b"PONG\n",
            )
        )
        for _ in range(2):
            worker = lab.command("worker", "--broker", BROKER, "--runs", str(lab.folder / "runs"))
            stack.enter_context(serving(worker, lambda: True))
        count = command_in(lab.place, "orchestrator", ["redis-cli", "-p", str(PORT), "client", "list"])
        wait_until(
            lambda: subprocess.run(count, capture_output=True, text=True, check=False).stdout.count("cmd=brpop") >= 2,
            "two workers that wait for tasks",
        )
        yield BROKER


def capture(lab, *extra):
    """Run the playbook with the same traffic and the same fault."""
    run = lab.run(lab.playbook("queue", FLOWS, PATH_TO_APP_1), *extra)
    run.wait_for("capture.window_open")
    lab.line(ab={"nth": EVERY, "match": {"dport": 5001}})
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        ended(lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", str(SENT), "400", "200"))
    code = lab.captured(run)
    lab.reset()
    return code, run


def outcome(code, run):
    """What must not depend on who carried the tasks out."""
    counts = ("from", "to", "direction", "sent", "delivered", "vanished", "vanished_probable", "unseen", "undecided")
    result, record = run.result, run.record
    lost = result["vanished"]
    return {
        "exit": code,
        "states": [(p["name"], p["state"], p["end_reason"]) for p in record["points"]],
        "headline": (result["headline"]["network"], result["headline"]["domain"]),
        # why packets vanish is a likeness that depends on which ones the line drew
        "findings": [(f["kind"], f["verdict"]) for f in result["findings"] if f["kind"] != "mechanism"],
        "points": [(p["name"], p["quality"], p["kernel_drops"]) for p in result["points"]],
        "datagrams": {p: sum(f[2] == 17 for f in frames_of(run.raw(p))) for p in PATH_TO_APP_1},
        "segments": [tuple(s[c] for c in counts) for s in result["segments"]],
        "vanished": [tuple(v[k] for k in ("kind", "bytes", "last_seen", "first_missing", "verdict")) for v in lost],
        "events": sorted({e["msgid"] for e in run.said} - {"capture.state", "point.warning"}),
    }  # fmt: skip


def test_embedded_and_redis_come_to_the_same_outcome(lab, broker):
    """Every 20th of 400 datagrams vanishes on the line, whoever carried the tasks."""
    embedded = outcome(*capture(lab))
    code, run = capture(lab, "--broker", broker)
    queued = outcome(code, run)

    assert run.record["broker"] == "redis"
    assert len(queued["vanished"]) == SENT // EVERY
    assert queued == embedded


def test_only_ids_and_numbers_pass_through_the_broker(lab, broker):
    """No host, command, filter or credential is on the queue; a plan changed in the store is refused."""
    cli = ["redis-cli", "-p", str(PORT)]
    monitor = subprocess.Popen(
        command_in(lab.place, "orchestrator", [*cli, "monitor"]), stdout=subprocess.PIPE, text=True
    )
    assert monitor.stdout.readline() == "OK\n"
    code, run = capture(lab, "--broker", broker)
    monitor.terminate()
    traffic = monitor.communicate()[0]

    assert code == 0
    assert run.id in traffic
    for secret in ("10.99.0", "capture_ed25519", "udp port", "tcpdump -", "192.168.0.1"):
        assert secret not in traffic, secret


def test_a_broker_that_does_not_answer_is_said(lab):
    """No Redis: exit 3, with what to do."""
    playbook = lab.playbook("nobody", FLOWS, PATH_TO_APP_1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = lab.command(
        "run", str(playbook), "--runs", str(lab.folder / "runs"), "--broker", f"redis://127.0.0.1:{port}/0"
    )

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "Start Redis" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_changed_in_the_store_is_refused(lab, broker):
    """Whoever can write to the store but lacks the key cannot make a worker capture something else."""
    run = lab.run(lab.playbook("sealed", FLOWS, PATH_TO_APP_1), "--broker", broker)
    run.wait_for("capture.window_open")
    sealed = run.path / "plan.sealed.json"
    data = json.loads(sealed.read_text())
    data["plan"]["points"][0]["filter"] = "ip"
    sealed.write_text(json.dumps(data))

    code = lab.captured(run)

    refused = [p for p in run.record["points"] if p["state"] == "failed"]
    assert code != 0
    assert all("seal" in p["reason"]["message"] for p in refused)
    assert refused
    for host in ("client-1", "app-1"):
        subprocess.run(lab.command("sweep", str(lab.inventory), "--run", run.id), check=True, capture_output=True)
        del host
