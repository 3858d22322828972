"""Run playbooks in a lab of the tests' own, and read what the lab really did."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lab import faults, namespaces, relay, state
from lab.hosts import command_in
from lab.story import program
from lab.topology import HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.model.finding import Vanished

REPOSITORY = Path(__file__).resolve().parents[2]
EVENT_WITHIN_S = 120.0
STILL_FOR_S = 1.5
PATH_TO_APP_1 = ["client-1", "access", "line-near", "line-far", "core", "fw-out", "fw-in", "app-1"]
LIMITS = {"disk_free": "8 MiB", "file_total": "48 MiB"}


def wait_until(condition, what: str, within_s: float = EVENT_WITHIN_S) -> Any:
    """Return the first true value of *condition*."""
    end = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)
    return value


@dataclass
class Run:
    """One `vanishpoint run`, and what it says."""

    process: subprocess.Popen
    events: queue.Queue = field(default_factory=queue.Queue)
    said: list[dict[str, Any]] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    printed: str = ""

    def __post_init__(self) -> None:
        threading.Thread(target=self._drain, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _drain(self) -> None:
        with self.process.stdout as out:
            self.printed = out.read()

    def _listen(self) -> None:
        with self.process.stderr as lines:
            for line in lines:
                try:
                    self.events.put(json.loads(line))
                except ValueError:
                    self.noise.append(line)
        self.events.put({"msgid": "end"})

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the next event of that name."""
        end = time.monotonic() + EVENT_WITHIN_S
        while True:
            found = self.events.get(timeout=max(0.1, end - time.monotonic()))
            self.said.append(found)
            if found["msgid"] == event:
                return found
            assert found["msgid"] != "end", f"{event} never came: {self.said[-5:]} {self.noise}"

    @property
    def id(self) -> str:
        return next(e["run_id"] for e in self.said if e["msgid"] == "run.created")

    @property
    def path(self) -> Path:
        return Path(next(e["path"] for e in self.said if e["msgid"] == "run.created"))

    def finish(self) -> int:
        """Return the exit code."""
        code = self.process.wait(EVENT_WITHIN_S)
        while (found := self.events.get(timeout=10))["msgid"] != "end":
            self.said.append(found)
        return code

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.path / "result.json").read_text())

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.path / "run.json").read_text())

    def segment(self, near: str | None, far: str | None) -> dict[str, Any]:
        return find_segment(self.result, near, far)

    def raw(self, point: str) -> list[Path]:
        return sorted((self.path / "raw" / point).iterdir())


def find_segment(result: dict[str, Any], near: str | None, far: str | None) -> dict[str, Any]:
    return next(s for s in result["segments"] if (s["from"], s["to"]) == (near, far))


