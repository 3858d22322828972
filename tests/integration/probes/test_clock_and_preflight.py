"""Clock exchanges and preflight against a real host."""

from __future__ import annotations

import pytest

from probes import capture, preflight
from probes.clock import ClockChannel
from probes.errors import AgentError
from probes.local import LocalTransport
from probes.replay import RecordingTransport, ReplayTransport
from probes.ssh import connect
from tests.sshd_fixture import running_host


def error_of(samples):
    """Return the offset at the shortest round trip; the truth is 0, both clocks being one."""
    best = min(samples, key=lambda one: one.after_ns - one.before_ns)
    return best.host_ns - (best.before_ns + best.after_ns) // 2, best.after_ns - best.before_ns


def test_the_clock_of_a_host_is_read_within_two_milliseconds(root, record_property):
    """Over SSH, on a busy machine; the true offset is 0."""
    with ClockChannel(root) as channel:
        error_ns, round_trip_ns = error_of(channel.exchange(30))

    record_property("clock_error_ns", error_ns)
    record_property("round_trip_ns", round_trip_ns)
    assert channel.method == "bash"
    assert abs(error_ns) < 2_000_000
    assert abs(error_ns) <= round_trip_ns // 2 + 1_000


@pytest.mark.parametrize(
    ("hide", "method", "limit_ns"),
    [
        pytest.param(("bash",), "python3", 2_000_000, id="python3"),
        pytest.param(("bash", "python3"), "perl", 2_000_000, id="perl"),
        pytest.param(("bash", "python3", "perl"), "date", 20_000_000, id="date"),
    ],
)
@pytest.mark.root
def test_a_host_without_bash_uses_the_next_best(tmp_path, hide, method, limit_ns):
    """Each fallback is tried on a host that lacks the better ones."""
    with running_host(tmp_path, hide=hide) as poor:
        transport = connect(poor.login())
        with ClockChannel(transport) as channel:
            error_ns, _ = error_of(channel.exchange(10))
        transport.close()

    assert channel.method == method
    assert abs(error_ns) < limit_ns


def test_every_bound_holds_the_true_offset(local):
    """The host's reading lies between ours, exchange by exchange."""
    with ClockChannel(local) as channel:
        samples = channel.exchange(50)

    # bash cuts to microseconds
    assert all(one.before_ns - 1_000 <= one.host_ns <= one.after_ns for one in samples)


def test_a_talkative_log_in_shell_is_told(host):
    """What is no time is not taken for one."""

    class Chatty:
        place = "chatty"

        def __init__(self, dialogue):
            self.dialogue = dialogue

        def open_dialogue(self, argv):
            return self.dialogue

    transport = connect(host.login())
    dialogue = transport.open_dialogue(["sh", "-c", "echo bash; while read -r _; do echo welcome; done"])
    with pytest.raises(AgentError, match="welcome"), ClockChannel(Chatty(dialogue)) as channel:
        channel.exchange(1)
    transport.close()


def codes(found):
    return {reason.code: reason.severity for reason in found.reasons}


def test_a_host_that_can_capture_is_go(root, spec):
    """Preflight leaves nothing behind."""
    found = preflight.check(root, spec())

    assert found.go, found.reasons
    assert found.facts["privilege"] == "root"
    assert found.facts["filter_exit"] == "0"
    assert codes(found)["clock"] == "info"
    assert root.run(["ls", "-A", "/var/tmp"]).text == ""


@pytest.mark.parametrize(
    ("user", "privilege"), [("caps", "capabilities"), ("wrap", "wrapper")], ids=["capabilities", "wrapper"]
)
def test_the_filter_is_compiled_with_whatever_right_there_is(host, spec, user, privilege):
    """An unprivileged user gets the same answers."""
    transport = connect(host.login(user))
    if user == "wrap" and transport.run(["sh", "-c", "command -v sudo"]).exit_code:
        pytest.skip("sudo is not installed: the wrapper is NOT tested")

    good = preflight.check(transport, spec())
    bad = preflight.check(transport, spec(filter="tcp tcp tcp"))

    transport.close()
    assert good.go, good.reasons
    assert good.facts["privilege"] == privilege
    assert codes(bad)["filter"] == "no-go"


def test_every_reason_is_told_at_once(host, spec):
    """One look, all cures."""
    transport = connect(host.login("bare"))

    found = preflight.check(transport, spec(interface="nosuch0", filter="tcp tcp", min_free_kib=1 << 39))

    transport.close()
    assert {code for code, severity in codes(found).items() if severity == "no-go"} == {
        "rights",
        "no-such-interface",
        "filter",
        "disk-full",
    }
    assert all(reason.cure for reason in found.reasons)


@pytest.mark.root
def test_an_interface_that_is_down_is_no_go(spec):
    """The loopback of a namespace that nobody set up; /sys shows its true flags only to a mount of its own."""
    transport = LocalTransport(prefix=("unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs s /sys; "$@"', "sh"))

    found = preflight.check(transport, spec())

    assert codes(found)["interface-down"] == "no-go"


@pytest.mark.root
def test_a_missing_tcpdump_is_no_go(tmp_path, spec):
    """With the package to install."""
    with running_host(tmp_path, hide=("tcpdump",)) as bare_host:
        transport = connect(bare_host.login())
        found = preflight.check(transport, spec())
        transport.close()

    assert codes(found)["tool-missing"] == "no-go"
    assert not found.go


def test_what_a_crash_left_is_shown(root, spec):
    """A live capture of somebody else, an ended one, an abandoned one: each is told apart."""
    one, other = spec(), spec()
    armed = capture.arm(root, one)
    capture.arm(root, other)
    live = preflight.check(root, spec())
    root.run(["sh", "-c", 'kill -KILL "$(cat "$1/super")"', "sh", armed.remote_dir])
    capture.stop(root, other)
    left = preflight.check(root, spec())

    capture.sweep(root, run_id=one.run_id)
    capture.sweep(root, run_id=other.run_id)

    assert codes(live)["other-capture"] == "warning"
    assert codes(left)["leftover"] == "warning"
    assert codes(left)["unfetched"] == "info"


def test_a_recorded_host_can_be_replayed(root, spec, tmp_path):
    """A transcript stands for the host, to the letter."""
    one = spec()
    recording = RecordingTransport(root)
    said = preflight.check(recording, one)
    armed = capture.arm(recording, one)
    stopped = capture.stop(recording, one)
    capture.remove(recording, one)
    recording.transcript.save(tmp_path / "host.json")

    replay = ReplayTransport(type(recording.transcript).load(tmp_path / "host.json"))

    assert preflight.check(replay, one).facts == said.facts
    assert capture.arm(replay, one) == armed
    assert capture.stop(replay, one) == stopped
    capture.remove(replay, one)
    assert replay.is_finished
    with pytest.raises(AgentError):
        capture.poll(replay, one)
