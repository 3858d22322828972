"""Build tcpdump's options and read what tcpdump says. Pure: nothing is started here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.errors import (
    AgentError,
    DiskError,
    FilterError,
    InterfaceError,
    ProbeError,
    RightsError,
    ToolMissingError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from probes.spec import CaptureSpec

WRAPPER_PATH = "/usr/local/sbin/vanishpoint-capture"

SETCAP_CURE = (
    "On the host, as root, for the group that may capture: "
    "install -D -o root -g GROUP -m 0750 {tcpdump} /usr/local/lib/vanishpoint/tcpdump && "
    "setcap cap_net_raw,cap_net_admin+eip /usr/local/lib/vanishpoint/tcpdump"
)
WRAPPER_CURE = (
    f"Install the wrapper: install -o root -g root -m 0755 capture-wrapper.sh {WRAPPER_PATH} && "
    f"echo '{{user}} ALL=(root) NOPASSWD: {WRAPPER_PATH}' > /etc/sudoers.d/vanishpoint && "
    "chmod 0440 /etc/sudoers.d/vanishpoint && visudo -c"
)

RIGHTS_CURE = f"{SETCAP_CURE}. Or: {WRAPPER_CURE}"
INSTALL_CURE = "On the host: apt-get install tcpdump (or: dnf install tcpdump, apk add tcpdump)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpdumpCounters:
    """What tcpdump counts. None means that it did not say."""

    captured: int | None = None
    received: int | None = None
    """Not comparable with `captured`: on loopback the kernel counts each packet twice."""
    kernel_drops: int | None = None
    """The only counter that says packets are missing from the file."""
    interface_drops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The line with which tcpdump says that packets are being captured."""

    interface: str
    link_type: str
    snaplen: int


_COUNTER = re.compile(r"(\d+) packets? (captured|received by filter|dropped by kernel|dropped by interface)")
_LIVE = re.compile(r"\d+ packets? captured, .*")
_LISTENING = re.compile(r"listening on (\S+), link-type (\S+)(?: \([^)]*\))?, (?:snapshot length|capture size) (\d+)")
_VERSION = re.compile(r"tcpdump(?:\.\S+)? version (\S+)")
_FIELDS = {
    "captured": "captured",
    "received by filter": "received",
    "dropped by kernel": "kernel_drops",
    "dropped by interface": "interface_drops",
}


def build_options(spec: CaptureSpec) -> list[str]:
    """Return tcpdump's options for *spec*; the agent adds the program, the file and the user to run as.

    Without ``-p``: mirror ports and bridges need the promiscuous mode. Without ``--immediate-mode``: it loses packets
    in bursts, so the tail that a stop would cut off is covered by the post-roll instead.
    """
    return [
        "-i",
        spec.interface,
        "-n",
        "-s",
        str(spec.snaplen),
        "-B",
        str(spec.buffer_kib),
        "--time-stamp-precision=nano",
        "--",
        spec.filter,
    ]


def parse_counters(text: str) -> TcpdumpCounters:
    """Return the counters in *text*: tcpdump's closing lines, or one line of its live statistics."""
    found = {_FIELDS[name]: int(count) for count, name in _COUNTER.findall(text)}
    return TcpdumpCounters(**found)


def parse_closing(text: str) -> TcpdumpCounters:
    """Return the closing counters in *text*, leaving out the live statistics before them."""
    return parse_counters("\n".join(line for line in text.splitlines() if not _LIVE.search(line)))


def parse_listening(text: str) -> Listening | None:
    """Return what the "listening on" line in *text* says, or None if there is none."""
    match = _LISTENING.search(text)
    return Listening(interface=match[1], link_type=match[2], snaplen=int(match[3])) if match else None


def parse_version(text: str) -> str:
    """Return the version number in the output of ``tcpdump --version``, or the first line if it has none."""
    match = _VERSION.search(text)
    return match[1] if match else text.strip().split("\n", 1)[0]


def parse_remarks(text: str) -> tuple[str, ...]:
    """Return the lines of *text* that are neither counters nor the "listening on" line."""
    lines = (line.strip().removeprefix("tcpdump: ") for line in text.splitlines())
    return tuple(line for line in lines if line and not _COUNTER.match(line) and not _LISTENING.search(line))


def diagnose(text: str, exit_code: int | None, *, place: str, interface: str, user: str, tcpdump: str) -> ProbeError:
    """Return the error that tcpdump's words *text* amount to, with its cure."""
    said = "; ".join(parse_remarks(text)) or f"tcpdump ended with exit code {exit_code}"
    where = f"{place}:{interface}"
    for pattern, kind, code, cure in _DIAGNOSES:
        if pattern.search(text):
            hint = cure.format(interface=interface, user=user, tcpdump=tcpdump)
            return kind(f"{where}: {said}", code=code, hint=hint)
    if exit_code == 127:  # noqa: PLR2004  # what a shell answers for a program that it does not find
        return ToolMissingError(f"{where}: {said}", hint=INSTALL_CURE)
    hint = f"Try by hand on the host: {tcpdump} -i {interface} -w /dev/null -c 1"
    return AgentError(f"{where}: {said}", code="tcpdump-failed", hint=hint)


_Diagnosis = tuple[re.Pattern[str], type[ProbeError], str, str]


def _rule(pattern: str, kind: type[ProbeError], code: str, cure: str) -> _Diagnosis:
    return re.compile(pattern, re.IGNORECASE), kind, code, cure


# First match wins: a missing permission hides whatever else is wrong.
_DIAGNOSES: Sequence[_Diagnosis] = (
    _rule(
        r"permission to (perform this )?capture|operation not permitted",
        RightsError,
        "rights",
        RIGHTS_CURE,
    ),
    _rule(
        r"a password is required|not allowed to execute|is not in the sudoers|may not run sudo|is not installed",
        RightsError,
        "wrapper-refused",
        WRAPPER_CURE,
    ),
    _rule(
        r"no such device|no such network interface",
        InterfaceError,
        "no-such-interface",
        "List the interfaces on the host with `ip -br link`, and correct `at:` of this point in the inventory.",
    ),
    _rule(
        r"is not up|network is down",
        InterfaceError,
        "interface-down",
        "On the host, as root: ip link set dev {interface} up",
    ),
    _rule(
        r"no space left on device",
        DiskError,
        "disk-full",
        "Make room on the host: df -h /var/tmp; vanishpoint sweep removes captures that a crash left.",
    ),
    _rule(
        r"\.pcap: permission denied",
        DiskError,
        "cannot-write",
        "The host's AppArmor or SELinux forbids tcpdump to write there; look at the audit log.",
    ),
    _rule(
        r"filter expression|syntax error|unknown (host|port|network|protocol)|illegal token|expression rejects all"
        r"|supported only on|not supported|too (large|complex)|invalid (qualifier|ip|value)|'\w+' modifier|bogus",
        FilterError,
        "filter",
        "Try the filter on the host: tcpdump -i {interface} -d 'FILTER'; then correct `filter:` or `flows:`.",
    ),
    _rule(r"tcpdump: (command )?not found|tcpdump: no such file", ToolMissingError, "tool-missing", INSTALL_CURE),
)
