"""Load a playbook with the inventory it names: YAML to `Playbook`, or every error at once with its position."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.config.inventory import InventoryReading, absolute_path, read_inventory
from orchestrator.config.playbook_checks import PlaybookChecks, chosen_points, nodes_of_group
from orchestrator.config.playbook_schema import PlaybookFile
from orchestrator.config.problems import ON_COMMAND_LINE, Problem, raise_problems, suggest
from orchestrator.config.sizes import parse_duration_ns, parse_share
from orchestrator.config.validation import validate
from orchestrator.config.yamlfile import parse_document, read_document
from orchestrator.errors import InventoryError, PlaybookError
from orchestrator.model.playbook import (
    Archive,
    Authority,
    Expectation,
    Flow,
    Limits,
    Playbook,
    Ring,
    Trigger,
    Window,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.config.playbook_schema import CaptureSection, FlowSection
    from orchestrator.config.problems import Path as Steps
    from orchestrator.config.yamlfile import Document
    from orchestrator.model.topology import Topology

HINT = "`vanishpoint schema playbook` prints the format; playbooks/call-centre-rst.yaml is a whole example."
_DEFAULT_MIN_POINTS = 2
_LIMITS: dict[str, Callable[[object], float]] = {
    "below": parse_share,
    "success": parse_share,
    "at_most": lambda count: float(str(count)),
    **dict.fromkeys(("p50_below", "p95_below", "p99_below", "max_below"), parse_duration_ns),
}
"""What a setting of an expectation means as a number."""
_CAPTURE_KEYS = ("points", "at", "required", "min_points", "snaplen", "buffer", "filter", "window", "ring", "limits")
_STAND_INS: dict[Steps, object] = {
    ("schema",): 1,
    ("name",): "unnamed",
    ("inventory",): "unknown",
    ("flows",): {"unknown": {"from": ("0.0.0.0/0",)}},
    ("capture",): {},
    ("capture", "window"): {},
    ("capture", "window", "duration"): "1s",
}


def load_playbook(path: Path, overrides: Mapping[str, str]) -> Playbook:
    """Return the playbook at *path* with *overrides* (``window.duration``: ``5s``) applied.

    Raises:
        PlaybookError: Everything that is wrong with the playbook, one line each.
        InventoryError: The inventory is wrong as well; its lines are there, too.
    """
    playbook, _ = load_both(path, overrides)
    return playbook


def load_both(path: Path, overrides: Mapping[str, str]) -> tuple[Playbook, Topology]:
    """Return the playbook at *path* and the network of the inventory it names.

    Raises:
        PlaybookError: Everything that is wrong with the playbook, one line each.
        InventoryError: The inventory is wrong as well; its lines are there, too.
    """
    document = read_document(path, PlaybookError)
    for key, text in overrides.items():
        _override(document, key, text)
    checked = validate(document, PlaybookFile, _STAND_INS)
    if checked is None:
        raise_problems(document.problems, PlaybookError, HINT)
        msg = f"{path}: this cannot be understood as a playbook"
        raise PlaybookError(msg, hint=HINT)
    inventory = _inventory_of(document, path)
    PlaybookChecks(document, checked, inventory).check()
    error = InventoryError if inventory.problems else PlaybookError
    raise_problems([*document.problems, *inventory.problems], error, HINT)
    if inventory.topology is None:
        msg = f"{path}: the inventory it names cannot be understood"
        raise InventoryError(msg, hint=HINT)
    return _converted(checked.content, inventory.topology, path.absolute().parent), inventory.topology


def _inventory_of(document: Document, path: Path) -> InventoryReading:
    named = document.value.get("inventory") if isinstance(document.value, dict) else None
    broken = InventoryReading(topology=None, problems=())
    if not isinstance(named, str) or not named or "\x00" in named:
        return broken
    target = Path(absolute_path(named, path.parent))
    if not target.exists():
        document.add(("inventory",), f"no file {str(path.parent / named)!r}")
        return broken
    try:
        return read_inventory(_as_shown(target))
    except InventoryError as failure:
        # Its lines carry their own positions; they are shown beside what is wrong here.
        document.problems.append(Problem(document.file, document.position(("inventory",)), "inventory", str(failure)))
        return broken


def _as_shown(target: Path) -> Path:
    """Return *target* relative to the working directory where it lies below it: shorter lines in messages."""
    try:
        return target.relative_to(Path.cwd())
    except ValueError:
        return target


def _override(document: Document, key: str, text: str) -> None:
    steps = tuple(key.split("."))
    if steps[0] in _CAPTURE_KEYS:
        steps = ("capture", *steps)
    shown = ".".join(steps)
    patch = parse_document(text, f"--set {key}", PlaybookError)
    target = document.value
    for depth, step in enumerate(steps[:-1]):
        if not isinstance(target, dict) or (step in target and not isinstance(target[step], dict)):
            message = f"{'.'.join(steps[: depth + 1])} holds no keys"
            document.problems.append(Problem(document.file, ON_COMMAND_LINE, shown, message))
            return
        if step not in target and depth == 0 and step not in PlaybookFile.model_fields:
            message = f"unknown key{suggest(step, [*PlaybookFile.model_fields, *_CAPTURE_KEYS])}"
            document.problems.append(Problem(document.file, ON_COMMAND_LINE, shown, message))
            return
        target = target.setdefault(step, {})
    if isinstance(target, dict):
        target[steps[-1]] = patch.value
        document.replace_positions(steps, patch)


def _converted(content: PlaybookFile, topology: Topology, directory: Path) -> Playbook:
    capture = content.capture
    points = chosen_points(content)
    captured = len(points or topology.points)
    return Playbook(
        name=content.name,
        about=content.about,
        inventory=absolute_path(content.inventory, directory),
        flows=tuple(_flow(name, flow, topology) for name, flow in content.flows.items()),
        window=Window(
            duration_ns=capture.window.duration, start=capture.window.start, post_roll_ns=capture.window.post_roll
        ),
        points=points,
        point_flows={name: section.flows for name, section in capture.at.items() if section.flows is not None},
        required=capture.required,
        min_points=min(_DEFAULT_MIN_POINTS, captured) if capture.min_points is None else capture.min_points,
        snaplen=capture.snaplen,
        buffer_bytes=capture.buffer,
        filter=capture.filter,
        ring=Ring(keep_ns=capture.ring.keep, file_bytes=capture.ring.file) if capture.ring else None,
        limits=_limits(capture),
        authority=_authority(content),
        triggers=tuple(_trigger(item.model_dump(exclude_none=True)) for item in content.triggers),
        expect=tuple(_expectation(item.model_dump(exclude_none=True)) for item in content.expect),
        archive=_archive(content, directory),
    )


def _flow(name: str, flow: FlowSection, topology: Topology) -> Flow:
    clients: list[str] = []
    for source in flow.from_:
        clients += [source] if source in topology.nodes else nodes_of_group(topology, source) or [source]
    return Flow(
        name=name,
        clients=tuple(dict.fromkeys(clients)),
        to=flow.to,
        protocol=flow.protocol,
        ports=flow.port,
        keep=flow.keep,
    )


def _limits(capture: CaptureSection) -> Limits:
    return Limits(disk_free_bytes=capture.limits.disk_free, file_total_bytes=capture.limits.file_total)


def _authority(content: PlaybookFile) -> Authority | None:
    if content.authority is None:
        return None
    begin_ns, end_ns = content.authority.valid or (None, None)
    return Authority(
        ticket=content.authority.ticket,
        approved_by=content.authority.approved_by,
        valid_from_ns=begin_ns,
        valid_until_ns=end_ns,
        data_class=content.authority.data_class,
    )


def _trigger(settings: dict[str, str | int | float | bool]) -> Trigger:
    return Trigger(when=str(settings.pop("when")), settings=settings)


def _expectation(entry: dict[str, dict[str, str | int | float | bool]]) -> Expectation:
    ((kind, settings),) = entry.items()
    limits = {key: float(_LIMITS[key](value)) for key, value in settings.items() if key in _LIMITS}
    return Expectation(kind=kind, settings=settings, limits=limits)


def _archive(content: PlaybookFile, directory: Path) -> Archive | None:
    if content.archive is None:
        return None
    sign = content.archive.sign
    return Archive(
        to=absolute_path(content.archive.to, directory), sign=absolute_path(sign, directory) if sign else None
    )
