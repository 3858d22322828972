"""What `up` made, written down before it is made, so that `down` finds it after any crash.

Everything that runs in a lab runs in one of its network namespaces; whatever process is in them is ours to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.topology import NAMESPACES

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_DIRECTORY = REPOSITORY / ".lab"
DEFAULT_PREFIX = "vp"
GONE_WITHIN_S = 10.0


class LabError(Exception):
    """The lab cannot do what was asked."""


@dataclass(frozen=True, slots=True)
class Place:
    """One lab: the prefix of its namespaces and the directory of its files."""

    prefix: str = DEFAULT_PREFIX
    directory: Path = DEFAULT_DIRECTORY

    @property
    def file(self) -> Path:
        """Where the state is written."""
        return self.directory / "state.json"

    def namespace(self, node: str) -> str:
        """Return the network namespace of *node*."""
        return f"{self.prefix}-{node}"

    def host(self, node: str) -> Path:
        """Return the directory of a host's own files."""
        return self.directory / "hosts" / node


def note(place: Place) -> None:
    """Write down that the namespaces of *place* are about to be made."""
    place.directory.mkdir(parents=True, exist_ok=True)
    beside = place.file.with_suffix(".new")
    beside.write_text(json.dumps({"prefix": place.prefix, "namespaces": [place.namespace(n) for n in NAMESPACES]}))
    beside.replace(place.file)


def known(place: Place) -> list[str]:
    """Return the namespaces that were noted, whichever of them exist."""
    try:
        return [str(n) for n in json.loads(place.file.read_text())["namespaces"]]
    except (OSError, ValueError, KeyError):
        return []


def existing() -> set[str]:
    """Return the names of all network namespaces of this machine."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in listed.stdout.splitlines() if line.strip()}


def processes(namespace: str) -> list[int]:
    """Return the processes in a network namespace."""
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(p) for p in listed.stdout.split()]


def clear(place: Place) -> int:
    """End every process of the lab and remove its namespaces; return how many there were."""
    present = [n for n in known(place) if n in existing()]
    end = time.monotonic() + GONE_WITHIN_S
    while left := [p for n in present for p in processes(n)]:
        if time.monotonic() > end:
            message = f"processes {left} do not end"
            raise LabError(message)
        for pid in left:
            _kill(pid)
        time.sleep(0.02)
    for namespace in present:
        subprocess.run(["ip", "netns", "del", namespace], check=True)
    place.file.unlink(missing_ok=True)
    return len(present)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
