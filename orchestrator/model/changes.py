"""What devices on a segment change in the headers of packets that pass, as values of result.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.finding import FlowKey

Field = Literal[
    "src", "dst", "sport", "dport", "dscp", "ecn", "ip_id", "mss", "seq", "ack", "tsval", "tsecr", "icmp_id", "ttl",
    "window", "flags", "timestamps", "segmentation", "header",
]  # fmt: skip
"""``ttl`` is a decrement other than the usual one; ``timestamps`` the option, 1 where it is there; ``segmentation`` the
same bytes in other packets; ``header`` the same bytes under a TCP header of which nothing tells what changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that becomes another."""

    before: int | str
    after: int | str
    packets: int
    of: int
    """Packets with ``before`` at the near point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """One field that is another at the far point of a segment."""

    field: Field
    packets: int
    of: int
    """Packets seen at both ends that carry the field."""
    changes: tuple[Change, ...] = ()
    """The commonest, where there are few; for ``ttl`` the usual and the actual difference."""
    flow: FlowKey | None = None
    """Of the first such packet, as at the near point."""
    frame: int | None = None
    """Of the first such packet at the near point, 1-based."""
