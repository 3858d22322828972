"""The call-centre story: agents call a public service that a new policy has closed, and lose their application."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.faults import python_inside
from lab.hosts import command_in
from lab.state import REPOSITORY
from lab.topology import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.state import Place


SERVERS = {"app-1": ("7001", "7002", "8080"), "app-2": ("7003",), "dmz-1": ("8080",)}


def program(place: Place, node: str, name: str, *arguments: str) -> list[str]:
    """Return the argv that runs one of the lab's programs on *node*."""
    script = Path(__file__).with_name(name)
    return command_in(place, node, ["env", f"PYTHONPATH={REPOSITORY}", python_inside(), str(script), *arguments])


@contextmanager
def servers(place: Place) -> Iterator[None]:
    """Run the application's servers and the public service."""
    running = []
    try:
        for node, ports in SERVERS.items():
            process = subprocess.Popen(program(place, node, "traffic.py", "echo", *ports), stdout=subprocess.PIPE)
            running.append(process)
            assert process.stdout is not None
            process.stdout.readline()  # it says that it listens
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


def play(place: Place, clients: Sequence[str], work_s: float) -> dict[str, Any]:
    """Let *clients* work and call the public service, the others only work; return what happened to each."""
    quiet = [c for c in CLIENTS if c not in clients]
    roles = [(c, "call") for c in clients] + [(c, "quiet") for c in quiet]
    with servers(place):
        running = {
            client: subprocess.Popen(program(place, client, "business.py", str(work_s), role), stdout=subprocess.PIPE)
            for client, role in roles
        }
        return {client: json.loads(process.communicate()[0] or b"{}") for client, process in running.items()}
