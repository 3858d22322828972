"""Talk to agent.sh on a host: upload it, call its verbs, read its answers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from probes.errors import AgentError, DiskError, ProbeError, ToolMissingError
from probes.spec import DEFAULT_BASE_DIR

if TYPE_CHECKING:
    from probes.spec import CaptureSpec
    from probes.transport import Completed, Transport

_REFUSED = 10
"""agent.sh's exit code when it says ``fail CODE TEXT``."""

# The directory must be ours before anything in it is run: /var/tmp is open to every user of the host.
_PREAMBLE = """umask 077; r=$1/vanishpoint-$(id -u); d=$r/$2
own() { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]; }
no() { echo "fail $1 $2"; exit 10; }
"""
# Another capture's removal may take the empty root away between the two mkdir. Nothing is made in a root that is not
# ours: somebody may have planted a link to any other place there.
_UPLOAD = (
    _PREAMBLE
    + """for i in 1 2 3; do mkdir "$r" 2>/dev/null; own "$r" && mkdir "$d" 2>/dev/null; [ -d "$d" ] && break; done
own "$r" && own "$d" || no directory "$d"
{ cat >"$d/agent.$$" && [ -s "$d/agent.$$" ] && mv "$d/agent.$$" "$d/agent.sh"; } 2>/dev/null ||
    { rm -f "$d/agent.$$"; [ -e "$d/claim" ] || { rm -rf -- "$d"; rmdir "$r" 2>/dev/null; }; no upload "$d"; }
exec sh "$d/agent.sh" start "$@"
"""
)
_CALL = (
    _PREAMBLE
    + """[ -d "$d" ] || no gone "$d does not exist"
own "$r" && own "$d" || no directory "$d"
v=$3; b=$1; n=$2; shift 3; exec sh "$d/agent.sh" "$v" "$b" "$n" "$@"
"""
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb said: lines that start with a key word."""

    lines: tuple[tuple[str, str], ...]
    exit_code: int
    raw: bytes

    def all(self, key: str) -> tuple[str, ...]:
        """Return the texts of every line that starts with *key*."""
        return tuple(text for word, text in self.lines if word == key)

    def first(self, key: str, default: str = "") -> str:
        """Return the text of the first line that starts with *key*."""
        return next(iter(self.all(key)), default)

    @property
    def failure(self) -> tuple[str, str] | None:
        """The code and text of a refusal, or None."""
        if not (said := self.all("fail")):
            return None
        code, _, text = said[-1].partition(" ")
        return code, text


def agent_text() -> bytes:
    """Return the program that runs on the hosts."""
    return files("probes").joinpath("agent.sh").read_bytes()


def upload_and_start(transport: Transport, spec: CaptureSpec, arguments: list[str], timeout_s: float) -> Answer:
    """Put the agent into its private directory on the host and start the capture."""
    argv = ["sh", "-c", _UPLOAD, "vanishpoint", spec.base_dir, spec.name, *arguments]
    return read_answer(transport, transport.run(argv, stdin=agent_text(), timeout_s=timeout_s))


def call(transport: Transport, spec: CaptureSpec, verb: str, *arguments: str, timeout_s: float = 30.0) -> Answer:
    """Call *verb* of the agent that the capture of *spec* was started with."""
    argv = ["sh", "-c", _CALL, "vanishpoint", spec.base_dir, spec.name, verb, *arguments]
    return read_answer(transport, transport.run(argv, timeout_s=timeout_s))


def call_fresh(transport: Transport, verb: str, *arguments: str, timeout_s: float = 60.0) -> Answer:
    """Call *verb* of an agent that is not installed: the host's shell reads it from standard input."""
    argv = ["sh", "-s", "--", verb, *arguments]
    return read_answer(transport, transport.run(argv, stdin=agent_text(), timeout_s=timeout_s))


def read_answer(transport: Transport, done: Completed) -> Answer:
    """Return the lines of *done*.

    Raises:
        AgentError: The host did not run the agent at all.
    """
    if done.exit_code not in {0, _REFUSED}:
        said = (done.error_text.strip() or done.text.strip())[-300:]
        msg = f"{transport.place}: the agent ended with exit code {done.exit_code}: {said}"
        raise AgentError(msg, hint="The account needs a POSIX shell as its log-in shell: ssh HOST 'sh -c true'")
    lines = tuple((word, text) for word, _, text in (line.partition(" ") for line in done.text.split("\n")))
    return Answer(lines, done.exit_code, done.stdout)


_Refusal = tuple[type[ProbeError], str, str, str]
_REFUSALS: dict[str, _Refusal] = {
    "gone": (
        AgentError,
        "gone",
        "there is no such capture on the host",
        "It was removed or never armed; see `vanishpoint sweep`.",
    ),
    "ended": (
        AgentError,
        "already-ended",
        "the capture has already ended ({text})",
        "Fetch and remove it, or start a new run: a capture is never started twice.",
    ),
    "live": (AgentError, "live", "the capture still runs", "Stop it first."),
    "directory": (
        DiskError,
        "directory",
        "no private directory {text}",
        "Look at it: ls -ld {base} {text}; it must be a directory of the capture user, no link, mode 0700.",
    ),
    "upload": (DiskError, "cannot-write", "cannot write to {text}", "Look at the disk of the host: df -h {base}"),
    "disk": (
        DiskError,
        "disk-full",
        "only {text} KiB are free below {base}",
        "Make room (`vanishpoint sweep`, `df -h {base}`), or lower `limits.disk_free`.",
    ),
    "hash-tool": (
        ToolMissingError,
        "hash-tool",
        "no program for SHA-256",
        "On the host: apt-get install coreutils (or openssl)",
    ),
}


def refusal(transport: Transport, answer: Answer, spec: CaptureSpec | None = None) -> ProbeError:
    """Return the error that a refusal amounts to, where no more is known about it."""
    code, text = answer.failure or ("unknown", answer.raw.decode("utf-8", errors="replace").strip()[-300:])
    base = spec.base_dir if spec else DEFAULT_BASE_DIR
    unknown: _Refusal = (AgentError, "agent", f"{code}: {{text}}", "This is a fault of ours; keep the log file.")
    kind, own_code, message, hint = _REFUSALS.get(code, unknown)
    msg = f"{transport.place}: {spec.name if spec else 'sweep'}: {message.format(text=text, base=base)}"
    return kind(msg, code=own_code, hint=hint.format(text=text, base=base))
