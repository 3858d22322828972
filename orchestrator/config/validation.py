"""Check a document against its pydantic model and turn every complaint into a problem with a position."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from orchestrator.config.problems import suggest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from orchestrator.config.problems import Path
    from orchestrator.config.yamlfile import Document

ModelT = TypeVar("ModelT", bound=BaseModel)

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


def validate(document: Document, model: type[ModelT]) -> ModelT | None:
    """Return the value of *document* as a *model*; None when it is none, with the problems in *document*."""
    if not isinstance(document.value, dict):
        if not document.problems:
            document.add((), "the file is empty" if document.value is None else "the top of the file must be a mapping")
        return None
    try:
        return model.model_validate(document.value)
    except ValidationError as failure:
        for error in failure.errors(include_url=False):
            _note(document, model, error)
    return None


def _note(document: Document, model: type[BaseModel], error: ErrorDetails) -> None:
    kind = error["type"]
    path: Path = tuple(error["loc"])
    of_key = kind == "extra_forbidden" or path[-1:] == ("[key]",)
    if path[-1:] == ("[key]",):
        path = path[:-1]
    if any(path[:length] in document.trapped for length in range(len(path) + 1)):
        return
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
