"""Could this host capture? Every reason against it at once, each with what to type about it.

The host is asked once (`agent.sh preflight`); what the answers mean is decided here, by pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes import agent, tcpdump
from probes.spec import Preflight, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from probes.spec import CaptureSpec
    from probes.transport import Transport

_IFF_UP = 0x1
_RECEIVE_OFFLOADS = ("generic-receive-offload", "large-receive-offload")


def check(transport: Transport, spec: CaptureSpec) -> Preflight:
    """Ask the host whether it could carry out *spec*; nothing is left on it.

    Raises:
        ProbeError: The host did not answer.
    """
    answer = agent.call_fresh(transport, "preflight", spec.base_dir, spec.privilege, spec.interface, spec.filter)
    if answer.failure:
        raise agent.refusal(transport, answer, spec)
    return judge(parse_facts(answer.all("fact")), spec, transport.place)


def parse_facts(lines: tuple[str, ...]) -> dict[str, str]:
    """Return the facts by name; a fact of several lines is joined again."""
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(" ")
        facts[name] = f"{facts[name]}\n{value}" if name in facts else value
    return facts


def judge(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Preflight:
    """Say what *facts* mean for *spec*: no-go reasons first, then warnings, then what is good to know."""
    reasons = (
        *_tool(facts, place),
        *_rights(facts, spec, place),
        *_interface(facts, spec, place),
        *_filter(facts, spec, place),
        *_disk(facts, spec, place),
        *_host_tools(facts, place),
        *_leftovers(facts, spec, place),
        *_load(facts, place),
        *_clock(facts, place),
        *_offloads(facts, spec, place),
    )
    order = {"no-go": 0, "warning": 1, "info": 2}
    return Preflight(reasons=tuple(sorted(reasons, key=lambda reason: order[reason.severity])), facts=dict(facts))


def _no_go(code: str, message: str, cure: str) -> Reason:
    return Reason(code=code, severity="no-go", message=message, cure=cure)


def _tool(facts: Mapping[str, str], place: str) -> Iterator[Reason]:
    if not facts.get("tcpdump"):
        yield _no_go("tool-missing", f"{place}: tcpdump is not installed", tcpdump.INSTALL_CURE)


def _rights(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Iterator[Reason]:
    if facts.get("privilege") != "none" or not facts.get("tcpdump"):
        return
    user = facts.get("user", "USER")
    if spec.privilege == "root":
        cure = f"Log in as root (`user: root`), or choose another `privilege:` than root for {user}."
        yield _no_go("rights", f"{place}: privilege root is asked for, but the log-in is {user}", cure)
        return
    said = facts.get("refusal", "") or "operation not permitted"
    error = tcpdump.diagnose(
        said, 1, place=place, interface=spec.interface, user=user, tcpdump=facts.get("tcpdump", "tcpdump")
    )
    yield _no_go(error.code, str(error), error.hint)


def _interface(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Iterator[Reason]:
    where = f"{place}:{spec.interface}"
    if facts.get("interface") == "missing":
        known = facts.get("interfaces", "").strip()
        cure = f"Correct `at:` of this point in the inventory; the host has: {known}"
        yield _no_go("no-such-interface", f"{where}: no such interface", cure)
    elif (flags := _hexadecimal(facts.get("flags", ""))) is not None and not flags & _IFF_UP:
        cure = f"On the host, as root: ip link set dev {spec.interface} up"
        yield _no_go("interface-down", f"{where}: the interface is down", cure)
    elif facts.get("operstate") in {"down", "lowerlayerdown"}:
        cure = f"Look at the cable and the far end: ip -d link show dev {spec.interface}"
        yield Reason(code="no-carrier", severity="warning", message=f"{where}: up, but without a carrier", cure=cure)


def _filter(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Iterator[Reason]:
    if facts.get("filter_exit", "0") == "0" or not facts.get("tcpdump"):
        return
    said = facts.get("filter_said", "")
    error = tcpdump.diagnose(
        said,
        int(facts["filter_exit"]),
        place=place,
        interface=spec.interface,
        user=facts.get("user", "USER"),
        tcpdump=facts["tcpdump"],
    )
    # A missing interface or right has been told already; only what is about the filter is new here.
    if error.code in {"no-such-interface", "interface-down", "rights", "wrapper-refused"}:
        return
    yield _no_go(error.code, str(error), error.hint)


def _disk(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Iterator[Reason]:
    where = f"{place}:{spec.base_dir}"
    if facts.get("writable") != "yes":
        cure = (
            f"On the host: ls -ld {spec.base_dir}; it must exist and be writable for {facts.get('user', 'the user')}."
        )
        yield _no_go("cannot-write", f"{where}: the directory cannot be written", cure)
        return
    free = facts.get("free_kib", "")
    if not free.isdecimal():
        return
    sweep = "`vanishpoint sweep` removes what crashes left"
    if int(free) < spec.min_free_kib:
        cure = f"Make room: df -h {spec.base_dir}; {sweep}; or lower `limits.disk_free`."
        yield _no_go("disk-full", f"{where}: {free} KiB free, {spec.min_free_kib} KiB must stay free", cure)
    elif int(free) < spec.min_free_kib + spec.max_file_kib:
        message = f"{where}: {free} KiB free; a file of the allowed {spec.max_file_kib} KiB would end early"
        cure = f"Make room: df -h {spec.base_dir}; {sweep}; or lower `limits.file_total`."
        yield Reason(code="disk-tight", severity="warning", message=message, cure=cure)


def _host_tools(facts: Mapping[str, str], place: str) -> Iterator[Reason]:
    if not {"has_sha256sum", "has_openssl", "has_shasum"} & facts.keys():
        cure = "On the host: apt-get install coreutils (or openssl)"
        yield _no_go("hash-tool", f"{place}: no program for SHA-256 (sha256sum, openssl, shasum)", cure)
    if "has_timeout" not in facts:
        message = f"{place}: no `timeout`: only the agent bounds the capture, not the system as well"
        yield Reason(code="no-timeout", severity="info", message=message, cure="Install coreutils or busybox.")


def _leftovers(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Iterator[Reason]:
    for line in facts.get("leftover", "").splitlines():
        name, _, state = line.partition(" ")
        if name == spec.name:
            continue
        match state:
            case "abandoned":
                message, cure = "a capture that a crash left", "Run `vanishpoint sweep INVENTORY`."
                yield Reason(code="leftover", severity="warning", message=f"{place}: {name}: {message}", cure=cure)
            case "live":
                message, cure = "another capture of ours runs here", "Nothing, if somebody else is at work; else sweep."
                yield Reason(code="other-capture", severity="warning", message=f"{place}: {name}: {message}", cure=cure)
            case _:
                message, cure = "an ended capture waits to be fetched", "Fetch it, or sweep by its run id."
                yield Reason(code="unfetched", severity="info", message=f"{place}: {name}: {message}", cure=cure)


def _load(facts: Mapping[str, str], place: str) -> Iterator[Reason]:
    load, cpus = facts.get("load", ""), facts.get("cpus", "")
    if not cpus.isdecimal() or not load.replace(".", "", 1).isdecimal():
        return
    if float(load) > 2 * int(cpus):
        message = f"{place}: load {load} on {cpus} processors: the kernel may drop packets of the capture"
        yield Reason(code="load", severity="warning", message=message, cure="Raise `buffer:`, or find the cause: top")


def _clock(facts: Mapping[str, str], place: str) -> Iterator[Reason]:
    synchronised = facts.get("ntp_synchronised", "")
    chrony = facts.get("chrony", "")
    if chrony.count(",") > 3:  # noqa: PLR2004  # id, name, stratum, time, offset
        words = chrony.split(",")
        message = f"{place}: chrony follows {words[1] or words[0]}, stratum {words[2]}, offset {words[4]} s"
    elif synchronised:
        message = f"{place}: system clock synchronised: {synchronised}"
    else:
        message = f"{place}: nobody here can say whether the clock is synchronised"
    cure = "None needed: each clock is measured during the run."
    yield Reason(code="clock", severity="info", message=message, cure=cure)


def _offloads(facts: Mapping[str, str], spec: CaptureSpec, place: str) -> Iterator[Reason]:
    if "ethtool" in facts:
        message = f"{place}: offloads unknown, ethtool is missing"
        yield Reason(code="offloads", severity="info", message=message, cure="On the host: apt-get install ethtool")
        return
    active = [name for name in _RECEIVE_OFFLOADS if name in facts.get("offloads", "").split()]
    if active:
        message = (
            f"{place}:{spec.interface}: {', '.join(active)} on: the capture shows merged segments, not wire packets"
        )
        cure = f"None needed; to see wire packets, on the host, as root: ethtool -K {spec.interface} gro off lro off"
        yield Reason(code="offloads", severity="info", message=message, cure=cure)


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None
