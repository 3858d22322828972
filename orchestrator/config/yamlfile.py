"""Read a YAML file into plain values that remember where they stood.

A safe and unsurprising subset: no tags, no merge keys, no duplicate keys, strings wherever YAML 1.1 guesses
(``no``, ``12:30``, ``017``), and bounds on size, depth and what aliases may expand to. Sequences become tuples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from orchestrator.config.problems import ON_COMMAND_LINE, Path, Position, Problem, raise_problems, show_path

if TYPE_CHECKING:
    import pathlib

    from orchestrator.errors import InputError

_MOST_BYTES = 4 << 20
_MOST_VALUES = 200_000
"""After aliases are expanded: a few hundred bytes of YAML can stand for billions of values."""
_DEEPEST = 32

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_TRUTH = re.compile(r"(?:yes|no|on|off)", re.IGNORECASE)
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_OTHER_BASE = re.compile(r"[-+]?0[xbo][0-9a-fA-F_]+|[-+]?[1-9][0-9]*_[0-9_]*|[-+]?[0-9]{19,}")
_NO_NUMBER = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class Document:
    """A parsed file: values, and the position of each key and value by path."""

    file: str
    value: object = None
    values_at: dict[Path, Position] = field(default_factory=dict)
    keys_at: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    trapped: set[Path] = field(default_factory=set)
    """Values whose meaning is in doubt: complaining about their type as well would only confuse."""

    def position(self, path: Path, *, of_key: bool = False) -> Position:
        """Return where *path* stands, or the nearest thing above it that is in the file."""
        first, second = (self.keys_at, self.values_at) if of_key else (self.values_at, self.keys_at)
        if found := first.get(path) or second.get(path):
            return found
        # What is missing is blamed on the key of the nearest mapping that is there; an item of what should be a list,
        # on the value that stands in its place.
        for length in range(len(path) - 1, -1, -1):
            nearer, farther = self.keys_at, self.values_at
            if isinstance(path[length], int):
                nearer, farther = farther, nearer
            if found := nearer.get(path[:length]) or farther.get(path[:length]):
                return found
        return Position(1, 1)

    def add(self, path: Path, message: str, *, of_key: bool = False, where: Path | None = None) -> None:
        """Note that the value (or key) at *path* is wrong; *where* shows another path to the reader."""
        shown = show_path(path if where is None else where)
        self.problems.append(Problem(self.file, self.position(path, of_key=of_key), shown, message))

    def replace_positions(self, path: Path, patch: Document) -> None:
        """Let *patch*, given on the command line, stand at *path*."""
        for places in (self.values_at, self.keys_at):
            for inner in [known for known in places if known[: len(path)] == path]:
                del places[inner]
        self.trapped = {known for known in self.trapped if known[: len(path)] != path}
        self.keys_at[path] = self.values_at[path] = ON_COMMAND_LINE
        self.problems = [problem for problem in self.problems if problem.where != show_path(path)]
        for problem in patch.problems:
            self.problems.append(Problem(self.file, ON_COMMAND_LINE, show_path(path), problem.message))
            self.trapped.add(path)


def read_document(path: pathlib.Path, error: type[InputError]) -> Document:
    """Return the document in the file at *path*; what is wrong below the syntax is collected in it.

    Raises:
        InputError: The file cannot be read, or is not YAML.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as reason:
        msg = f"{path}: {reason.strerror or reason}"
        raise error(msg, hint="Check the path and its permissions.") from reason
    except ValueError as reason:
        msg = f"{str(path)!r}: {reason}"
        raise error(msg, hint="Check the path.") from reason
    if len(data) > _MOST_BYTES:
        msg = f"{path}: larger than {_MOST_BYTES >> 20} MiB"
        raise error(msg, hint="Give an inventory or a playbook; this looks like something else.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = data.count(b"\n", 0, reason.start) + 1
        msg = f"{path}:{line}:1: not UTF-8 text (byte {data[reason.start]:#04x})"
        raise error(msg, hint="Save the file as UTF-8.") from reason
    return parse_document(text, str(path), error)


def parse_document(text: str, file: str, error: type[InputError]) -> Document:
    """Return the document in *text*, which stands in *file*.

    Raises:
        InputError: *text* is not YAML, or nested or expanded beyond all bounds.
    """
    document = Document(file=file)
    try:
        loader = _Loader(text, document)
        root = loader.get_single_node()
        if root is not None:
            document.value = _Reading(document).value(root, (), 0)
    except _UnusableError as reason:
        raise_problems([Problem(file, reason.position, "", str(reason))], error, "Flatten the file.")
    except yaml.YAMLError as reason:
        raise_problems([_syntax_problem(reason, text, file)], error, "Fix the YAML; most often this is indentation.")
    return document


class _UnusableError(Exception):
    """The document breaks a bound that keeps reading it cheap."""

    def __init__(self, message: str, mark: Any) -> None:  # noqa: ANN401  # PyYAML's marks have no type
        super().__init__(message)
        self.position = _at(mark)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Compose nodes without guessing at types; refuses depth and notes tags while composing."""

    def __init__(self, text: str, document: Document) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._document = document
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401  # as in PyYAML
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > _DEEPEST:
            msg = f"nested more than {_DEEPEST} levels deep"
            raise _UnusableError(msg, event.start_mark)
        if getattr(event, "tag", None) is not None:
            message = f"tags such as {event.tag!r} are not allowed: values are plain text, numbers, lists and mappings"
            self._document.problems.append(Problem(self._document.file, _at(event.start_mark), "", message))
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reading:
    """Turn nodes into values, filling the positions of a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def value(self, node: yaml.Node, path: Path, depth: int) -> object:
        self._count += 1
        if self._count > _MOST_VALUES:
            msg = f"more than {_MOST_VALUES} values once aliases are expanded"
            raise _UnusableError(msg, node.start_mark)
        if depth > _DEEPEST:
            msg = f"nested more than {_DEEPEST} levels deep once aliases are expanded"
            raise _UnusableError(msg, node.start_mark)
        self._document.values_at[path] = _at(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, (*path, number), depth + 1) for number, item in enumerate(node.value))
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in values:
                first = self._document.keys_at[*path, key].line
                self._blame(key_node, path, f"duplicate key {key!r} (first on line {first})")
                continue
            self._document.keys_at[*path, key] = _at(key_node.start_mark)
            values[key] = self.value(value_node, (*path, key), depth + 1)
        return values

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._blame(node, path, "a key must be a plain name")
            return None
        text = str(node.value)
        trap = _trap(text) if _is_plain(node) else None
        if trap:
            self._blame(node, path, trap)
        elif _is_plain(node) and text == "<<":
            self._blame(node, path, "merge keys (<<) are not supported: write the keys out")
            return None
        elif _is_plain(node) and _NULL.fullmatch(text):
            self._blame(node, path, f"a key must be a name, not {text or 'nothing'}")
            return None
        return text

    def _scalar(self, node: yaml.Node, path: Path) -> object:
        text = str(node.value)
        if not _is_plain(node):
            return text
        if trap := _trap(text):
            self._document.add(path, trap)
            self._document.trapped.add(path)
            return text
        if _NULL.fullmatch(text):
            return None
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        return _BOOL.get(text, text)

    def _blame(self, node: yaml.Node, path: Path, message: str) -> None:
        self._document.problems.append(Problem(self._document.file, _at(node.start_mark), show_path(path), message))


