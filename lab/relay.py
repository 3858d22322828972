"""Start the line's relay, change it while it runs, read its truth."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import topology
from lab.namespaces import QUEUE
from lab.state import LabError

if TYPE_CHECKING:
    from lab.state import Place

READY_WITHIN_S = 10.0


def folder(place: Place) -> Path:
    """Return where the relay keeps its files."""
    return place.directory / "line"


def start(place: Place) -> None:
    """Start the relay and put it between the two ends of the line."""
    files = folder(place)
    files.mkdir(parents=True, exist_ok=True)
    for name in ("ready", "status.json", "truth.jsonl", "control.json"):
        (files / name).unlink(missing_ok=True)
    argv = [
        "ip",
        "netns",
        "exec",
        place.namespace(topology.LINE),
        sys.executable,
        str(Path(__file__).with_name("line.py")),
        str(files),
    ]
    with (files / "log").open("wb") as log:
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    _await((files / "ready").exists, "the line's relay does not start; see line/log")
    commands = []
    for bridge, tap, port in (("bra", "tapa", "la"), ("brb", "tapb", "lb")):
        commands += [
            f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0",
            f"link set dev {tap} txqueuelen {QUEUE} master {bridge} up",
            f"link set dev {port} master {bridge} up",
            f"link set dev {bridge} up",
        ]
    subprocess.run(
        ["ip", "-n", place.namespace(topology.LINE), "-batch", "-"],
        input="\n".join(commands) + "\n",
        text=True,
        check=True,
    )


def control(place: Place) -> dict[str, Any]:
    """Return the settings in force."""
    path = folder(place) / "control.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def change(place: Place, settings: dict[str, Any]) -> None:
    """Replace the settings, and wait until they are in force and everything received before is logged."""
    wanted = {**settings, "sync": control(place).get("sync", 0) + 1}
    beside = folder(place) / "control.new"
    beside.write_text(json.dumps(wanted))
    beside.replace(folder(place) / "control.json")
    _await(lambda: _status(place).get("sync") == wanted["sync"], "the line's relay does not answer")


def truth(place: Place) -> list[dict[str, Any]]:
    """Return the fate of every packet the line has received so far.

    Raises:
        LabError: The queue before the relay overflowed: the log does not know of everything that was lost.
    """
    end = time.monotonic() + READY_WITHIN_S
    while True:
        change(place, {k: v for k, v in control(place).items() if k not in {"sync", "seed"}})
        if not _status(place).get("in_flight") or time.monotonic() > end:
            break
    if lost := _unlogged(place):
        message = f"the queue before the line's relay overflowed: {lost} packets are missing from its log"
        raise LabError(message)
    return [json.loads(line) for line in (folder(place) / "truth.jsonl").read_text().splitlines()]


def _unlogged(place: Place) -> int:
    """Return how many packets were lost before the relay could read them."""
    lost = 0
    for tap in ("tapa", "tapb"):
        argv = ["ip", "-n", place.namespace(topology.LINE), "-j", "-s", "link", "show", "dev", tap]
        (link,) = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        lost += int(link["stats64"]["tx"]["dropped"])
    return lost


def _status(place: Place) -> dict[str, Any]:
    try:
        return dict(json.loads((folder(place) / "status.json").read_text()))
    except (OSError, ValueError):
        return {}


def _await(condition: Any, message: str) -> None:  # noqa: ANN401 - any callable
    end = time.monotonic() + READY_WITHIN_S
    while not condition():
        if time.monotonic() > end:
            raise LabError(message)
        time.sleep(0.01)
