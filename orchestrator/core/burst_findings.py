"""Bursts of resets as findings: what died together, what lived on, and who is left to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.model.finding import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.grounds import Grounds
    from orchestrator.model.finding import Burst

MOST_NAMED = 3
MOST_EVIDENCE = 5
PROGRAM = ("one program on the host ended or was ended", "security software closed some of its connections")
HOST = ("its only program ended", "the host, its VPN client, its security software or its link ended them all")
SHARED = ("a translator, terminal server or link that they share", "a program or policy rolled out to all of them")


def burst_findings(grounds: Grounds) -> list[Finding]:
    """Return one finding for each kind of scope: some of a host's connections, all of them, several hosts at once."""
    shared = [b for b in grounds.bursts if b.together]
    alone = [b for b in grounds.bursts if not b.together]
    some, whole = [b for b in alone if b.survivors], [b for b in alone if not b.survivors]
    return [
        _finding(name, bursts, grounds, alternatives)
        for name, bursts, alternatives in (
            ("some", some, PROGRAM), ("all", whole, HOST), ("shared", shared, SHARED),
        )
        if bursts
    ]  # fmt: skip


def _finding(name: str, bursts: Sequence[Burst], grounds: Grounds, alternatives: tuple[str, ...]) -> Finding:
    hosts = sorted({b.host for b in bursts})
    named = ", ".join(hosts[:MOST_NAMED]) + (f" and {len(hosts) - MOST_NAMED:,} more" * (len(hosts) > MOST_NAMED))
    times = f"{len(bursts):,} time{'s' if len(bursts) != 1 else ''}"
    spread = max(b.spread_ns for b in bursts) / 1e6
    flows, opened = sum(b.flows for b in bursts), sum(b.open_flows for b in bursts)
    statement = (
        f"{times} several connections of one host end at once: {flows:,} of {opened:,} open flows of {named} are reset"
        f" within {spread:.3g} ms; {_left(name, bursts)}{_others(bursts)}{_behind(name, hosts, grounds)}."
    )
    return Finding(
        id=f"bursts-{name}", kind="burst", verdict="supported", statement=statement, alternatives=alternatives,
        evidence=tuple(_evidence(b) for b in bursts[:MOST_EVIDENCE] if b.frames),
        would_change_it=("the application's and the host's log at these times",),
    )  # fmt: skip


def _left(name: str, bursts: Sequence[Burst]) -> str:
    """Say what became of the rest of the hosts' connections."""
    if all(b.went_on is None for b in bursts):
        return "the captures end too soon after to tell what lived on"
    survivors, quiet = sum(b.survivors for b in bursts), sum(b.quiet for b in bursts)
    none = "none of their other flows is known to have lived on"
    text = f"{survivors:,} other flow{'s' * (survivors != 1)} of these hosts lived on" if survivors else none
    text += f", {quiet:,} {'was' if quiet == 1 else 'were'} not seen again" if quiet else ""
    if name != "all":
        return text
    later = "other packets of theirs were" if any(b.went_on for b in bursts) else "nothing of theirs was"
    return f"{text}; {later} seen later"


def _others(bursts: Sequence[Burst]) -> str:
    """Say whether others at the same servers were spared: then neither those nor the path to them ended anything."""
    spared = max(b.bystanders for b in bursts)
    hosts = "another host's" if spared == 1 else f"{spared:,} other hosts'"
    return f"; {hosts} connections to the same servers lived on" if spared else ""


def _behind(name: str, hosts: Sequence[str], grounds: Grounds) -> str:
    """Say where hosts that were struck together share an address on the way."""
    if name != "shared":
        return ""
    by_outside: dict[str, set[str]] = {}
    for _, _, inside, outside in grounds.translations:
        by_outside.setdefault(outside, set()).add(inside)
    common = sorted(o for o, insides in by_outside.items() if set(hosts) <= insides)
    return f"; they share the address {common[0]}" if common else f"; {len(hosts):,} hosts at the same time"


def _evidence(burst: Burst) -> Evidence:
    chosen = f"tcp.flags.reset==1 && {'ipv6' if ':' in burst.host else 'ip'}.src=={burst.host}"
    return Evidence(point=burst.first_seen, frame=burst.frames[0], filter=chosen)
