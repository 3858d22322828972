"""``python -m lab``: a network in a box. Needs root: it makes network namespaces."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lab import box, faults, relay, story, topology
from lab.hosts import command_in
from lab.state import DEFAULT_DIRECTORY, DEFAULT_PREFIX, LabError, Place


def main() -> int:
    """Carry out one command."""
    options = _parser().parse_args()
    place = Place(options.prefix, Path(options.dir).resolve())
    if os.geteuid() != 0:
        sys.stderr.write("the lab needs root: it makes network namespaces and starts sshd in them\n")
        return 2
    try:
        return int(options.do(place, options) or 0)
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _up(place: Place, options: argparse.Namespace) -> None:
    begun = time.monotonic()
    box.up(place, skewed=options.clocks == "skewed")
    print(f"lab up in {time.monotonic() - begun:.1f} s: {len(topology.HOSTS)} hosts, prefix {place.prefix}")


def _down(place: Place, _options: argparse.Namespace) -> None:
    print(f"lab down: {box.down(place)} namespaces removed")


def _status(place: Place, options: argparse.Namespace) -> None:
    status = box.status(place)
    if options.json:
        print(json.dumps(status))
        return
    for node, state in status.items():
        print(f"{node:14} {topology.management_address(node) if node in topology.HOSTS else '':12} {state}")


def _exec(place: Place, options: argparse.Namespace) -> int:
    argv = [a for a in options.command if a != "--"] if options.command[:1] == ["--"] else options.command
    return subprocess.run(command_in(place, options.node, argv), check=False).returncode


def _line(place: Place, options: argparse.Namespace) -> None:
    names = ("loss", "delay_ms", "jitter_ms", "nth", "mtu", "rate_bps", "queue_bytes", "dup", "reorder", "down")
    settings = {n: getattr(options, n) for n in names if getattr(options, n)}
    match = {
        n: getattr(options, n) for n in ("dport", "sport", "src", "dst", "proto", "min_len") if getattr(options, n)
    }
    if match:
        settings["match"] = match
    control = relay.control(place)
    for direction in ("ab", "ba") if options.direction == "both" else (options.direction,):
        control[direction] = settings
    relay.change(place, control)


def _firewall(place: Place, options: argparse.Namespace) -> None:
    rule = faults.flow_rule(
        options.action, protocol=options.protocol, source=options.src, target=options.dst, port=options.dport,
        loss=options.loss, nth=options.nth, longer_than=options.longer_than,
    )  # fmt: skip
    faults.Firewall(place).add(rule)


def _clock(place: Place, options: argparse.Namespace) -> None:
    step = round(options.step * 1e9)
    faults.set_clock(
        place, options.node, offset_ns=round(options.offset * 1e9), drift_ppm=options.ppm, step_ns=step,
        step_at_ns=time.time_ns() if step else 0,
    )  # fmt: skip


def _forge(place: Place, options: argparse.Namespace) -> None:
    faults.forge_reset(place, port=options.port, after=options.after, towards=options.towards)


def _story(place: Place, options: argparse.Namespace) -> None:
    clients = [c for c in options.clients.split(",") if c]
    print(json.dumps(story.play(place, clients, options.after)))


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="of the network namespaces")
    parser.add_argument("--dir", default=str(DEFAULT_DIRECTORY), help="where keys, state and logs go")
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="make the network and start every host")
    up.add_argument("--clocks", choices=("true", "skewed"), default="true")
    up.set_defaults(do=_up)
    commands.add_parser("down", help="end exactly what up started").set_defaults(do=_down)
    status = commands.add_parser("status", help="show what is up")
    status.add_argument("--json", action="store_true")
    status.set_defaults(do=_status)
    run = commands.add_parser("exec", help="run a command on a node")
    run.add_argument("node", choices=topology.NAMESPACES)
    run.add_argument("command", nargs=argparse.REMAINDER)
    run.set_defaults(do=_exec)
    play = commands.add_parser("story", help="play the call-centre story and print what happened")
    play.add_argument("--clients", default="client-1,client-2", help="whose agents call the public service")
    play.add_argument("--after", type=float, default=3.0, help="seconds of work before the call")
    play.set_defaults(do=_story)
    _fault_parsers(commands.add_parser("fault", help="break something").add_subparsers(required=True))
    return parser


def _fault_parsers(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    line = kinds.add_parser("line", help="impair the dedicated line; without settings it is sound again")
    line.add_argument("--direction", choices=("ab", "ba", "both"), default="ab", help="ab: call-centre to headquarters")
    for name, kind in (("loss", float), ("delay-ms", float), ("jitter-ms", float), ("nth", int), ("mtu", int),
                       ("rate-bps", int), ("queue-bytes", int), ("dup", float), ("dport", int), ("sport", int),
                       ("src", str), ("dst", str), ("proto", int), ("min-len", int)):  # fmt: skip
        line.add_argument(f"--{name}", type=kind)
    line.add_argument("--reorder", action="store_true")
    line.add_argument("--down", action="store_true")
    line.set_defaults(do=_line)
    wall = kinds.add_parser("firewall", help="drop, reject (ICMP) or reset packets at the firewall")
    wall.add_argument("action", choices=("drop", "reject", "reset"))
    for name, kind in (("protocol", str), ("src", str), ("dst", str), ("dport", int), ("loss", float), ("nth", int),
                       ("longer-than", int)):  # fmt: skip
        wall.add_argument(f"--{name}", type=kind, default="tcp" if name == "protocol" else None)
    wall.set_defaults(do=_firewall)
    public = kinds.add_parser("dmz", help="close or open the public service")
    public.add_argument("action", choices=("drop", "reject", "open"))
    public.set_defaults(do=lambda place, o: faults.block_public_service(place, o.action))
    nat = kinds.add_parser("nat", help="translate clients' addresses at the firewall")
    nat.add_argument("state", choices=("on", "off"))
    nat.set_defaults(do=lambda place, o: faults.Firewall(place).translate(on=o.state == "on"))
    forge = kinds.add_parser("forge", help="reset a connection from core-sw in the ends' names")
    forge.add_argument("--port", type=int, required=True)
    forge.add_argument("--after", type=int, default=3, help="data segments")
    forge.add_argument("--towards", choices=("client", "server", "both"), default="both")
    forge.set_defaults(do=_forge)
    clock = kinds.add_parser("clock", help="give a host a wrong clock (never the machine's)")
    clock.add_argument("node", choices=tuple(topology.HOSTS))
    clock.add_argument("--offset", type=_seconds, default=0.0, help="seconds")
    clock.add_argument("--ppm", type=float, default=0.0)
    clock.add_argument("--step", type=_seconds, default=0.0, help="seconds, now")
    clock.set_defaults(do=_clock)
    kinds.add_parser("clear", help="end every fault").set_defaults(do=lambda place, _: faults.clear(place))


if __name__ == "__main__":
    sys.exit(main())
