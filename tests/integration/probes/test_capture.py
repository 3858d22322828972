"""Captures on a real host: real sshd, real tcpdump, counted packets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from probes import capture
from probes.errors import (
    AgentError,
    DiskError,
    FilterError,
    InterfaceError,
    ProbeError,
    RightsError,
    ToolMissingError,
    TransferError,
)
from probes.local import LocalTransport
from probes.ssh import connect
from tests.integration.probes.conftest import count_records, send
from tests.sshd_fixture import processes_with, running_host, wait_until

REPOSITORY = Path(__file__).parents[3]


def drain(transport, spec, wanted):
    """Poll until the samples say that *wanted* packets were captured."""
    samples, position = [], 0

    def enough():
        nonlocal position
        seen = capture.poll(transport, spec, position=position)
        position = seen.position
        samples.extend(seen.samples)
        return any((one.captured or 0) >= wanted for one in samples)

    wait_until(enough, timeout_s=15)
    return samples


def round_trip(transport, spec, tmp_path):
    """Capture 200 packets, fetch and remove; return what arming and stopping said."""
    armed = capture.arm(transport, spec)
    send(spec, 200)
    samples = drain(transport, spec, 200)
    stopped = capture.stop(transport, spec)
    target = tmp_path / "fetched.pcap"
    capture.fetch(transport, spec, stopped.files[0], target)
    capture.remove(transport, spec)
    assert count_records(target) == stopped.captured == 200
    assert stopped.kernel_drops == 0
    assert (stopped.end_reason, stopped.exit_code, stopped.messages) == ("stop", 0, ())
    assert all(one.file_bytes is not None and one.free_kib for one in samples)
    assert processes_with(spec.name) == []
    return armed, stopped


def test_a_round_trip_as_root_counts_every_packet(root, spec, tmp_path):
    """The whole life of a capture; afterwards the host is as it was."""
    one = spec()

    armed, _ = round_trip(root, one, tmp_path)

    assert (armed.privilege, armed.link_type) == ("root", "EN10MB")
    assert root.run(["ls", "-A", "/var/tmp"]).text == ""


def test_a_round_trip_on_this_machine(local, spec, tmp_path):
    """The local transport carries the same capture."""
    one = spec()

    round_trip(local, one, tmp_path)

    assert not list(Path("/var/tmp").glob(f"vanishpoint-*/{one.name}"))


def test_a_user_with_a_capable_copy_of_tcpdump_captures(host, spec, tmp_path):
    """File capabilities on a copy are the preferred way to the right."""
    transport = connect(host.login("caps"))

    armed, _ = round_trip(transport, spec(), tmp_path)

    transport.close()
    assert armed.privilege == "capabilities"


def test_a_user_with_the_wrapper_captures(host, spec, tmp_path):
    """The wrapper writes to the user's own file and is stopped through its own verb."""
    transport = connect(host.login("wrap"))
    if transport.run(["sh", "-c", "command -v sudo"]).exit_code:
        pytest.skip("sudo is not installed: the wrapper is NOT tested")

    armed, _ = round_trip(transport, spec(), tmp_path)

    transport.close()
    assert armed.privilege == "wrapper"


def test_a_wrapped_capture_ends_with_its_agent(host, root, spec):
    """Nobody but root may signal root's tcpdump, so it must notice that its agent is gone."""
    transport = connect(host.login("wrap"))
    if transport.run(["sh", "-c", "command -v sudo"]).exit_code:
        pytest.skip("sudo is not installed: the wrapper is NOT tested")
    one = spec()
    armed = capture.arm(transport, one)
    capturing = f"tcpdump\0-i\0lo\0-n\0-s\0{one.snaplen}"
    assert [pid for pid in processes_with(one.filter) if capturing.encode() in _cmdline(pid)]

    root.run(["sh", "-c", 'kill -KILL "$(cat "$1/super")"', "sh", armed.remote_dir])

    wait_until(lambda: not processes_with(one.filter), timeout_s=5)
    assert capture.poll(transport, one).end_reason == "lost"
    assert capture.sweep(transport) == (one.name,)
    transport.close()


