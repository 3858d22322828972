"""What a schema cannot see in an inventory: names that do not exist, addresses that clash, points out of reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.config.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.config.inventory_schema import InventoryFile, NodeSection, PathSection, PointSection
    from orchestrator.config.problems import Path
    from orchestrator.config.validation import Checked
    from orchestrator.config.yamlfile import Document

_MIRRORS_OF_A_PAIR = 2


class InventoryChecks:
    """Every check on one inventory; problems go to its document."""

    def __init__(self, document: Document, checked: Checked[InventoryFile]) -> None:
        self._document = document
        self._checked = checked
        self._content = checked.content
        self.nodes = _raw_keys(document, "nodes")
        self.points = _raw_keys(document, "points")
        self._declared = _declared_interfaces(document)
        self._linked = _linked_interfaces(document)

    def check(self) -> None:
        """Note everything that is wrong."""
        default_jump = self._content.defaults.ssh.jump
        if default_jump is not None:
            self._check_jump(("defaults", "ssh", "jump"), None, default_jump)
        self._check_links()
        self._check_addresses()
        for name, node in self._content.nodes.items():
            self._check_node(("nodes", name), name, node)
        for name, point in self._content.points.items():
            self._check_point(("points", name), name, point)
        for name, path in self._content.paths.items():
            self._check_path(("paths", name), path)

    def _add(self, path: Path, message: str, *, where: Path | None = None) -> None:
        self._document.add(self._checked.in_file(path), message, where=where and self._checked.in_file(where))

    def _check_names(self, path: Path, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
        known = list(known)
        seen: set[str] = set()
        for number, name in enumerate(names):
            if name not in known:
                self._add((*path, number), f"no {kind} {name!r}{suggest(name, known)}", where=path)
            elif name in seen:
                self._add((*path, number), f"{kind} {name!r} is named twice", where=path)
            seen.add(name)

    def _check_endpoint(self, path: Path, endpoint: str, *, where: Path, declared_only: bool = False) -> bool:
        node, _, interface = endpoint.partition(":")
        if node not in self.nodes:
            self._add(path, f"no node {node!r}{suggest(node, self.nodes)}", where=where)
            return False
        known = set(self._declared.get(node, ()))
        if not declared_only:
            known |= {name for owner, name in self._linked if owner == node}
        if known and interface not in known:
            hint = suggest(endpoint, {f"{node}:{name}" for name in known})
            self._add(path, f"no interface {endpoint!r}{hint}", where=where)
            return False
        return True

    def _check_links(self) -> None:
        first_link: dict[str, int] = {}
        first_name: dict[str, int] = {}
        for number, link in enumerate(self._content.links):
            where: Path = ("links", number, "endpoints")
            for side, endpoint in enumerate(link.endpoints):
                self._check_endpoint((*where, side), endpoint, where=where, declared_only=True)
                other = first_link.setdefault(endpoint, number)
                if other != number or link.endpoints.count(endpoint) > side + 1:
                    place = "both ends" if other == number else f"links[{self._checked.in_file(('links', other))[1]}]"
                    self._add((*where, side), f"interface {endpoint!r} has a link already ({place})", where=where)
            if link.name and first_name.setdefault(link.name, number) != number:
                self._add(("links", number, "name"), f"another link is named {link.name!r}")

    def _check_addresses(self) -> None:
        owners: dict[tuple[str | None, str], tuple[str, NodeSection]] = {}
        for name, node in self._content.nodes.items():
            own: set[tuple[str | None, str]] = set()
            for path, address, vrf in _addresses(name, node):
                key = (vrf, address)
                other_name, other = owners.setdefault(key, (name, node))
                if key in own:
                    self._add(path, f"address {address} is given twice")
                elif other_name != name and not (
                    node.shares.get(address) and node.shares.get(address) == other.shares.get(address)
                ):
                    cure = f"declare `shares: {{{address}: NAME}}` on both if they share it"
                    self._add(path, f"address {address} belongs to node {other_name!r} already: {cure}")
                own.add(key)

    def _check_node(self, path: Path, name: str, node: NodeSection) -> None:
        self._check_names((*path, "pool"), "node", node.pool, self.nodes)
        for number, translation in enumerate(node.translations):
            for side in ("inside", "outside"):
                if translation.kind != "dnat" and _has_port(getattr(translation, side)):
                    self._add((*path, "translations", number, side), f"a port means nothing in {translation.kind}")
        if node.ssh is None:
            return
        pruned = {("defaults",), ("defaults", "ssh"), ("defaults", "ssh", "user"), (*path, "ssh", "user")}
        if node.ssh.user is None and self._content.defaults.ssh.user is None and not pruned & self._checked.pruned:
            self._add((*path, "ssh"), "no user: give one here or under defaults.ssh")
        if node.ssh.jump is not None:
            self._check_jump((*path, "ssh", "jump"), name, node.ssh.jump)

    def _check_jump(self, path: Path, name: str | None, jump: str) -> None:
        if jump not in self.nodes:
            self._add(path, f"no node {jump!r}{suggest(jump, self.nodes)}")
        elif jump in self._content.nodes and self._content.nodes[jump].ssh is None and not self._ssh_is_wrong(jump):
            self._add(path, f"node {jump!r} has no ssh itself")
        elif name is not None and name in jump_chain(self._content, name):
            self._add(path, f"node {name!r} would be reached through itself")

    def _ssh_is_wrong(self, node: str) -> bool:
        return bool({("nodes", node), ("nodes", node, "ssh")} & self._checked.pruned)

    def _check_point(self, path: Path, name: str, point: PointSection) -> None:
        exists = True
        for key, endpoints in (("at", point.at), ("via", point.via)):
            for number, endpoint in enumerate(endpoints):
                place: Path = (*path, key, number)
                exists &= self._check_endpoint(place, endpoint, where=(*path, key))
        if not exists:
            return
        if point.kind and not point.via:
            self._add((*path, "kind"), f"{point.kind} needs `via`: the interfaces that see this port's traffic")
        if point.kind == "tap-pair" and point.via and len(point.via) != _MIRRORS_OF_A_PAIR:
            self._add((*path, "via"), f"a tap-pair has 2 interfaces, one a direction; {len(point.via)} given")
        if point.mode and len(point.at) == 1:
            self._add((*path, "mode"), f"{point.mode} needs several interfaces under `at`")
        self._check_reach(path, point)
        self._check_place(path, name, point)

    def _check_reach(self, path: Path, point: PointSection) -> None:
        if point.supply == "file":
            return
        for endpoint in point.via or point.at:
            node = endpoint.partition(":")[0]
            section = self._content.nodes.get(node)
            if section is not None and section.ssh is None and not self._ssh_is_wrong(node):
                cure = "give it ssh, or declare `supply: file`"
                place = (*path, "via" if point.via else "at")
                self._add(place, f"nobody can reach {endpoint!r}, node {node!r} has no ssh: {cure}")

    def _check_place(self, path: Path, name: str, point: PointSection) -> None:
        by_hand = any(name in (*p.points, *p.forward, *p.reverse) for p in self._content.paths.values())
        linked = any(tuple(endpoint.split(":", 1)) in self._linked for endpoint in point.at)
        if not linked and not by_hand and len(self.points) > 1:
            cure = "add its link, or name it in an entry of paths"
            self._add((*path, "at"), f"{name!r} lies on no path: nothing is linked to {point.at[0]!r}: {cure}")

    def _check_path(self, path: Path, section: PathSection) -> None:
        for key, node in (("from", section.from_), ("to", section.to)):
            if node not in self.nodes:
                self._add((*path, key), f"no node {node!r}{suggest(node, self.nodes)}")
        for key in ("points", "forward", "reverse"):
            self._check_names((*path, key), "point", getattr(section, key), self.points)
        self._check_names((*path, "nodes"), "node", section.nodes, self.nodes)
        if section.points and section.forward:
            self._add((*path, "forward"), "points and forward say the same: give one of them")
        left_out = {(*path, "points"), (*path, "forward")} & self._checked.pruned
        if not section.points and not section.forward and not left_out:
            self._add(path, "missing key: points, in the order in which traffic meets them")


def jump_chain(content: InventoryFile, name: str) -> tuple[str, ...]:
    """Return the nodes through which *name* is reached, nearest first; ends where it would repeat."""
    chain: list[str] = []
    current = name
    while True:
        section = content.nodes.get(current)
        ssh = section.ssh if section else None
        inherited = content.defaults.ssh.jump if not chain and content.defaults.ssh.jump != name else None
        following = (ssh.jump or inherited) if ssh else None
        if following is None:
            return tuple(chain)
        if following in chain:
            return (*chain, following)
        chain.append(following)
        current = following


def _addresses(name: str, node: NodeSection) -> Iterable[tuple[Path, str, str | None]]:
    for number, address in enumerate(node.addresses):
        yield ("nodes", name, "addresses", number), address, node.vrf
    for interface, section in node.interfaces.items():
        for number, address in enumerate(section.addresses):
            yield ("nodes", name, "interfaces", interface, "addresses", number), address, section.vrf or node.vrf


def _has_port(text: str) -> bool:
    return text.count(":") == 1


def _raw_keys(document: Document, key: str) -> tuple[str, ...]:
    """Return the names in a section of the file, including those whose content is wrong."""
    section = document.value.get(key) if isinstance(document.value, dict) else None
    return tuple(section) if isinstance(section, dict) else ()


def _declared_interfaces(document: Document) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    nodes = document.value.get("nodes") if isinstance(document.value, dict) else None
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        interfaces = node.get("interfaces") if isinstance(node, dict) else None
        if isinstance(interfaces, dict):
            found[name] = tuple(interfaces)
    return found


def _linked_interfaces(document: Document) -> frozenset[tuple[str, ...]]:
    links = document.value.get("links") if isinstance(document.value, dict) else None
    ends: list[object] = []
    for link in links if isinstance(links, tuple) else ():
        endpoints = link.get("endpoints") if isinstance(link, dict) else None
        ends.extend(endpoints if isinstance(endpoints, tuple) else ())
    return frozenset(tuple(end.split(":", 1)) for end in ends if isinstance(end, str) and ":" in end)
