"""A capture host for tests: a real OpenSSH server with mounts, processes and accounts of its own.

It lives in mount and process namespaces, so that accounts, the sudo rule, copies of tcpdump and captures vanish with
it; ending its first process ends everything in it. The network is the machine's loopback.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from probes.spec import Login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDED = ("sshd", "ssh-keygen", "tcpdump", "unshare", "setcap", "useradd")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SETUP = r"""
set -eu
dir=$1 wrapper=$2
mount --make-rprivate /
mount -t tmpfs -o mode=1777,size=256m tmpfs /var/tmp
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /home
mkdir -p /run/sshd "$dir/layers" "$dir/small" "$dir/tiny"
mount -t tmpfs tmpfs "$dir/layers"
mount -t tmpfs -o mode=1777,size=4m tmpfs "$dir/small"
mount -t tmpfs -o mode=1777,size=1m tmpfs "$dir/tiny"
for place in etc usr/local; do
    up=$dir/layers/up-$(basename $place) work=$dir/layers/work-$(basename $place)
    mkdir "$up" "$work"
    mount -t overlay -o "lowerdir=/$place,upperdir=$up,workdir=$work" overlay "/$place"
done
# caps: a copy of tcpdump with file capabilities; wrap: the wrapper through sudo; bare: neither
groupadd capture-lab
for user in caps wrap bare; do useradd -m -p '*' -s /bin/sh "$user"; done
usermod -a -G capture-lab caps
mkdir -p /etc/ssh/lab_keys /usr/local/lib/vanishpoint /usr/local/sbin
chmod 755 /usr/local/lib/vanishpoint
for user in root caps wrap bare; do cp "$dir/user_key.pub" "/etc/ssh/lab_keys/$user"; done
chmod 644 /etc/ssh/lab_keys/*
install -o root -g capture-lab -m 0750 "$(command -v tcpdump)" /usr/local/lib/vanishpoint/tcpdump
setcap cap_net_raw,cap_net_admin+eip /usr/local/lib/vanishpoint/tcpdump
install -o root -g root -m 0755 "$wrapper" /usr/local/sbin/vanishpoint-capture
if [ -d /etc/sudoers.d ]; then
    echo 'wrap ALL=(root) NOPASSWD: /usr/local/sbin/vanishpoint-capture' >/etc/sudoers.d/vanishpoint
    chmod 0440 /etc/sudoers.d/vanishpoint
fi
usermod -s /bin/sh root
: >"$dir/hidden" && chmod 644 "$dir/hidden"
for program in ${HIDE:-}; do
    rm -f "/usr/local/lib/vanishpoint/$program"
    while path=$(command -v "$program"); do mount --bind "$dir/hidden" "$path"; done
done
exec "$(command -v sshd)" -D -e -f "$dir/sshd_config"
"""

_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/host_key
PidFile none
AuthorizedKeysFile /etc/ssh/lab_keys/%u
UsePAM no
StrictModes no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100:30:200
MaxSessions {max_sessions}
AllowTcpForwarding {forwarding}
"""


class SshHost:
    """A running capture host."""

    def __init__(self, directory: Path, port: int, pid: int) -> None:
        self.directory = directory
        self.port = port
        self.pid = pid
        """The process that everything on this host ends with."""

    def login(self, user: str = "root", **changes: object) -> Login:
        """Return how *user* gets in, with *changes*."""
        fields: dict[str, object] = {
            "host": "127.0.0.1",
            "user": user,
            "port": self.port,
            "key_file": str(self.directory / "user_key"),
            "known_hosts": str(self.directory / "known_hosts"),
        }
        return Login(**{**fields, **changes})


@contextmanager
def running_host(
    directory: Path, *, max_sessions: int = 16, forwarding: str = "yes", hide: tuple[str, ...] = ()
) -> Iterator[SshHost]:
    """Run a host below *directory* for the length of the block; *hide* names programs that it lacks."""
    port = _free_port()
    make_key(directory / "host_key")
    make_key(directory / "user_key")
    config = _CONFIG.format(port=port, dir=directory, max_sessions=max_sessions, forwarding=forwarding)
    (directory / "sshd_config").write_text(config)
    (directory / "setup.sh").write_text(_SETUP)
    host_key = (directory / "host_key.pub").read_text().split()[:2]
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(host_key)}\n")
    wrapper = Path(__file__).parent.parent / "probes" / "capture-wrapper.sh"
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    with (directory / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, "sh", str(directory / "setup.sh"), str(directory), str(wrapper)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": _PATH, "HIDE": " ".join(hide)},
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), timeout_s=20)
        assert process.poll() is None, (directory / "sshd.log").read_text()
        yield SshHost(directory, port, process.pid)
    finally:
        process.kill()
        process.wait()


def make_key(path: Path) -> None:
    """Write a new key pair to *path* and ``PATH.pub``."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def missing() -> list[str]:
    """Return what this machine lacks to run a capture host."""
    lacking = [program for program in NEEDED if not shutil.which(program, path=_PATH)]
    return lacking if os.geteuid() == 0 else [*lacking, "root"]


def wait_until(condition: Callable[[], object], *, timeout_s: float) -> float:
    """Wait for *condition*; return the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.02)
    return time.monotonic() - begun


def processes_with(text: str) -> list[int]:
    """Return the processes of this machine, namespaces included, whose command line holds *text*."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line:
                found.append(int(entry.name))
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            return client.recv(4) == b"SSH-"
    except OSError:
        return False