def _cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_user_without_the_right_is_told_what_to_type(host, spec):
    """Neither capabilities nor the sudo rule: the cure is both command lines."""
    transport = connect(host.login("bare"))

    with pytest.raises(RightsError) as caught:
        capture.arm(transport, spec())

    assert "setcap cap_net_raw,cap_net_admin+eip" in caught.value.hint
    assert "/etc/sudoers.d/vanishpoint" in caught.value.hint
    assert transport.run(["ls", "-A", "/var/tmp"]).text == ""
    transport.close()


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        pytest.param({"interface": "nosuch0"}, InterfaceError, "no-such-interface", id="no-such-interface"),
        pytest.param({"filter": "udp and and"}, FilterError, "filter", id="filter-syntax"),
        pytest.param({"filter": "host no.such.example"}, FilterError, "filter", id="unknown-host"),
        pytest.param({"min_free_kib": 1 << 39}, DiskError, "disk-full", id="no-room"),
        pytest.param({"base_dir": "/nonexistent"}, DiskError, "directory", id="no-directory"),
    ],
)
def test_a_capture_that_cannot_start_says_why_and_leaves_nothing(root, spec, changes, kind, code):
    """Each failure is its own error, with a cure."""
    one = spec(**changes)

    with pytest.raises(kind) as caught:
        capture.arm(root, one)

    assert caught.value.code == code
    assert caught.value.hint
    assert root.run(["ls", "-A", "/var/tmp"]).text == ""
    assert processes_with(one.name) == []


@pytest.mark.root
def test_an_interface_that_is_down_is_named(spec):
    """A new network namespace has a loopback that nobody has set up."""
    transport = LocalTransport(prefix=("unshare", "--net"))

    with pytest.raises(InterfaceError) as caught:
        capture.arm(transport, spec())

    assert caught.value.code == "interface-down"
    assert "ip link set dev lo up" in caught.value.hint


@pytest.mark.root
def test_a_missing_tcpdump_is_told(tmp_path, spec):
    """The message names the package."""
    with running_host(tmp_path, hide=("tcpdump",)) as bare_host:
        transport = connect(bare_host.login())

        with pytest.raises(ToolMissingError) as caught:
            capture.arm(transport, replace(spec(), privilege="root"))

        transport.close()
    assert "apt-get install tcpdump" in caught.value.hint


def test_arming_and_stopping_twice_is_once(root, spec):
    """A queue may deliver a step twice."""
    one = spec()

    armed = capture.arm(root, one)
    assert capture.arm(root, one) == armed
    assert len([pid for pid in processes_with(one.name) if b"tcpdump\0-Z" in _cmdline(pid)[:40]]) == 1
    stopped = capture.stop(root, one)
    assert capture.stop(root, one) == stopped
    with pytest.raises(AgentError) as caught:
        capture.arm(root, one)
    capture.remove(root, one)
    capture.remove(root, one)

    assert caught.value.code == "already-ended"
    with pytest.raises(AgentError, match="no such capture"):
        capture.poll(root, one)


def test_a_failed_arm_may_be_repeated(root, spec):
    """What failed left nothing behind, so that the cured capture starts."""
    one = spec()
    with pytest.raises(FilterError):
        capture.arm(root, replace(one, filter="not a filter"))

    assert capture.arm(root, one).link_type == "EN10MB"

    capture.stop(root, one)
    capture.remove(root, one)


def test_a_running_capture_is_not_removed(root, spec):
    """Removal is the last step, never a way to stop."""
    one = spec()
    capture.arm(root, one)

    with pytest.raises(AgentError) as caught:
        capture.remove(root, one)

    assert caught.value.code == "live"
    capture.stop(root, one)
    capture.remove(root, one)


