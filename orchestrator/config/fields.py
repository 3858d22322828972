"""Field types that inventory and playbook share: each knows how a person writes it, and its JSON Schema."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema

from orchestrator.config import sizes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,252})")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._@\\-]{0,63}")
_TEXT = r"^[^\x00-\x1f\x7f]*$"


class Section(BaseModel):
    """A mapping of a file: unknown keys are errors, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        msg = f"{text!r} is not a name: letters, digits, '.', '_' and '-', at most 64, a letter or digit first"
        raise ValueError(msg)
    return text


def _interface_name(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        msg = f"{text!r} is not the name of an interface"
        raise ValueError(msg)
    return text


def _endpoint(text: str) -> str:
    node, colon, name = text.partition(":")
    if not colon or not _NAME.fullmatch(node) or not _INTERFACE.fullmatch(name):
        msg = f"{text!r} is not an interface: write node:interface"
        raise ValueError(msg)
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        msg = f"{text!r} is neither a host name nor an address"
        raise ValueError(msg)
    return text


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        msg = f"{text!r} is not the name of an account"
        raise ValueError(msg)
    return text


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        msg = f"{text!r} is not an IP address"
        raise ValueError(msg) from None
    if getattr(address, "scope_id", None):
        msg = f"{text!r} names a zone, which means nothing on other hosts"
        raise ValueError(msg)
    return str(address)


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as reason:
        hint = "has host bits set" if "host bits" in str(reason) else "is neither an IP address nor a network"
        msg = f"{text!r} {hint}"
        raise ValueError(msg) from None
    if "%" in text:
        msg = f"{text!r} names a zone, which means nothing on other hosts"
        raise ValueError(msg)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _translated(text: str) -> str:
    """Accept an address, a network, or an IPv4 address with a port."""
    address, colon, port = text.partition(":")
    if colon and "." in address and ":" not in port:
        if not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= _LAST_PORT:
            msg = f"{text!r} does not end in a port from 1 to {_LAST_PORT}"
            raise ValueError(msg)
        return f"{_address(address)}:{int(port)}"
    return _network(text)


_LAST_PORT = 65535


def _ports(value: object) -> tuple[int, int]:
    first, dash, last = str(value).partition("-")
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,6}(-[0-9]{1,6})?", str(value)):
        msg = f"{value!r} is neither a port nor a range such as 10000-20000"
        raise ValueError(msg)
    low, high = int(first), int(last if dash else first)
    if not 1 <= low <= _LAST_PORT or not 1 <= high <= _LAST_PORT:
        msg = f"{value!r} is out of range: ports go from 1 to {_LAST_PORT}"
        raise ValueError(msg)
    if low > high:
        msg = f"{value!r} ends before it begins"
        raise ValueError(msg)
    return low, high


def _list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _local_path(text: str) -> str:
    if text.startswith(("env:", "exec:", "file:")):
        msg = f"{text!r} is a reference; give the path of a file"
        raise ValueError(msg)
    if not text or "\x00" in text:
        msg = "a path must not be empty"
        raise ValueError(msg)
    return text


def _written_as(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
InterfaceName = Annotated[str, AfterValidator(_interface_name)]
Endpoint = Annotated[str, AfterValidator(_endpoint), _written_as("access-sw:up0")]
Host = Annotated[str, AfterValidator(_host)]
User = Annotated[str, AfterValidator(_user)]
Address = Annotated[str, AfterValidator(_address), _written_as("10.10.10.2")]
Network = Annotated[str, AfterValidator(_network), _written_as("192.168.0.0/24")]
Translated = Annotated[str, AfterValidator(_translated), _written_as("203.0.113.80:80")]
LocalPath = Annotated[str, AfterValidator(_local_path)]
Text = Annotated[str, StringConstraints(max_length=1000, pattern=_TEXT)]
Bytes = Annotated[int, BeforeValidator(sizes.parse_bytes), _written_as("64 MiB")]
Rate = Annotated[int, BeforeValidator(sizes.parse_rate_bps), _written_as("20 Mbit/s")]
Duration = Annotated[int, BeforeValidator(sizes.parse_duration_ns), _written_as("10m")]
Interval = Annotated[tuple[int, int], BeforeValidator(sizes.parse_interval_ns), _written_as("2026-11-22T08:00Z/PT4H")]
_PORTS_SCHEMA: dict[str, Any] = {"type": ["integer", "string"], "examples": [8080, "10000-20000"]}
Ports = Annotated[tuple[int, int], BeforeValidator(_ports), WithJsonSchema(_PORTS_SCHEMA)]


def _one_or_many(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


Endpoints = Annotated[
    tuple[Endpoint, ...], BeforeValidator(_list), _one_or_many({"type": "string", "examples": ["fw:inside"]})
]
Words = Annotated[tuple[Text, ...], BeforeValidator(_list), _one_or_many({"type": "string"})]
