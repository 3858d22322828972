"""What a schema cannot see in a playbook: names that the inventory lacks, and wishes that contradict."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from orchestrator.config.playbook_schema import EXPECTABLE
from orchestrator.config.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.config.inventory import InventoryReading
    from orchestrator.config.playbook_schema import FlowSection, PlaybookFile, TriggerSection
    from orchestrator.config.problems import Path
    from orchestrator.config.validation import Checked
    from orchestrator.config.yamlfile import Document
    from orchestrator.model.topology import Topology

_SHORTEST_POST_ROLL_NS = 2_000_000_000
"""tcpdump hands over its last block up to a second late; what it still holds when it stops is lost."""
_PORTED = {"tcp", "udp", "sctp"}
_KEPT = ("signals", "headers", "full")
_NEEDED = {"reset": ("flow",), "log": ("node", "file", "match"), "mark": ()}


class PlaybookChecks:
    """Every check on one playbook; problems go to its document."""

    def __init__(self, document: Document, checked: Checked[PlaybookFile], inventory: InventoryReading) -> None:
        self._document = document
        self._checked = checked
        self._content = checked.content
        self._inventory = inventory
        flows = document.value.get("flows") if isinstance(document.value, dict) else None
        self._flows = tuple(flows) if isinstance(flows, dict) else ()

    def check(self) -> None:
        """Note everything that is wrong."""
        for name, flow in self._content.flows.items():
            self._check_flow(("flows", name), flow)
        if self._inventory.topology is not None or self._inventory.points:
            self._check_points()
        if self._content.capture.window.post_roll < _SHORTEST_POST_ROLL_NS:
            self._add(("capture", "window", "post_roll"), "at least 2s are needed, or what is still buffered is lost")
        if self._content.capture.window.duration <= 0:
            self._add(("capture", "window", "duration"), "the window must last longer than nothing")
        for number, trigger in enumerate(self._content.triggers):
            self._check_trigger(("triggers", number), trigger)
        for number, expectation in enumerate(self._content.expect):
            for kind in EXPECTABLE:
                check = getattr(expectation, kind)
                self._check_flow_name(("expect", number, kind, "flow"), check and check.flow)
                self._check_segment(("expect", number, kind, "segment"), check and getattr(check, "segment", None))

    def _add(self, path: Path, message: str, *, where: Path | None = None) -> None:
        self._document.add(self._checked.in_file(path), message, where=where and self._checked.in_file(where))

    def _check_flow(self, path: Path, flow: FlowSection) -> None:
        for number, source in enumerate(flow.from_):
            if message := self._wrong_end(source, groups=True):
                self._add((*path, "from", number), message, where=(*path, "from"))
        if flow.to is not None and (message := self._wrong_end(flow.to, groups=False)):
            self._add((*path, "to"), message)
        if flow.port and flow.protocol not in _PORTED:
            known = "name the protocol: tcp, udp or sctp" if flow.protocol is None else f"{flow.protocol} has no ports"
            if (*path, "protocol") not in self._checked.pruned:
                self._add((*path, "port"), known)
        allowed = self._content.authority and self._content.authority.data_class
        if allowed and _KEPT.index(flow.keep) > _KEPT.index(allowed):
            place = (*path, "keep") if "keep" in flow.model_fields_set else path
            self._add(place, f"keeps {flow.keep}, but authority.data_class allows {allowed} at most")

    def _wrong_end(self, text: str, *, groups: bool) -> str | None:
        topology = self._inventory.topology
        if text in self._inventory.nodes or _is_network(text) or (topology is None and not self._inventory.nodes):
            return None
        known = [*self._inventory.nodes]
        if groups and topology is not None:
            if nodes_of_group(topology, text):
                return None
            known += [f"{node.role}s" for node in topology.nodes.values()]
            known += [node.site for node in topology.nodes.values() if node.site]
        elif groups:
            return None  # roles and sites are unknown while the inventory is broken
        return f"no node {text!r}{suggest(text, known)}"

    def _check_points(self) -> None:
        capture, known = self._content.capture, self._inventory.points
        self._check_names(("capture", "points"), "point", capture.points or (), known)
        for name, section in capture.at.items():
            if name not in known:
                self._add(("capture", "at", name), f"no point {name!r}{suggest(name, known)}")
            self._check_names(("capture", "at", name, "flows"), "flow", section.flows or (), self._flows)
        chosen = chosen_points(self._content) or known
        for name in capture.at:
            if name in known and name not in chosen:
                self._add(("capture", "at", name), f"point {name!r} is not among capture.points")
        wrong = [name for name in capture.required if name not in chosen]
        for number, name in enumerate(capture.required):
            if name in wrong:
                missing = "is not among capture.points" if name in known else f"does not exist{suggest(name, chosen)}"
                self._add(("capture", "required", number), f"point {name!r} {missing}", where=("capture", "required"))
        if capture.min_points is not None and capture.min_points > len(chosen):
            message = f"{capture.min_points} points are needed, but only {len(chosen)} are captured"
            self._add(("capture", "min_points"), message)
        if not chosen:
            self._add(("capture", "points"), "the inventory has no points")

    def _check_names(self, path: Path, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
        known = list(known)
        for number, name in enumerate(names):
            if name not in known:
                self._add((*path, number), f"no {kind} {name!r}{suggest(name, known)}", where=path)

    def _check_flow_name(self, path: Path, name: str | None) -> None:
        if name is not None and name not in self._flows:
            self._add(path, f"no flow {name!r}{suggest(name, self._flows)}")

    def _check_segment(self, path: Path, name: str | None) -> None:
        topology = self._inventory.topology
        if name is None or topology is None:
            return
        near, dots, far = name.partition("..")
        if dots and near in topology.points and far in topology.points:
            return
        lines = [link.name for link in topology.links if link.name]
        if name not in lines:
            known = suggest(name, lines) or ": give the name of a link, or two points as near..far"
            self._add(path, f"no segment {name!r}{known}")

    def _check_trigger(self, path: Path, trigger: TriggerSection) -> None:
        for key in _NEEDED[trigger.when]:
            if getattr(trigger, key) is None and (*path, key) not in self._checked.pruned:
                self._add(path, f"a trigger on {trigger.when} needs {key!r}")
        self._check_flow_name((*path, "flow"), trigger.flow)
        nodes = self._inventory.nodes
        if trigger.node is not None and nodes and trigger.node not in nodes:
            self._add((*path, "node"), f"no node {trigger.node!r}{suggest(trigger.node, nodes)}")


def chosen_points(content: PlaybookFile) -> tuple[str, ...]:
    """Return the points that the playbook names; nothing means all of the inventory."""
    if content.capture.points is None:
        return tuple(content.capture.at)
    return content.capture.points


def nodes_of_group(topology: Topology, text: str) -> tuple[str, ...]:
    """Return the nodes of the role (also in the plural) or site *text*."""
    return tuple(
        name for name, node in topology.nodes.items() if text in {node.role, f"{node.role}s", node.site} and text
    )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "%" not in text
