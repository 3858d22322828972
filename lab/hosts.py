"""Start hosts: keys, sshd configuration, and one process tree a host."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lab import clock, topology
from lab.namespaces import within
from lab.state import REPOSITORY, LabError, processes

if TYPE_CHECKING:
    from lab.state import Place

ANSWERS_WITHIN_S = 20.0
SSHD = """Port 22
ListenAddress {address}
HostKey /etc/ssh/host_ed25519
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
UsePAM no
StrictModes no
PrintMotd no
PrintLastLog no
UseDNS no
MaxStartups 100:30:200
MaxSessions 64
Subsystem sftp internal-sftp
"""


def start(place: Place) -> None:
    """Start every host and wait until its sshd answers."""
    _make_key(place.directory / "keys" / "capture_ed25519", "vanishpoint-lab")
    library = clock.compile_library(place.directory)
    for node in topology.HOSTS:
        _seed(place, node, library)
    _write_known_hosts(place)
    for node in topology.HOSTS:
        _spawn(place, node)
    within(place, topology.ORCHESTRATOR, _await_all)


def _make_key(path: Path, comment: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True)


def _seed(place: Place, node: str, library: Path) -> None:
    """Write the files that a host has of its own."""
    seed, shared = place.host(node) / "seed", place.host(node) / "shared"
    (seed / "etc/ssh").mkdir(parents=True, exist_ok=True)
    (seed / "root/.ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
    shared.mkdir(parents=True, exist_ok=True)
    _make_key(seed / "etc/ssh/host_ed25519", node)
    shutil.copy(place.directory / "keys/capture_ed25519.pub", seed / "root/.ssh/authorized_keys")
    address = topology.management_address(node)
    (seed / "etc/ssh/sshd_config.lab").write_text(SSHD.format(address=address))
    (seed / "etc/hostname").write_text(node + "\n")
    for name in (".bashrc", ".profile", ".bash_profile"):
        (seed / "root" / name).write_text("")  # the machine's own would cost a tenth of a second a command
    shutil.copy(library, shared / "labclk.so")
    clock.write(shared / "clock", offset_ns=0, drift_ppm=0.0)


def _write_known_hosts(place: Place) -> None:
    lines = []
    for node in topology.HOSTS:
        kind, key = (place.host(node) / "seed/etc/ssh/host_ed25519.pub").read_text().split()[:2]
        lines.append(f"{topology.management_address(node)} {kind} {key}\n")
    (place.directory / "known_hosts").write_text("".join(lines))


def _spawn(place: Place, node: str) -> None:
    """Start the process tree of one host; its first process is sshd."""
    folder = place.host(node)
    script = Path(__file__).with_name("hostinit.sh")
    argv = [
        "ip", "netns", "exec", place.namespace(node), "unshare", "-m", "-u", "-p", "-f", "--kill-child=KILL",
        "sh", str(script), node, str(folder), str(REPOSITORY),
    ]  # fmt: skip
    with (folder / "init.log").open("wb") as log:
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _await_all() -> None:
    with ThreadPoolExecutor(len(topology.HOSTS)) as pool:
        list(pool.map(_await_sshd, topology.HOSTS))


def _await_sshd(node: str) -> None:
    end = time.monotonic() + ANSWERS_WITHIN_S
    while time.monotonic() < end:
        try:
            with socket.create_connection((topology.management_address(node), 22), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.01)
    message = f"{node}: no sshd answers; see init.log in the lab's directory"
    raise LabError(message)


def first_process(place: Place, node: str) -> int:
    """Return the process that is number 1 inside *node*."""
    for pid in processes(place.namespace(node)):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(numbers) > 1 and numbers[-1] == "1":
            return pid
    message = f"{node}: is not running; `python -m lab up` starts the lab"
    raise LabError(message)


def command_in(place: Place, node: str, argv: list[str]) -> list[str]:
    """Return the argv that runs *argv* as if on *node*: its files, processes, clock and network."""
    path = f"PATH={REPOSITORY}/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if node not in topology.HOSTS:
        return ["ip", "netns", "exec", place.namespace(node), "env", path, *argv]
    pid = str(first_process(place, node))
    # nsenter forks: without the death signal, ending it would leave the program behind with our pipes open
    return [
        "nsenter", "-t", pid, "-m", "-u", "-n", "-p", "-r", "-w",
        "setpriv", "--pdeathsig", "KILL", "env", path, *argv,
    ]  # fmt: skip
