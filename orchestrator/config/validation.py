"""Check a document against its pydantic model and turn every complaint into a problem with a position."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from orchestrator.config.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from orchestrator.config.problems import Path
    from orchestrator.config.yamlfile import Document

ModelT = TypeVar("ModelT", bound=BaseModel)
ContentT = TypeVar("ContentT")
_MOST_ROUNDS = 8
"""Each round leaves out what the one before found wrong; nesting is shallow, so few are needed."""

_MESSAGES = {
    "missing": "missing key",
    "string_type": "this must be text",
    "int_type": "this must be a whole number",
    "float_type": "this must be a number",
    "bool_type": "this must be true or false",
    "tuple_type": "this must be a list",
    "dict_type": "this must be a mapping",
    "model_type": "this must be a mapping",
    "model_attributes_type": "this must be a mapping",
}


@dataclass(frozen=True, slots=True)
class Checked(Generic[ContentT]):
    """What could be understood of a document, so that names can be checked even in a broken file."""

    content: ContentT
    pruned: frozenset[Path]
    """What was left out because it is wrong. Complaining about its absence would be misleading."""
    kept: Mapping[Path, tuple[int, ...]]
    """Indices in the file of the items that are left, by list."""

    def in_file(self, path: Path) -> Path:
        """Return *path*, which counts the items that are left, as it stands in the file."""
        steps: Path = ()
        for step in path:
            steps = (*steps, self.kept[steps][step] if isinstance(step, int) and steps in self.kept else step)
        return steps


def validate(document: Document, model: type[ModelT], stand_ins: Mapping[Path, object]) -> Checked[ModelT] | None:
    """Return the value of *document* as a *model*, leaving out what is wrong; the problems go to *document*.

    *stand_ins* take the place of required keys that are missing or wrong, so that the rest can still be checked.
    """
    if not isinstance(document.value, dict):
        if not document.problems:
            document.add((), "the file is empty" if document.value is None else "the top of the file must be a mapping")
        return None
    pruned: set[Path] = set()
    for attempt in range(_MOST_ROUNDS):
        kept: dict[Path, tuple[int, ...]] = {}
        value = cast("dict[str, object]", _without(document.value, (), pruned, kept))
        if attempt:
            _stand_in(value, stand_ins)
        try:
            return Checked(model.model_validate(value), frozenset(pruned), kept)
        except ValidationError as failure:
            checked = Checked(value, frozenset(pruned), kept)
            errors = _telling(failure.errors(include_url=False))
        paths = [checked.in_file(_place(error)) for error in errors]
        if attempt == 0:
            for error, path in zip(errors, paths, strict=True):
                _note(document, model, error, path)
        pruned |= {_blamed(document.value, error, path) for error, path in zip(errors, paths, strict=True)} - {()}
    return None


def _stand_in(value: dict[str, object], stand_ins: Mapping[Path, object]) -> None:
    for path, stand_in in stand_ins.items():
        parent = _at(value, path[:-1])
        if isinstance(parent, dict):
            parent.setdefault(path[-1], stand_in)


def _telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return *errors* without lists that are too short only because their items are wrong."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(len(place) > len(error["loc"]) and place[: len(error["loc"])] == error["loc"] for place in places)
    ]


def _place(error: ErrorDetails) -> Path:
    path = tuple(error["loc"])
    return path[:-1] if path[-1:] == ("[key]",) else path


def _blamed(value: object, error: ErrorDetails, path: Path) -> Path:
    """Return the smallest part whose absence mends *error*."""
    target = path[:-1] if error["type"] == "missing" else path
    while target and isinstance(target[-1], int) and not isinstance(_at(value, target), dict):
        target = target[:-1]
    return target


def _at(value: Any, path: Path) -> object:  # noqa: ANN401  # whatever stands in the file
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, tuple) and isinstance(step, int):
            value = value[step]
        else:
            return None  # one value where the model takes one or several
    return value


def _without(value: object, path: Path, pruned: set[Path], kept: dict[Path, tuple[int, ...]]) -> object:
    if isinstance(value, dict):
        left = {key: item for key, item in value.items() if (*path, key) not in pruned}
        return {key: _without(item, (*path, key), pruned, kept) for key, item in left.items()}
    if isinstance(value, tuple):
        kept[path] = tuple(number for number in range(len(value)) if (*path, number) not in pruned)
        return tuple(_without(value[number], (*path, number), pruned, kept) for number in kept[path])
    return value


def _note(document: Document, model: type[BaseModel], error: ErrorDetails, path: Path) -> None:
    of_key = error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)
    if not any(path[:length] in document.trapped for length in range(len(path) + 1)):
        document.add(path, _message(model, error, path), of_key=of_key)


def _message(model: type[BaseModel], error: ErrorDetails, path: Path) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{suggest(str(path[-1]), _known_keys(model, path[:-1]))}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{error['input']!r} is not {context['expected']}{suggest(str(error['input']), _choices(model, path))}"
    if kind in {"too_short", "too_long"}:
        bound = context.get("min_length", context.get("max_length"))
        return f"{context['actual_length']} given, {'at least' if kind == 'too_short' else 'at most'} {bound} needed"
    if error["input"] is None and kind in _MESSAGES and kind != "missing":
        return f"{_MESSAGES[kind]}, and nothing is given"
    return _MESSAGES.get(kind, error["msg"].replace("Input should", "this must", 1))


def _known_keys(model: type[BaseModel], path: Path) -> list[str]:
    found = _follow(model, path)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [field.alias or name for name, field in found.model_fields.items()]
    return []


def _choices(model: type[BaseModel], path: Path) -> list[str]:
    return [choice for choice in get_args(_follow(model, path)) if isinstance(choice, str)]


def _follow(annotation: Any, path: Path) -> Any:  # noqa: ANN401  # annotations have no common type
    """Return the annotation that describes the value at *path* below *annotation*."""
    for step in path:
        inner = _bare(annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in inner.model_fields.items()}
            annotation = fields.get(str(step))
        elif get_args(inner):
            # dict[Name, X] and tuple[X, ...]: what follows a step is the value type.
            annotation = get_args(inner)[1 if get_origin(inner) is dict else 0]
        else:
            return None
    return _bare(annotation)


def _bare(annotation: Any) -> Any:  # noqa: ANN401  # annotations have no common type
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, UnionType}:
            annotation = next(part for part in get_args(annotation) if part is not type(None))
        else:
            return annotation
