"""The shape of a playbook file. Names are checked against the inventory in `playbook.py`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from orchestrator.config import sizes
from orchestrator.config.fields import (
    Bytes,
    Duration,
    Interval,
    LocalPath,
    Name,
    Ports,
    Section,
    Text,
    Words,
)
from orchestrator.model.playbook import Keep

if TYPE_CHECKING:
    from collections.abc import Callable

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,4000}")
_RATE_OF_EVENTS = re.compile(r"[1-9][0-9]{0,5} in [0-9]+(?:\.[0-9]+)? ?(?:ms|s|m|h)")


def _filter(text: str) -> str:
    if not _PRINTABLE.fullmatch(text.strip()) or text.strip().startswith("-"):
        msg = "a filter is one line of printable characters that does not begin with '-'"
        raise ValueError(msg)
    return text.strip()


def _start(text: str) -> str:
    if text != "now":
        try:
            sizes.parse_instant_ns(text)
        except ValueError:
            msg = f"{text!r} is neither `now` nor a time with its zone such as 2026-11-22T08:00Z"
            raise ValueError(msg) from None
    return text


def _at_least(value: object) -> object:
    if isinstance(value, str) and not _RATE_OF_EVENTS.fullmatch(value):
        msg = f"{value!r} is neither a number nor a rate such as 3 in 1s"
        raise ValueError(msg)
    return value if isinstance(value, str) else str(value)


def _all_or_some(value: object) -> object:
    if value == "all":
        return ()
    if isinstance(value, str):
        return (value,)
    if value == ():
        msg = "an empty list captures nothing: write `all`, or name points"
        raise ValueError(msg)
    return value


def _as_written(check: Callable[[object], object]) -> BeforeValidator:
    """Check a quantity, but keep the text: reports quote an expectation as it was written."""

    def keep_text(text: object) -> object:
        check(text)
        return text

    return BeforeValidator(keep_text)


Filter = Annotated[str, AfterValidator(_filter)]
_TEXT: dict[str, Any] = {"type": "string"}
ShareText = Annotated[str, _as_written(sizes.parse_share), WithJsonSchema({**_TEXT, "examples": ["0.1 %"]})]
DurationText = Annotated[
    str, _as_written(sizes.parse_duration_ns), WithJsonSchema({"type": "string", "examples": ["40 ms"]})
]
Chosen = Annotated[
    tuple[Name, ...],
    BeforeValidator(_all_or_some),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
AtLeast = Annotated[
    str, BeforeValidator(_at_least), WithJsonSchema({"type": ["integer", "string"], "examples": ["3 in 1s"]})
]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


class FlowSection(Section):
    """A class of traffic."""

    from_: Annotated[Words, Field(min_length=1)] = Field(alias="from", description="Nodes, roles, sites or addresses.")
    to: Text | None = Field(default=None, description="A node or an address; anywhere if absent.")
    protocol: Literal["tcp", "udp", "icmp", "sctp", "esp", "ah", "gre"] | None = None
    port: Ports | None = Field(default=None, description="Port of the server, or a range such as 10000-20000.")
    keep: Keep = "headers"


class AuthoritySection(Section):
    """Who allowed this capture, for what, and until when."""

    ticket: Text | None = None
    approved_by: Text | None = None
    valid: Interval | None = None
    data_class: Keep | None = None


class WindowSection(Section):
    """The stretch of time that counts."""

    duration: Duration
    start: Annotated[Text, AfterValidator(_start)] = "now"
    post_roll: Duration = 2_000_000_000


class RingSection(Section):
    """Always-on capture with a bounded disk."""

    keep: Duration
    file: Bytes


class LimitsSection(Section):
    """What a capture may take of a host."""

    disk_free: Bytes = 1 << 30
    file_total: Bytes = 4 << 30


class AtSection(Section):
    """What one point captures."""

    flows: tuple[Name, ...] | None = None


class CaptureSection(Section):
    """Where and how packets are captured."""

    points: Chosen | None = Field(default=None, description="`all`, or names; the keys of `at` if absent.")
    at: dict[Name, AtSection] = Field(default={})
    required: tuple[Name, ...] = ()
    min_points: Annotated[int, Field(ge=1, le=1000)] | None = None
    snaplen: Annotated[int, Field(ge=64, le=262144)] = 160
    buffer: Bytes = 64 << 20
    filter: Filter | None = None
    window: WindowSection
    ring: RingSection | None = None
    limits: LimitsSection = LimitsSection()


class TriggerSection(Section):
    """An event that freezes every point (ring) or is marked (window)."""

    when: Literal["mark", "reset", "log"]
    flow: Name | None = None
    ignore: Literal["after-fin"] | None = None
    at_least: AtLeast | None = None
    cool_down: DurationText | None = None
    max_events: Count | None = None
    keep_after: DurationText | None = None
    node: Name | None = None
    file: Text | None = None
    match: Text | None = None


EXPECTABLE = ("loss", "resets", "delay", "precursor", "connection")


class LossSection(Section):
    """How much may vanish."""

    segment: Text | None = None
    flow: Name | None = None
    below: ShareText


class ResetsSection(Section):
    """How many resets may be born, and where."""

    born_in: Literal["network", "client", "server", "endpoint", "anywhere"] = "anywhere"
    flow: Name | None = None
    at_most: Count


class DelaySection(Section):
    """How long packets may take."""

    segment: Text | None = None
    flow: Name | None = None
    p50_below: DurationText | None = None
    p95_below: DurationText | None = None
    p99_below: DurationText | None = None
    max_below: DurationText | None = None


class PrecursorSection(Section):
    """What must not precede failures of clients."""

    absent: Literal[
        "any", "syn-unanswered", "syn-refused", "icmp-prohibited", "icmp-unreachable", "dns-failure", "dns-no-answer",
        "dns-slow", "tls-alert", "retransmissions", "heartbeat-missed", "zero-window", "stall", "reset-received",
        "reset-sent",
    ] = "any"  # fmt: skip
    target: Text | None = Field(default=None, description="address:port, or the address of a name server.")
    flow: Name | None = None


class ConnectionSection(Section):
    """How many attempts to connect must succeed."""

    success: ShareText = Field(description="At least this share.")
    to: Text | None = Field(default=None, description="address or address:port; any if absent.")
    flow: Name | None = None


class ExpectSection(Section):
    """One check of the result."""

    loss: LossSection | None = None
    resets: ResetsSection | None = None
    delay: DelaySection | None = None
    precursor: PrecursorSection | None = None
    connection: ConnectionSection | None = None

    @model_validator(mode="after")
    def _is_one_check(self) -> ExpectSection:
        if sum(check is not None for check in (getattr(self, kind) for kind in EXPECTABLE)) != 1:
            msg = f"write one of {', '.join(EXPECTABLE[:-1])} or {EXPECTABLE[-1]} an entry"
            raise ValueError(msg)
        return self


class ArchiveSection(Section):
    """Where the evidence goes."""

    to: LocalPath
    sign: LocalPath | None = None


class PlaybookFile(Section):
    """What to capture, when, and what is expected of it."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    about: Text = ""
    inventory: LocalPath = Field(description="Relative to this file.")
    flows: Annotated[dict[Name, FlowSection], Field(min_length=1)]
    authority: AuthoritySection | None = None
    capture: CaptureSection
    triggers: tuple[TriggerSection, ...] = ()
    expect: tuple[ExpectSection, ...] = ()
    archive: ArchiveSection | None = None
