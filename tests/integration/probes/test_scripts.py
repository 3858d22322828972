"""The two shell scripts under other shells, and what the wrapper refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from probes import capture, preflight
from probes.clock import ClockChannel
from probes.local import LocalTransport
from tests.integration.probes.conftest import count_records, send
from tests.sshd_fixture import processes_with, wait_until

SCRIPTS = Path(__file__).parents[3] / "probes"
WRAPPER = SCRIPTS / "capture-wrapper.sh"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: captures under other shells are NOT tested")


def shells():
    """Return the POSIX shells of this machine as argv."""
    found = [[path] for name in ("dash", "bash") if (path := shutil.which(name))]
    return [*found, ["busybox", "sh"]] if shutil.which("busybox") else found


@pytest.mark.parametrize("shell", shells(), ids=lambda argv: Path(argv[0]).name)
@pytest.mark.parametrize("script", ["agent.sh", "capture-wrapper.sh"])
def test_the_scripts_are_posix_shell(shell, script):
    """At least each shell can read them."""
    subprocess.run([*shell, "-n", str(SCRIPTS / script)], check=True)


@needs_root
@pytest.mark.parametrize("shell", ["busybox", "bash"])
def test_a_capture_under_another_shell_and_its_tools(shell, spec, tmp_path):
    """A host whose tools are busybox: no nanoseconds, no file capabilities, and yet a capture."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed: a host of its kind is NOT tested")
    tools = tmp_path / "bin"
    tools.mkdir()
    if shell == "busybox":
        subprocess.run(["busybox", "--install", "-s", str(tools)], check=True)
    else:
        (tools / "sh").symlink_to(shutil.which(shell))
    transport = LocalTransport(prefix=("env", f"PATH={tools}:/usr/bin:/usr/sbin:/bin"))
    one = spec()

    assert preflight.check(transport, one).go
    capture.arm(transport, one)
    send(one, 100)
    wait_until(
        lambda: any((sample.captured or 0) >= 100 for sample in capture.poll(transport, one).samples), timeout_s=15
    )
    stopped = capture.stop(transport, one)
    capture.fetch(transport, one, stopped.files[0], tmp_path / "a.pcap")
    capture.remove(transport, one)

    assert count_records(tmp_path / "a.pcap") == stopped.captured == 100
    wait_until(lambda: not processes_with(one.name), timeout_s=3)  # busybox' timeout looks once a second
    with ClockChannel(transport) as channel:
        assert channel.exchange(1)


def wrapper(*arguments):
    return subprocess.run(
        ["sh", str(WRAPPER), *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@needs_root
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("shell",),
        ("check", "lo"),
        ("check", "-w", "ip"),
        ("check", "lo;id", "ip"),
        ("check", "", "ip"),
        ("check", "lo", "ip; id"),
        ("check", "lo", "ip `id`"),
        ("check", "lo", "$(id)"),
        ("check", "lo", "ip\nor arp"),
        ("check", "lo", "ip 'x'"),
        ("stop", "../../etc/passwd@x"),
        ("stop", "no-at-sign"),
        ("stop", "a@b@c"),
        ("stop", "a@b", "c"),
        ("sweep", "../x"),
        ("start", "r@p", "10", "lo", "160", "1024"),
        ("start", "r@p", "99999999", "lo", "160", "1024", "ip"),
        ("start", "r@p", "1e3", "lo", "160", "1024", "ip"),
        ("start", "r@p", "10", "lo", "-1", "1024", "ip"),
        ("start", "r@p", "10", "lo", "160", "1", "ip"),
        ("start", "r@p", "10", "lo", "160", "1024", "ip", "-z", "sh"),
    ],
    ids=" ".join,
)
def test_the_wrapper_refuses(arguments):
    """Whoever may call it gets captures, not a root shell."""
    done = wrapper(*arguments)

    assert done.returncode == 64
    assert done.stderr.startswith("vanishpoint-capture: ")


@needs_root
def test_the_wrapper_compiles_filters():
    """Everything that filter language knows passes its check."""
    text = "(ether[0] & 1 = 0 and ip[2:2] > 100) or (vlan and ether proto \\ip) or ip6 net fe80::/10"

    assert wrapper("check", "lo", text).returncode == 0
    assert "syntax error" in wrapper("check", "lo", "ip ]").stderr


@needs_root
def test_the_wrapper_knows_what_does_not_run():
    """Its own exit code, so that callers can tell."""
    assert wrapper("stop", "no-run@no-point").returncode == 65
    assert wrapper("stats", "no-run@no-point").returncode == 65
    assert wrapper("sweep").returncode == 0
