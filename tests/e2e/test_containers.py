"""compose.yaml for real: a client, a router with a fault and a server, captured through Redis by containers."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise

import pytest
import yaml

from orchestrator.config.playbook import load_both
from orchestrator.core.plan import plan_capture
from tests.support.containers import REPOSITORY, Stack, find_engine

COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
POINTS = ["client", "router-lan", "router-wan", "server"]
PRODUCT = ("redis", "worker", "orchestrator", "lab-worker", "demo")
DEMO_S = 180
MOUNTED = "playbooks/packets-vanish.yaml"
LOG_IN = """
import sys, pathlib
from probes import errors, spec, ssh
keys = {line.split()[0]: line.split(" ", 1)[1] for line in open("/keys/known_hosts")}
known = pathlib.Path("/tmp/known_hosts")
known.write_text(f"client {keys[sys.argv[1]]}")
login = spec.Login(host="client", user="capture", key_file="/keys/capture_ed25519", known_hosts=str(known))
try:
    ssh.connect(login).close()
    print("let in")
except errors.ProbeError as refusal:
    print(refusal.code)
"""

containers = pytest.mark.containers
slow = pytest.mark.timeout(1800)  # images are built, and base images made, on the first run


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Everything that compose.yaml has, up."""
    engine = find_engine()
    if isinstance(engine, str):
        pytest.skip(f"CONTAINERS ARE NOT TESTED: {engine}")
    services = Stack(engine, f"vpc{os.getpid()}", tmp_path_factory.mktemp("containers"))
    try:
        services.up()
        yield services
    finally:
        services.down()


@pytest.fixture(scope="module")
def run_id(stack):
    """The run of the demo, which has succeeded."""
    assert stack.exit_code("demo", DEMO_S) == 0, stack.logs("demo")
    match = re.search(r"^run (\S+)", stack.logs("demo"), re.MULTILINE)
    assert match, stack.logs("demo")
    return match[1]


@pytest.fixture(scope="module")
def result(stack, run_id):
    """What the demo's run says."""
    return json.loads(stack.inside("lab-worker", "cat", f"/runs/{run_id}/result.json"))


def test_the_labs_playbook_is_sound():
    """Checked without containers: a mistake in it would only show in the long lane."""
    plan = plan_capture(*load_both(REPOSITORY / "containers/playbook.yaml", {}))
    assert [point.point for point in plan.points] == POINTS
    assert {point.ssh.host for point in plan.points} <= set(SERVICES)


def test_nothing_is_published_and_nothing_is_privileged():
    """Redis is for the project's own network; the product's containers have no rights and keys they cannot change."""
    for name, service in SERVICES.items():
        assert not {"ports", "privileged", "network_mode", "pid"} & set(service), name
    for name in PRODUCT:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in SERVICES[name]["security_opt"]
        writable = [volume for volume in SERVICES[name].get("volumes", []) if not volume.endswith(":ro")]
        assert all(volume.endswith(":/runs") for volume in writable), name


@containers
@slow
def test_services_are_healthy(stack):
    """The client's check talks to the server, so the way through the router is there too."""
    checked = [name for name, service in SERVICES.items() if "healthcheck" in service]
    assert checked == ["redis", "worker", "client", "router", "server", "lab-worker"]
    for name in checked:
        stack.await_healthy(name)


@containers
@slow
def test_the_demo_names_the_segment_that_drops(stack, run_id, result):
    """A rule on the router drops one service: its SYNs enter the router and never leave it."""
    assert f"{POINTS[1]} → {POINTS[2]}" in stack.logs("demo")
    assert result["run_id"] == run_id
    assert result["headline"]["network"] == "yes"
    assert result["headline"]["domain"] == "policy"
    assert result["vanished"]
    for gone in result["vanished"]:
        assert (gone["last_seen"], gone["first_missing"], gone["kind"]) == ("router-lan", "router-wan", "syn")
        assert gone["flow"]["dport"] == 8443


@containers
@slow
def test_other_traffic_passes_the_router(result):
    """Captured at every point in both directions: the way really leads through it, by the ports that are captured."""
    assert [p["name"] for p in result["points"] if p["quality"] == "good"] == POINTS
    measured = {(s["from"], s["to"]): s for s in result["segments"] if s["from"] and s["to"]}
    for near, far in pairwise(POINTS):
        for way in ((near, far), (far, near)):
            assert measured[way]["delivered"] > 50, way
            assert bool(measured[way]["vanished"]) == (way == ("router-lan", "router-wan")), way


@containers
@slow
def test_captures_need_no_root_on_hosts(stack, run_id):
    """Hosts let one unprivileged user in; the right to capture is tcpdump's."""
    lines = stack.inside("lab-worker", "cat", f"/runs/{run_id}/journal.jsonl").splitlines()
    armed = [line for line in lines if "point.armed" in line]
    assert len(armed) == len(POINTS)
    assert all('"capabilities"' in line for line in armed)


@containers
@slow
def test_nothing_of_the_product_runs_as_root(stack):
    """Their first process and the images' own user."""
    for service in ("redis", "worker", "lab-worker"):
        assert stack.inside(service, "stat", "-c", "%u", "/proc/1").strip() != "0", service
    for service in ("orchestrator", "demo"):
        assert stack.user(service) == "vanishpoint"


@containers
@slow
def test_keys_are_private_and_read_only(stack):
    """Made at start: the log-in's key for its owner alone, and one host key for each host."""
    assert stack.inside("lab-worker", "stat", "-c", "%U %a", "/keys/capture_ed25519").split() == ["vanishpoint", "600"]
    known = stack.inside("lab-worker", "cat", "/keys/known_hosts").splitlines()
    assert [line.split()[:2] for line in known] == [[host, "ssh-ed25519"] for host in ("client", "router", "server")]
    assert len({line.split()[2] for line in known}) == len(known)
    assert stack.inside("lab-worker", "sh", "-c", "touch /keys/x 2>/dev/null || echo refused").strip() == "refused"


@containers
@slow
def test_a_host_with_another_key_is_refused(stack):
    """The known hosts made at start are enforced: the same log-in works with them, and not with swapped ones."""
    assert stack.inside("lab-worker", "python", "-c", LOG_IN, "client").strip() == "let in"
    assert stack.inside("lab-worker", "python", "-c", LOG_IN, "router").strip() == "host-key-changed"


@containers
@slow
def test_kernels_come_compiled(stack):
    """What the image was built with is used: a start that compiles would write new files."""
    cache = "/var/cache/vanishpoint"
    script = f"test -w {cache} && touch /tmp/mark && python -m orchestrator.warmup && find {cache} -newer /tmp/mark"
    assert stack.inside("lab-worker", "sh", "-c", script).strip() == ""
    assert stack.inside("lab-worker", "find", cache, "-name", "*.nbc").strip()
    assert stack.inside("lab-worker", "sh", "-c", "command -v gcc cc || echo none").strip() == "none"


@containers
@slow
def test_the_orchestrator_is_a_command(stack, run_id):
    """It ends with its answer: the plan of a playbook that is mounted, the report of a run."""
    planned = stack.compose("run", "--rm", "--no-deps", "-T", "orchestrator", "plan", MOUNTED, timeout_s=120)
    assert "line-near" in planned
    printed = stack.compose("run", "--rm", "--no-deps", "-T", "orchestrator", "report", run_id, timeout_s=120)
    assert "IS IT THE NETWORK?" in printed
    assert "router-lan → router-wan" in printed


@containers
@slow
def test_nothing_is_left(stack):
    """Last, since it takes everything down."""
    stack.down()
    assert stack.leftovers() == {"container": [], "network": [], "volume": []}
