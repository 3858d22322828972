"""Connections that end badly in the lab, each in its own way, with what is true of each."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import faults
from tests.support.lab_runs import PATH_TO_APP_1, ended

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.model.finding import Reset
    from tests.support.lab_runs import Lab

APP = "10.10.10.2"
CLIENT_END, SERVER_END = "client", "server"
RECORD = 16


@dataclass(frozen=True)
class Ending:
    """One cause, made by real kernels."""

    cause: str
    port: int
    talk: tuple[str, ...]
    """Verb of the client; what follows port and address."""
    truth: tuple[tuple[str, str, str | None, str], ...]
    """Of each reset: in whose name, and between which points it is made, in its own direction of travel."""
    serve: tuple[str, str] = ("traffic.py", "echo")
    clients: int = 1

    @property
    def origins(self) -> dict[str, str]:
        """Who makes the resets in each end's name."""
        return {name: origin for name, origin, _, _ in self.truth}


def at_client() -> tuple[str, str, str | None, str]:
    return (CLIENT_END, "endpoint", None, "client-1")


def at_server() -> tuple[str, str, str | None, str]:
    return (SERVER_END, "endpoint", None, "app-1")


def at_firewall() -> tuple[str, str, str | None, str]:
    return (SERVER_END, "network", "fw-in", "fw-out")


BY_FORGER = ((SERVER_END, "network", "core", "line-far"), (CLIENT_END, "network", "line-far", "core"))
RESTS = ("rests", "1.1", "1.3", "4")
ENDINGS = (
    Ending("closed-port", 9101, ("refused",), (at_server(),), serve=("", "")),
    Ending("firewall-reject", 9102, ("refused",), (at_firewall(),)),
    Ending("application-abort", 9103, ("aborts", "300", "linger"), (at_client(),)),
    Ending("unread-data", 9104, ("aborts", "400000", "unread"), (at_client(),)),
    Ending("data-after-close", 9105, ("insists",), (at_server(),), serve=("endings.py", "closes")),
    Ending("half-open", 9106, ("insists",), (at_server(),), serve=("endings.py", "forgets")),
    Ending("keepalive-failure", 9107, ("guards",), (at_client(),)),
    Ending("idle-timeout", 9108, RESTS, (at_firewall(),), clients=4),
    Ending("idle-timeout", 9109, RESTS, BY_FORGER, clients=4),
    Ending("policy-kill", 9110, ("insists",), (at_firewall(),)),
    Ending("injected", 9111, ("insists",), BY_FORGER[:1]),
    Ending("injected", 9112, ("insists",), BY_FORGER),
    Ending("gave-up-waiting", 9113, ("waits", "1.2"), (at_client(),), serve=("endings.py", "silent"), clients=4),
)
FOREIGN_PORT, BLOCKED_PORT, BUSY_PORT = 9114, 9115, 9116
"""Ports of the client that is not Linux, of a service that the firewall drops, of a connection that is always there."""
CUT_AFTER = "ct original packets > {count} counter {action}"


def break_things(lab: Lab) -> ExitStack:
    """Put the firewall's rules and the forgers in place."""
    wall, undo = faults.Firewall(lab.place), ExitStack()
    wall.add(faults.flow_rule("reset", target=APP, port=9102))
    wall.add(faults.flow_rule("drop", target=APP, port=BLOCKED_PORT))
    wall.add("ip daddr 10.10.10.2 tcp dport 9107 " + CUT_AFTER.format(count=4, action="drop"))
    wall.add("ip daddr 10.10.10.2 tcp dport 9110 " + CUT_AFTER.format(count=6, action="reject with tcp reset"))
    undo.enter_context(faults.forgets_idle(lab.place, 9108, 2))
    for port, when, towards, behind in (
        (9109, "idle:3", "both", 0), (9111, "4", "client", 0), (9112, "4", "both", 300),
    ):  # fmt: skip
        forger = faults.forge_reset(lab.place, port=port, after=when, towards=towards, behind=behind)
        undo.callback(forger.communicate)
        undo.callback(forger.kill)
    return undo


def play(lab: Lab) -> dict[int, list[dict[str, Any]]]:
    """Let everything end; return by port what the clients said. Servers live on until the stack is closed."""
    with lab.running("client-1", "endings.py", "keeps", APP, str(BUSY_PORT)):
        with ThreadPoolExecutor(len(ENDINGS) + 1) as pool:
            foreign = pool.submit(_foreign, lab)
            said = dict(pool.map(lambda e: (e.port, _play(lab, e)), ENDINGS))
            said[FOREIGN_PORT] = foreign.result()
        said[BLOCKED_PORT] = [_client(lab, "refused", BLOCKED_PORT)]
    return said


def serving(lab: Lab) -> ExitStack:
    """Start a server for every port that has one."""
    undo = ExitStack()
    programs = [(e.serve, e.port) for e in ENDINGS if e.serve[0]]
    programs += [(("traffic.py", "echo"), port) for port in (FOREIGN_PORT, BUSY_PORT)]
    for (name, verb), port in programs:
        undo.enter_context(lab.running("app-1", name, verb, str(port)))
    return undo


def _play(lab: Lab, ending: Ending) -> list[dict[str, Any]]:
    return [_client(lab, ending.talk[0], ending.port, *ending.talk[1:]) for _ in range(ending.clients)]


def _client(lab: Lab, verb: str, port: int, *rest: str) -> dict[str, Any]:
    return ended(lab.start("client-1", "endings.py", verb, APP, str(port), *rest))[0]


def _foreign(lab: Lab) -> list[dict[str, Any]]:
    return ended(lab.start("client-1", "foreign.py", "192.168.0.1", APP, str(FOREIGN_PORT)))


def part(capture: Path, port: int, folder: Path, *, without_resets: bool = False) -> Path:
    """Write the packets of one port, and of the connection that is always there, with or without resets."""
    data = capture.read_bytes()
    order = "<" if data[:4] in {b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"} else ">"
    kept, at = [data[:24]], 24
    while at + RECORD <= len(data):
        length = struct.unpack(order + "I", data[at + 8 : at + 12])[0]
        frame = data[at + RECORD : at + RECORD + length]
        tcp = 14 + (frame[14] & 15) * 4
        if frame[12:14] == b"\x08\x00" and frame[23] == 6 and len(frame) > tcp + 13:
            mine = {port, BUSY_PORT} & set(struct.unpack("!HH", frame[tcp : tcp + 4]))
            if mine and not (without_resets and frame[tcp + 13] & 4):
                kept.append(data[at : at + RECORD + length])
        at += RECORD + length
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{capture.parent.name}-{capture.stem}-{port}{'-unreset' if without_resets else ''}.pcap"
    path.write_bytes(b"".join(kept))
    return path


def claimed_by(reset: Reset, port: int) -> str:
    """Return in whose name a reset is."""
    return SERVER_END if reset.flow.sport == port else CLIENT_END


def holds_truth(reset: Reset, port: int, ending: Ending) -> bool:
    """Say whether the place where a reset is said to be made contains where it was made."""
    name = claimed_by(reset, port)
    order = PATH_TO_APP_1 if name == CLIENT_END else PATH_TO_APP_1[::-1]
    (before,) = [b for n, _, _, b in ending.truth if n == name]
    after_at = -1 if reset.born_after is None else order.index(reset.born_after)
    return after_at < order.index(before) <= order.index(reset.born_before)