@dataclass
class Lab:
    """A lab that is up, and a folder for what belongs to the test."""

    place: state.Place
    folder: Path

    def playbook(self, name: str, flows: dict[str, Any], points: Sequence[str], **capture: Any) -> Path:
        """Write a playbook over the lab's inventory."""
        document = {
            "schema": 1, "name": name, "about": "a test", "inventory": str(self.inventory), "flows": flows,
            "capture": {
                "points": list(points), "snaplen": 160, "buffer": "8 MiB",
                "window": {"duration": "300s", "start": "now", "post_roll": "2s"}, "limits": LIMITS, **capture,
            },
        }  # fmt: skip
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    @contextmanager
    def capturing(self, node: str, interface: str, expression: str, name: str) -> Iterator[Path]:
        """Run a tcpdump by hand on *node*; yield the file that is there once the context has ended."""
        inside, copy = f"/lab/{name}", self.folder / name
        argv = [
            "tcpdump",
            "-n",
            "-U",
            "-s",
            "220",
            "-B",
            "16384",
            "-Z",
            "root",
            "-i",
            interface,
            "-w",
            inside,
            expression,
        ]
        process = subprocess.Popen(command_in(self.place, node, argv), stderr=subprocess.PIPE, text=True)
        try:
            assert "listening on" in process.stderr.readline()
            yield copy
            wait_until(lambda: self._is_still(node, name), f"an end of the packets at {node}")
        finally:
            for pid in self.tcpdumps([node]):
                os.kill(pid, signal.SIGINT)
            said = process.communicate(timeout=EVENT_WITHIN_S)[1]
        assert "\n0 packets dropped by kernel" in said, said
        copy.write_bytes((self.place.host(node) / "shared" / name).read_bytes())

    def _is_still(self, node: str, name: str) -> bool:
        """Say whether a file of *node* stays as it is for longer than tcpdump keeps a packet back."""
        path = self.place.host(node) / "shared" / name
        return time.time() - path.stat().st_mtime > STILL_FOR_S

    def declare(self, *translations: str) -> None:
        """Let the test's inventory declare *translations* of the firewall, and no others."""
        text = self.inventory.read_text()
        head, _, rest = text.partition("    translations:\n")
        _, _, tail = rest.partition("\n")
        lines = "".join(f"      - {t}\n" for t in translations)
        (self.folder / "inventory.yaml").write_text(head + ("    translations:\n" + lines if lines else "") + tail)

    def shipped(self, name: str) -> Path:
        """Return a playbook of the project, over this lab's inventory."""
        text = (REPOSITORY / "playbooks" / f"{name}.yaml").read_text()
        path = self.folder / f"{name}.yaml"
        path.write_text(text.replace("../inventory/lab.yaml", str(self.inventory)))
        return path

    @property
    def inventory(self) -> Path:
        text = (REPOSITORY / "inventory" / "lab.yaml").read_text()
        path = self.folder / "inventory.yaml"
        path.write_text(text.replace("../.lab", str(self.place.directory)))
        return path

    def command(self, *arguments: str) -> list[str]:
        return command_in(self.place, "orchestrator", ["vanishpoint", *arguments])

    def run(self, playbook: Path, *extra: str) -> Run:
        """Start `vanishpoint run` from the orchestrator's namespace."""
        argv = self.command("run", str(playbook), "--json", "--runs", str(self.folder / "runs"), *extra)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return Run(process)

    def stop(self, run: Run) -> None:
        """Close the window from another shell."""
        argv = self.command("stop", run.id, "--runs", str(self.folder / "runs"))
        subprocess.run(argv, check=True, capture_output=True)

    def captured(self, run: Run) -> int:
        """Stop *run* and return its exit code."""
        self.stop(run)
        return run.finish()

    def traffic(self, node: str, *arguments: str) -> subprocess.Popen:
        """Start one of the lab's traffic programs on *node*; receivers listen when this returns."""
        process = subprocess.Popen(
            program(self.place, node, "traffic.py", *arguments), stdout=subprocess.PIPE, text=True
        )
        if arguments[0] in {"udp-receive", "tcp-receive", "exchange-serve", "echo"}:
            assert "listening" in process.stdout.readline()
        return process

    def start(self, node: str, name: str, *arguments: str) -> subprocess.Popen:
        """Start one of the lab's programs on *node*."""
        return subprocess.Popen(program(self.place, node, name, *arguments), stdout=subprocess.PIPE, text=True)

    @contextmanager
    def running(self, node: str, name: str, *arguments: str) -> Iterator[None]:
        """Run one of the lab's servers on *node*; it listens when the context begins."""
        process = self.start(node, name, *arguments)
        try:
            assert "listening" in process.stdout.readline()
            yield
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def serving(self, node: str, *arguments: str) -> Iterator[None]:
        process = self.traffic(node, *arguments)
        try:
            yield
        finally:
            process.kill()
            process.communicate()

    def truth(self) -> list[dict[str, Any]]:
        """Return every IP packet that the line received, with its fate."""
        return [line for line in relay.truth(self.place) if "proto" in line]

    def line(self, **settings: Any) -> None:
        """Impair the line in both directions, or as *ab* and *ba* say."""
        if not {"ab", "ba"} & set(settings):
            settings = {"ab": settings, "ba": settings}
        relay.change(self.place, {**settings, "seed": 7})

    @contextmanager
    def offloading(self, **interfaces: str) -> Iterator[None]:
        """Let hosts (names with underscores) segment and merge on one interface each."""
        chosen = {node.replace("_", "-"): interface for node, interface in interfaces.items()}
        for node, interface in chosen.items():
            namespaces.set_offloads(self.place, node, [interface], on=True)
        try:
            yield
        finally:
            for node, interface in chosen.items():
                namespaces.set_offloads(self.place, node, [interface], on=False)

    def passed(self, node: str, interface: str) -> int:
        """Return how many packets have passed an interface, both ways."""
        argv = ["ip", "-n", self.place.namespace(node), "-j", "-s", "link", "show", "dev", interface]
        (link,) = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        return int(link["stats64"]["rx"]["packets"]) + int(link["stats64"]["tx"]["packets"])

    @contextmanager
    def blinking(self, node: str, interface: str, *, blind: int, awake: int) -> Iterator[None]:
        """Stop the tcpdump on *node* for *blind* packets of its interface, let it run for *awake*, and so on."""
        (pid,) = self.tcpdumps([node])
        ended = threading.Event()

        def blink() -> None:
            number, count, until = signal.SIGSTOP, blind, self.passed(node, interface)
            while not ended.is_set():
                os.kill(pid, number)
                until += count
                while self.passed(node, interface) < until and not ended.wait(0.005):
                    pass
                number, count = (signal.SIGCONT, awake) if number == signal.SIGSTOP else (signal.SIGSTOP, blind)

        thread = threading.Thread(target=blink)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            os.kill(pid, signal.SIGCONT)

    def tcpdumps(self, nodes: Iterable[str] = HOSTS) -> list[int]:
        """Return the tcpdump processes on *nodes*."""
        found = []
        for node in nodes:
            for pid in state.processes(self.place.namespace(node)):
                try:
                    name = Path(f"/proc/{pid}/comm").read_text().strip()
                except OSError:
                    continue
                found += [pid] if name == "tcpdump" else []
        return found

    def reset(self) -> None:
        """End every fault."""
        faults.clear(self.place)

    def interrupt(self, run: Run, number: int = signal.SIGINT) -> None:
        """Send a signal to the orchestrator itself, not to the programs that started it."""
        os.kill(run.process.pid, number)


