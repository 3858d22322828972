"""The SSH transport against a real sshd: who is let in, what is refused, what is in time."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import socket
import subprocess
import threading
import time

import paramiko
import pytest

from probes import ssh
from probes.errors import HostKeyError, LoginError, ProbeError, TimeLimitError, TransferError, UnreachableError
from probes.ssh import connect
from tests.sshd_fixture import make_key, running_host, wait_until


def test_an_unknown_host_key_is_refused(host, tmp_path):
    """Nobody is logged in to on trust at first use."""
    (tmp_path / "known_hosts").write_text("")

    with pytest.raises(HostKeyError) as caught:
        connect(host.login(known_hosts=str(tmp_path / "known_hosts")))

    assert caught.value.code == "host-key-unknown"
    assert "ssh-keyscan" in caught.value.hint


def test_a_changed_host_key_is_refused(host, tmp_path):
    """The key on record is not the key that the host shows."""
    make_key(tmp_path / "other")
    key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{host.port} {key}\n")

    with pytest.raises(HostKeyError) as caught:
        connect(host.login(known_hosts=str(tmp_path / "known_hosts")))

    assert caught.value.code == "host-key-changed"


def test_a_missing_known_hosts_file_is_told(host, tmp_path):
    """With the command that makes it."""
    with pytest.raises(HostKeyError) as caught:
        connect(host.login(known_hosts=str(tmp_path / "none")))

    assert f"ssh-keyscan -p {host.port} 127.0.0.1" in caught.value.hint


def test_a_wrong_key_is_refused_by_the_host(host, tmp_path):
    """The user's key is not among the authorised ones."""
    make_key(tmp_path / "other")

    with pytest.raises(LoginError) as caught:
        connect(host.login(key_file=str(tmp_path / "other")))

    assert caught.value.code == "login"


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        pytest.param(None, 0o600, "key-file", id="missing"),
        pytest.param(b"nonsense", 0o644, "key-file", id="readable-by-others"),
        pytest.param(b"nonsense", 0o600, "key-broken", id="broken"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_told(host, tmp_path, content, mode, code):
    """Before the host is asked."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)

    with pytest.raises(LoginError) as caught:
        connect(host.login(key_file=str(path)))

    assert caught.value.code == code


def test_an_agent_is_asked_when_no_key_file_is_named(host, monkeypatch, tmp_path):
    """The key never needs to lie in the inventory's directory."""
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    try:
        while subprocess.run(
            ["ssh-add", "-q", str(host.directory / "user_key")], check=False, stderr=subprocess.DEVNULL
        ).returncode:
            assert agent.poll() is None
        transport = connect(host.login(key_file=None))

        assert transport.run(["echo", "in"]).text == "in\n"

        transport.close()
    finally:
        agent.kill()
        agent.wait()


def test_no_agent_and_no_key_file_is_told(host, monkeypatch):
    """There is nothing to log in with."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    with pytest.raises(LoginError) as caught:
        connect(host.login(key_file=None))

    assert caught.value.code == "no-key"


def test_a_port_that_nobody_serves_is_unreachable(host):
    """A refused connection is not a time-out."""
    free = host.login(port=1)

    with pytest.raises(UnreachableError):
        connect(free)


def test_a_port_that_accepts_and_says_nothing_is_given_up(host):
    """Our own limit, not the kernel's of two minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        login = host.login(port=silent.getsockname()[1], connect_timeout_s=0.5)
        begun = time.monotonic()

        with pytest.raises(UnreachableError):
            connect(login)

    assert time.monotonic() - begun < 5


def test_a_refused_log_in_leaves_no_connection(host, tmp_path):
    """Nor a thread that serves one."""
    before = threading.active_count()
    make_key(tmp_path / "other")

    with pytest.raises(LoginError):
        connect(host.login(key_file=str(tmp_path / "other")))

    wait_until(lambda: threading.active_count() <= before, timeout_s=5)


def test_a_host_behind_a_jump_host_is_reached(host, tmp_path):
    """Through a direct-tcpip channel of the first; its own host key is checked like any other."""
    with running_host(tmp_path) as behind:
        transport = connect(behind.login(jump=host.login("bare")))

        assert transport.run(["sh", "-c", 'echo "$SSH_CONNECTION"']).text.split()[3] == str(behind.port)
        with pytest.raises(HostKeyError):
            connect(behind.login(jump=host.login("bare"), known_hosts=str(host.directory / "known_hosts")))

        transport.close()


def test_a_jump_host_that_forbids_forwarding_is_told(host, tmp_path):
    """The fault is on the jump host, and the message says so."""
    with running_host(tmp_path, forwarding="no") as stubborn, pytest.raises(UnreachableError) as caught:
        connect(host.login(jump=stubborn.login()))

    assert caught.value.code == "jump"
    assert "AllowTcpForwarding" in caught.value.hint


@pytest.mark.root
def test_too_many_sessions_are_told(tmp_path):
    """MaxSessions of the host bounds what one connection may do at once."""
    with running_host(tmp_path, max_sessions=1) as narrow:
        transport = connect(narrow.login())
        dialogue = transport.open_dialogue(["cat"])

        with pytest.raises(UnreachableError) as caught:
            transport.run(["true"])

        dialogue.close()
        transport.close()
    assert caught.value.code == "too-many-sessions"
    assert "MaxSessions" in caught.value.hint


def test_both_outputs_are_drained(root):
    """An undrained pipe would block the command for ever: 8 MiB on each, at the same time."""
    script = "head -c 8388608 /dev/zero & head -c 8388608 /dev/zero >&2; wait; exit 3"

    done = root.run(["sh", "-c", script])

    assert (len(done.stdout), len(done.stderr), done.exit_code) == (8_388_608, 8_388_608, 3)


def test_a_large_input_is_passed_while_output_is_read(root):
    """4 MiB in and out again, more than any window."""
    data = bytes(range(256)) * 16_384

    assert root.run(["cat"], stdin=data).stdout == data


def test_a_command_that_does_not_end_meets_our_deadline(root):
    """Worker threads have no time limits of their own."""
    with pytest.raises(TimeLimitError):
        root.run(["sleep", "30"], timeout_s=0.5)

    assert root.run(["echo", "still there"]).text == "still there\n"


def test_bytes_that_are_no_text_do_not_break_us(root):
    """What a host says is decoded with replacement."""
    assert root.run(["printf", r"\377ok"]).text == "\ufffdok"


def test_a_missing_file_is_a_transfer_error(root):
    """Not an empty file."""
    with pytest.raises(TransferError):
        root.read_file("/nonexistent", 0, lambda _: None)


@pytest.mark.parametrize("offset", [0, 1, 777])
def test_a_file_is_read_from_an_offset(root, host, offset):
    """The offset counts from 0; tail counts from 1."""
    data = os.urandom(300_000)
    (host.directory / "blob").write_bytes(data)
    read = bytearray()

    count = root.read_file(str(host.directory / "blob"), offset, read.extend)

    assert bytes(read) == data[offset:]
    assert count == len(read)


@pytest.mark.root
def test_a_broken_connection_is_told(tmp_path):
    """The host dies while a command runs."""
    with running_host(tmp_path) as doomed:
        transport = connect(doomed.login())
        dialogue = transport.open_dialogue(["cat"])
        dialogue.send_line("hello")
        assert dialogue.read_line(5) == "hello"
    with pytest.raises(UnreachableError):
        dialogue.read_line(5)
    with pytest.raises(UnreachableError):
        transport.run(["true"])
    transport.close()


def test_arguments_arrive_as_they_were(root):
    """Quotes, newlines, stars and dollars are nobody's business on the way."""
    words = ["a b", "$(id)", "`id`", "'", '"', "*", "\n", "", "-n", "ü", "\\", ";", "&", "!x"]

    done = root.run(["python3", "-c", "import sys; print(ascii(sys.argv[1:]))", *words])

    assert done.text.strip() == ascii(words)


def foreign_errors():
    """Every exception class that paramiko defines, in modules that this system can load."""
    classes = set()
    for module in pkgutil.iter_modules(paramiko.__path__):
        if module.name in {"win_pageant", "win_openssh", "_winapi"}:
            continue
        names = vars(importlib.import_module(f"paramiko.{module.name}")).values()
        classes |= {
            cls
            for cls in names
            if inspect.isclass(cls) and issubclass(cls, BaseException) and cls.__module__.startswith("paramiko")
        }
    return classes


def test_every_exception_class_of_paramiko_is_mapped():
    """A new one in a later paramiko must be thought about, not fall through."""
    assert len(foreign_errors()) >= 20
    assert foreign_errors() - ssh.RULES.keys() == set()


@pytest.mark.parametrize("cls", sorted(ssh.RULES, key=lambda cls: cls.__name__))
def test_every_mapped_exception_becomes_a_probe_error_with_a_hint(host, cls):
    """A later subclass is treated like its nearest known relative; its text decides nothing."""
    later = type("Later", (cls,), {"__init__": lambda _: None, "__str__": lambda _: "told by the library"})

    with pytest.raises(ProbeError) as caught, ssh.mapped(host.login()):
        raise later

    assert type(caught.value) is ssh.RULES[cls][0]
    assert caught.value.hint
    assert "{" not in caught.value.hint
