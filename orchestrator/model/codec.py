"""Frozen dataclasses of the model to JSON values and back.

Unknown keys are ignored, missing ones take their defaults: a run directory of another version stays readable.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import orchestrator.model.clock as _clock
import orchestrator.model.plan as _plan
import orchestrator.model.playbook as _playbook
import orchestrator.model.run as _run
import orchestrator.model.topology as _topology
from orchestrator.errors import InputError

T = TypeVar("T")
_HINT = "The file was written by another version or changed by hand; take it from its source again."
_NAMES: dict[str, Any] = {"Mapping": Mapping}
for _module in (_topology, _playbook, _plan, _run, _clock):
    _NAMES |= {k: v for k, v in vars(_module).items() if not k.startswith("_")}


def encode(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return *value* as what json.dumps takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    return value


def decode(cls: type[T], data: object) -> T:
    """Return *data*, as read from JSON, as a *cls*.

    Raises:
        InputError: It does not describe one.
    """
    decoded: T = _decode(cls, data, cls.__name__)
    return decoded


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, _NAMES)


def _decode(kind: Any, data: Any, where: str) -> Any:  # noqa: ANN401, PLR0911
    """Return *data* as a *kind*, which is a type hint."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(kind, data, where)
    if origin in {typing.Union, types.UnionType}:
        return _decode_union(typing.get_args(kind), data, where)
    if origin is typing.Literal:
        return _expect(data in typing.get_args(kind), data, where, f"one of {typing.get_args(kind)}")
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), data, where)
    if origin is not None and issubclass(origin, Mapping):
        _expect(isinstance(data, dict), data, where, "an object")
        key, value = typing.get_args(kind)
        return {_decode(key, k, where): _decode(value, v, f"{where}.{k}") for k, v in data.items()}
    if kind is float:
        return float(_expect(isinstance(data, int | float) and not isinstance(data, bool), data, where, "a number"))
    if kind in {int, str, bool}:
        return _expect(type(data) is kind, data, where, f"of type {kind.__name__}")
    return data


def _expect(holds: bool, data: Any, where: str, what: str) -> Any:  # noqa: ANN401, FBT001
    if not holds:
        msg = f"{where}: {str(data)[:80]!r} is not {what}"
        raise InputError(msg, hint=_HINT)
    return data


def _decode_dataclass(kind: type, data: Any, where: str) -> Any:  # noqa: ANN401
    _expect(isinstance(data, dict), data, where, "an object")
    hints = _hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    values = {name: _decode(hints[name], value, f"{where}.{name}") for name, value in data.items() if name in known}
    missing = [
        name
        for name, f in known.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    _expect(not missing, sorted(data), where, f"complete: {', '.join(missing)} missing")
    return kind(**values)


def _decode_union(kinds: tuple[Any, ...], data: Any, where: str) -> Any:  # noqa: ANN401
    if data is None and type(None) in kinds:
        return None
    failure: InputError | None = None
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _decode(kind, data, where)
        except InputError as error:
            failure = failure or error
    raise failure or InputError(f"{where}: {data!r} is not allowed", hint=_HINT)


def _decode_tuple(kinds: tuple[Any, ...], data: Any, where: str) -> Any:  # noqa: ANN401
    _expect(isinstance(data, list | tuple), data, where, "a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:  # noqa: PLR2004
        return tuple(_decode(kinds[0], v, f"{where}[{k}]") for k, v in enumerate(data))
    _expect(len(data) == len(kinds), data, where, f"a list of {len(kinds)}")
    return tuple(_decode(kind, v, f"{where}[{k}]") for k, (kind, v) in enumerate(zip(kinds, data, strict=True)))