def ended(*programs: subprocess.Popen) -> list[dict[str, Any]]:
    """Wait for *programs* to end well; return the last line that each said."""
    said = [p.communicate(timeout=EVENT_WITHIN_S)[0] for p in programs]
    assert [p.returncode for p in programs] == [0] * len(programs), said
    return [json.loads(text.splitlines()[-1]) for text in said]


def identity(line: dict[str, Any]) -> tuple[Any, ...]:
    """What tells one packet of the line's log from another."""
    return (
        line["src"],
        line["dst"],
        line["proto"],
        line.get("sport"),
        line.get("dport"),
        line["ipid"],
        line.get("seq"),
    )


def dropped_in(truth: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return the identity of everything that the line dropped."""
    return Counter(identity(line) for line in truth if line["fate"] == "dropped")


def dropped_alone_in(truth: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return the identity of everything dropped of which no twin went through.

    A kernel that is asked again for its answer just when it repeats it by itself sends two packets that are the same to
    the last byte. Where one of them dies, nothing tells which; that is undecided and no claim.
    """
    lines = list(truth)
    through = {(line["dir"], line["crc"]) for line in lines if line["fate"] != "dropped"}
    return dropped_in(line for line in lines if (line["dir"], line["crc"]) not in through)


def frames_of(files: list[Path]) -> list[tuple[Any, ...]]:
    """Return the identity of every frame, in the order of the files, as tshark reads it."""
    fields = (
        "ip.src",
        "ip.dst",
        "ip.proto",
        "tcp.srcport",
        "udp.srcport",
        "tcp.dstport",
        "udp.dstport",
        "ip.id",
        "tcp.seq_raw",
    )
    found = []
    for path in files:
        argv = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=l"]
        argv += [a for f in fields for a in ("-e", f)]  # the last: what is inside, where packets are in others
        out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        for row in out.splitlines():
            src, dst, protocol, *rest = row.split("\t")
            numbers = [int(v, 0) if v else None for v in rest]
            sport, dport = numbers[0] or numbers[1], numbers[2] or numbers[3]
            found.append((src, dst, int(protocol or -1), sport, dport, numbers[4], numbers[5]))
    return found


def vanished_packets(run: Run) -> list[tuple[Any, ...]]:
    """Return the identity of everything called vanished, read from the raw capture that saw it last."""
    points: dict[str, list[tuple[Any, ...]]] = {}
    found = []
    for entry in run.result["vanished"]:
        point = entry["last_seen"]
        if point not in points:
            points[point] = frames_of(run.raw(point))
        found += [points[point][number - 1] for number in entry["frames"][point]]
    return found


def called_in(vanished: Iterable[Vanished], captures: dict[str, list[Path]]) -> Counter[tuple[Any, ...]]:
    """Return the identity of every *vanished* packet, read from the captures that saw it last."""
    entries = list(vanished)
    frames = {point: frames_of(captures[point]) for point in {entry.last_seen for entry in entries}}
    return Counter(frames[entry.last_seen][entry.frame - 1] for entry in entries)