def _trap(text: str) -> str | None:
    """Return why plain *text* means different things to different YAML readers, if it does."""
    if _TRUTH.fullmatch(text):
        meant = "true" if text.lower() in {"yes", "on"} else "false"
        return f"{text} is read as {meant} by some YAML readers: write {meant}, or quote it as '{text}'"
    if _SIXTIES.fullmatch(text):
        return f"{text} is read as a number to base 60 by some YAML readers: quote it as '{text}'"
    if _OCTAL.fullmatch(text):
        return f"{text} is read as an octal number by some YAML readers: drop the leading zero, or quote it as '{text}'"
    if _OTHER_BASE.fullmatch(text):
        return f"{text} is not a plain decimal number: write it as one, or quote it as '{text}'"
    if _NO_NUMBER.fullmatch(text):
        return f"{text} is not a usable number: quote it as '{text}' if text is meant"
    return None


def _is_plain(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style


def _at(mark: Any) -> Position:  # noqa: ANN401  # PyYAML's marks have no type
    return Position(mark.line + 1, mark.column + 1)


def _syntax_problem(reason: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(reason, yaml.MarkedYAMLError):
        mark = reason.problem_mark or reason.context_mark
        message = ", ".join(part for part in (reason.context, reason.problem) if part)
        return Problem(file, _at(mark) if mark else Position(1, 1), "", message)
    offset = int(getattr(reason, "position", 0))
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return Problem(file, Position(line, column), "", f"character {text[offset : offset + 1]!r} is not allowed in YAML")
