"""A container engine, and the services of compose.yaml under a project name of their own."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PREPARE = REPOSITORY.parent / "shared/tools/containers-here"
"""Installs podman and makes base images where no registry can be reached."""
BASES = (
    "docker.io/library/python:3.11-slim-bookworm=python3,python3-venv,python3-pip",
    "docker.io/library/redis:7-bookworm=redis-server",
    "docker.io/library/debian:bookworm-slim",
)
PIP_SETTINGS = ("cert", "proxy", "index-url", "extra-index-url", "find-links", "trusted-host", "timeout")
BUILD_S, START_S, HEALTHY_S, STOP_S = 1200, 300, 60, 300
# Lower than any machine's, since what may not be raised can always be lowered.
LIMITS = "--ulimit nofile=4096:4096 --ulimit nproc=4096:4096"
IMAGES = {
    "VANISHPOINT_IMAGE": "localhost/vanishpoint-test:latest",
    "LAB_HOST_IMAGE": "localhost/vanishpoint-test-host:latest",
}


def run(argv: list[str], timeout_s: float, **more) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is."""
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=timeout_s, **more)


def sound(argv: list[str], timeout_s: float, **more) -> str:
    """Run a program that must succeed; return what it printed."""
    done = run(argv, timeout_s, **more)
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Engine:
    """What runs containers here."""

    program: str
    compose: tuple[str, ...]


def find_engine() -> Engine | str:
    """Return the engine of this machine, or why there is none."""
    if PREPARE.exists() and os.geteuid() == 0:
        sound([str(PREPARE), *BASES], BUILD_S)
        return Engine("podman", ("podman-compose",))
    if shutil.which("docker") and not any(
        run(["docker", *a], 60).returncode for a in (["compose", "version"], ["info"])
    ):
        return Engine("docker", ("docker", "compose"))
    if shutil.which("podman") and shutil.which("podman-compose"):
        return Engine("podman", ("podman-compose",))
    return "neither `docker compose` nor podman-compose works here"


def pip_settings(folder: Path) -> list[str]:
    """Return options that give a build the pip settings of this machine, with what they point to on its disk."""
    settings = {}
    for line in run([sys.executable, "-m", "pip", "config", "list"], 60).stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in PIP_SETTINGS:
            settings[name] = str(ast.literal_eval(value)).split()
    lines = [f"{name} = {' '.join(words)}\n" for name, words in settings.items()]
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(lines))
    words = [word.removeprefix("file://") for words in settings.values() for word in words]
    paths = [Path(word) for word in words if word.startswith("/") and Path(word).exists()]
    # An index links to files beside it, so its parent is needed as well.
    places = {path if path.is_file() else Path(*path.parts[:3]) for path in paths}
    mounts = [f"{file}:/etc/pip.conf:ro", *(f"{place}:{place}:ro" for place in sorted(places))]
    return [option for mount in mounts for option in ("-v", mount)]


@dataclass
class Stack:
    """The services of compose.yaml, all profiles, as one project."""

    engine: Engine
    project: str
    folder: Path
    flags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.engine.program == "podman":
            build = shlex.join(["--network", "host", *pip_settings(self.folder)])
            self.flags += [f"--podman-build-args={build}", f"--podman-run-args={LIMITS}"]
        if "--profile" in run([*self.engine.compose, "--help"], 60).stdout:  # an old podman-compose starts all profiles
            self.flags += ["--profile", "lab", "--profile", "run"]

    def compose(self, *arguments: str, timeout_s: float) -> str:
        """Carry out one command of compose."""
        start = [*self.engine.compose, "-p", self.project, "-f", str(REPOSITORY / "compose.yaml"), *self.flags]
        return sound([*start, *arguments], timeout_s, cwd=REPOSITORY, env=os.environ | IMAGES)

    def up(self) -> None:
        """Build the images and start everything."""
        built = self.compose("build", timeout_s=BUILD_S)
        # An old podman-compose prints that a build failed, succeeds, and would go on with the images of last time.
        assert not re.search(r"^exit code: [^0]", built, re.MULTILINE), built[-3000:]
        if self.engine.program == "podman":
            self._make_networks()
        self.compose("up", "-d", timeout_s=START_S)

    def _make_networks(self) -> None:
        """Make the networks that have addresses: an old podman-compose would leave the addresses out."""
        networks = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["networks"]
        for name, network in networks.items():
            for config in network.get("ipam", {}).get("config", ()):
                argv = ["network", "create", "--subnet", config["subnet"], f"{self.project}_{name}"]
                sound([self.engine.program, *argv], 60)

    def down(self) -> None:
        """Stop and remove everything; an old podman-compose forgets networks."""
        self.compose("down", "--volumes", timeout_s=STOP_S)
        for name in self.leftovers()["network"]:
            run([self.engine.program, "network", "rm", name], 60)

    def leftovers(self) -> dict[str, list[str]]:
        """Return the names of what the engine still has of this project."""
        listings = {"container": ["ps", "-a", "--format", "{{.Names}}"]} | {
            kind: [kind, "ls", "--format", "{{.Name}}"] for kind in ("network", "volume")
        }
        return {
            kind: [name for name in sound([self.engine.program, *argv], 60).split() if name.startswith(self.project)]
            for kind, argv in listings.items()
        }

    def container(self, service: str) -> str:
        """Return the container of *service*."""
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        (found,) = sound([self.engine.program, "ps", "-aq", *filters], 60).split()
        return found

    def inside(self, service: str, *argv: str) -> str:
        """Run a program in the container of *service*; return what it printed."""
        return sound([self.engine.program, "exec", self.container(service), *argv], 60)

    def exit_code(self, service: str, within_s: float) -> int:
        """Wait until *service* has ended; return its exit code."""
        return int(sound([self.engine.program, "wait", self.container(service)], within_s))

    def user(self, service: str) -> str:
        """Return as whom *service* was started."""
        return sound(
            [self.engine.program, "inspect", "--format", "{{.Config.User}}", self.container(service)], 60
        ).strip()

    def logs(self, service: str) -> str:
        """Return what *service* printed."""
        done = run([self.engine.program, "logs", self.container(service)], 60)
        return done.stdout + done.stderr

    def await_healthy(self, service: str) -> None:
        """Wait until the health check of *service* succeeds."""
        end = time.monotonic() + HEALTHY_S
        while not self._healthy(service):
            assert time.monotonic() < end, f"{service} never became healthy\n{self.logs(service)[-3000:]}"
            time.sleep(0.2)

    def _healthy(self, service: str) -> bool:
        name = self.container(service)
        if self.engine.program == "podman":  # it leaves the schedule to systemd, so the check is run here
            return run(["podman", "healthcheck", "run", name], 60).returncode == 0
        return sound(["docker", "inspect", "--format", "{{.State.Health.Status}}", name], 60).strip() == "healthy"