def test_the_lease_ends_a_capture_whose_client_was_killed(host, root, spec):
    """After kill -9 of everything on our side: the host ends the capture by itself and keeps the file."""
    one = spec(lease_seconds=3)
    program = (
        "import sys, time\nfrom probes import capture, ssh, spec\n"
        f"login = {host.login()!r}\none = {one!r}\n"
        "from probes.spec import *\n"
        "t = ssh.connect(login); capture.arm(t, one); print('armed', flush=True); time.sleep(60)\n"
    ).replace("login = Login", "from probes.spec import Login, CaptureSpec\nlogin = Login")
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert client.stdout.readline() == b"armed\n"
    send(one, 20)

    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    took_s = wait_until(lambda: not processes_with(one.name), timeout_s=one.lease_seconds + 10)

    assert took_s < one.lease_seconds + 2
    assert capture.poll(root, one).end_reason == "lease"
    stopped = capture.stop(root, one)
    assert (stopped.end_reason, stopped.captured) == ("lease", 20)
    assert capture.sweep(root) == (one.name,)
    assert root.run(["ls", "-A", "/var/tmp"]).text == ""


def test_polling_renews_the_lease(root, spec):
    """A capture that is looked at lives on past its lease."""
    one = spec(lease_seconds=2)
    capture.arm(root, one)
    samples, position = [], 0

    def long_enough():
        nonlocal position
        seen = capture.poll(root, one, position=position)
        assert seen.state == "armed"
        position = seen.position
        samples.extend(seen.samples)
        return len(samples) >= 5

    wait_until(long_enough, timeout_s=15)

    clocks = [one.monotonic_ns for one in samples]
    assert clocks == sorted(set(clocks)), "each second is read once"
    assert capture.stop(root, one).end_reason == "stop"
    capture.remove(root, one)


def test_the_time_limit_ends_a_capture(root, spec):
    """The bound that holds even if somebody polls for ever."""
    one = spec(max_seconds=2)
    capture.arm(root, one)

    wait_until(lambda: capture.poll(root, one).state == "ended", timeout_s=6)

    assert capture.stop(root, one).end_reason == "time-limit"
    capture.remove(root, one)


def test_the_file_limit_ends_a_capture(root, spec):
    """A file may not grow without bound."""
    one = spec(max_file_kib=64, snaplen=0)
    capture.arm(root, one)
    send(one, 200, size=1000)

    wait_until(lambda: capture.poll(root, one).state == "ended", timeout_s=10)

    assert capture.stop(root, one).end_reason == "file-limit"
    capture.remove(root, one)


def test_the_free_space_guard_ends_a_capture_before_the_disk_is_full(host, root, spec, tmp_path):
    """On a disk of 4 MiB of which 3 must stay free."""
    one = spec(base_dir=str(host.directory / "small"), min_free_kib=3072, snaplen=2000, buffer_kib=16384)
    capture.arm(root, one)
    send(one, 1200, size=1000)

    wait_until(lambda: capture.poll(root, one).state == "ended", timeout_s=10)

    stopped = capture.stop(root, one)
    assert stopped.end_reason == "disk-full"
    assert "disk ran full" in stopped.messages[0]
    capture.fetch(root, one, stopped.files[0], tmp_path / "fetched.pcap")
    assert count_records(tmp_path / "fetched.pcap") == stopped.captured == 1200
    capture.remove(root, one)


def test_a_disk_that_somebody_else_filled_is_told_and_the_capture_still_ends(host, root, spec, tmp_path):
    """On a full disk tcpdump says nothing and ends with 0: the messages must say it."""
    one = spec(base_dir=str(host.directory / "tiny"), min_free_kib=0, snaplen=2000, buffer_kib=16384)
    capture.arm(root, one)
    send(one, 1200, size=1000)
    drain(root, one, 1200)

    stopped = capture.stop(root, one)

    assert (stopped.end_reason, stopped.captured) == ("stop", 1200)
    assert any("disk ran full" in message for message in stopped.messages)
    capture.fetch(root, one, stopped.files[0], tmp_path / "fetched.pcap")
    assert 0 < count_records(tmp_path / "fetched.pcap") < 1200
    capture.remove(root, one)


def finished(transport, spec):
    """A capture that has ended with one file of some hundred kilobytes."""
    one = spec(snaplen=0)
    capture.arm(transport, one)
    send(one, 200, size=2000)
    drain(transport, one, 200)
    return one, capture.stop(transport, one).files[0]


def test_a_half_fetched_file_is_resumed(root, spec, tmp_path):
    """Only the missing half crosses the line."""
    one, file = finished(root, spec)
    target, part = tmp_path / "a.pcap", tmp_path / "a.pcap.part"
    capture.fetch(root, one, file, target)
    whole = target.read_bytes()
    target.unlink()
    part.write_bytes(whole[: len(whole) // 2])
    passed = []

    class Counting:
        place = root.place
        run = staticmethod(root.run)

        @staticmethod
        def read_file(path, offset, sink):
            passed.append(root.read_file(path, offset, sink))
            return passed[-1]

    capture.fetch(Counting(), one, file, target)

    assert target.read_bytes() == whole
    assert not part.exists()
    assert passed == [len(whole) - len(whole) // 2]
    assert target.stat().st_mode & 0o777 == 0o600 or os.geteuid() == 0
    capture.remove(root, one)


def test_a_wrong_half_is_fetched_again(root, spec, tmp_path):
    """What an earlier attempt left may be anything."""
    one, file = finished(root, spec)
    target = tmp_path / "a.pcap"
    (tmp_path / "a.pcap.part").write_bytes(b"x" * 1000)

    capture.fetch(root, one, file, target)

    assert count_records(target) == 200
    capture.remove(root, one)


def test_a_changed_file_is_refused(root, spec, tmp_path):
    """A byte that changed between the hash and the transfer is no evidence."""
    one, file = finished(root, spec)
    path = f"/var/tmp/vanishpoint-0/{one.name}/cap.pcap"
    root.run(["sh", "-c", 'printf x | dd of="$1" bs=1 seek=500 conv=notrunc', "sh", path])

    with pytest.raises(TransferError) as caught:
        capture.fetch(root, one, file, tmp_path / "a.pcap")

    assert caught.value.code == "hash-mismatch"
    assert list(tmp_path.iterdir()) == []
    capture.remove(root, one)


def test_a_killed_agent_is_noticed_and_swept(root, spec):
    """An orphaned tcpdump is ended by sweep, and by nothing less careful."""
    one, other = spec(), spec()
    armed = capture.arm(root, one)
    capture.arm(root, other)

    root.run(["sh", "-c", 'kill -KILL "$(cat "$1/super")"', "sh", armed.remote_dir])

    assert capture.poll(root, one).end_reason == "lost"
    assert processes_with(one.name)
    assert capture.sweep(root) == (one.name,)
    assert processes_with(one.name) == []
    assert capture.poll(root, other).state == "armed"
    assert capture.sweep(root, run_id=other.run_id) == (other.name,)
    assert processes_with(other.name) == []


def test_a_stopped_capture_of_today_is_not_swept(root, spec):
    """Somebody may be fetching it."""
    one, _ = finished(root, spec)

    assert capture.sweep(root) == ()

    capture.remove(root, one)


def test_a_directory_of_somebody_else_is_refused(host, root, spec):
    """/var/tmp is open to all: what another user planted there is not run."""
    one = spec()
    user = connect(host.login("bare"))
    user.run(["sh", "-c", f"mkdir -p /var/tmp/vanishpoint-0/{one.name}"])

    with pytest.raises(DiskError) as arming:
        capture.arm(root, one)
    with pytest.raises(ProbeError) as polling:
        capture.poll(root, one)

    assert (arming.value.code, polling.value.code) == ("directory", "directory")
    root.run(["rm", "-r", "/var/tmp/vanishpoint-0"])
    user.close()


def test_a_planted_link_is_refused(host, root, spec, tmp_path):
    """Nor is a link followed to a place of ours, where nothing is made either."""
    one = spec()
    user = connect(host.login("bare"))
    user.run(["ln", "-s", str(tmp_path), "/var/tmp/vanishpoint-0"])

    with pytest.raises(DiskError) as caught:
        capture.arm(root, one)

    assert caught.value.code == "directory"
    assert list(tmp_path.iterdir()) == []
    root.run(["rm", "/var/tmp/vanishpoint-0"])
    user.close()
