"""Alerts of TLS in the clear: by whom, in which connection, and how many more cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.routes import FORWARD, REVERSE, UNKNOWN
from orchestrator.model.columns import ACK, SYN, TCP
from orchestrator.model.names import TlsAlert

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.all_frames import AllFrames
    from orchestrator.core.analyses.scene import Scene

MOST_ALERTS = 10_000
LEVELS = {1: "warning", 2: "fatal"}
NAMES = {
    0: "close notify", 10: "unexpected message", 20: "bad record MAC", 21: "decryption failed", 22: "record overflow",
    30: "decompression failure", 40: "handshake failure", 41: "no certificate", 42: "bad certificate",
    43: "unsupported certificate", 44: "certificate revoked", 45: "certificate expired", 46: "certificate unknown",
    47: "illegal parameter", 48: "unknown CA", 49: "access denied", 50: "decode error", 51: "decrypt error",
    60: "export restriction", 70: "protocol version", 71: "insufficient security", 80: "internal error",
    86: "inappropriate fallback", 90: "user canceled", 100: "no renegotiation", 109: "missing extension",
    110: "unsupported extension", 111: "certificate unobtainable", 112: "unrecognized name",
    113: "bad certificate status response", 114: "bad certificate hash value", 115: "unknown PSK identity",
    116: "certificate required", 120: "no application protocol", 121: "ECH required",
}  # fmt: skip
HARMLESS = (0, 90, 100)
"""A goodbye, and what goes before one or changes nothing."""
CLOSE_NOTIFY = 0


@dataclass(frozen=True, slots=True)
class Warned:
    """The alerts of a run."""

    alerts: list[TlsAlert]
    in_all: int
    encrypted: int
    """Alerts that cannot be read."""


def find_alerts(scene: Scene, frames: AllFrames, table: NDArray[np.void]) -> Warned:
    """Return the alerts in *table*; of very many those first that are no goodbye."""
    token = frames.token[table["row"]]
    places = np.flatnonzero(token >= 0)
    if not len(places):
        return Warned([], 0, 0)
    token = token[places]
    sequence, way = scene.packets.seq[scene.tokens.first_row[token]], scene.tokens.way[token]
    order = np.lexsort((scene.verdicts.time_ns[token], sequence, way))
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (np.diff(way[order]) != 0) | (np.diff(sequence[order]) != 0)  # else seen elsewhere, or sent again
    once = order[fresh]
    clear = once[table["level"][places[once]] > 0]
    goodbye = np.isin(table["description"][places[clear]], HARMLESS)
    chosen = clear[np.argsort(goodbye, kind="stable")][:MOST_ALERTS]
    openers = _openers(scene, token[chosen])
    alerts = [
        _alert(scene, int(t), table[p], openers.get(int(scene.tokens.flow[t])))
        for t, p in zip(token[chosen].tolist(), places[chosen].tolist(), strict=True)
    ]
    encrypted = int(table["encrypted"][places[once]].sum())
    return Warned(sorted(alerts, key=lambda a: a.time_ns), len(clear), encrypted)


def _openers(scene: Scene, token: NDArray[np.int64]) -> dict[int, int]:
    """Return by flow of *token* the bit of the end that opened it, where its opening was seen."""
    tokens, first = scene.tokens, scene.tokens.first_row
    mine = np.zeros(int(tokens.flow.max(initial=-1)) + 1, np.bool_)
    mine[tokens.flow[token]] = True
    flags = scene.packets.flags[first]
    opening = mine[tokens.flow] & (scene.packets.protocol[first] == TCP) & ((flags & SYN) > 0)
    rows = np.flatnonzero(opening)
    bit = tokens.bit[rows] ^ ((flags[rows] & ACK) > 0)
    return dict(zip(tokens.flow[rows].tolist(), bit.tolist(), strict=True))


def _alert(scene: Scene, token: int, entry: np.void, opener: int | None) -> TlsAlert:
    """Describe one alert; *opener* is the bit of the end that opened its connection."""
    points: list[int] = np.flatnonzero(scene.tokens.row[token] >= 0).tolist()
    direction = int(scene.routes.direction[token])
    if direction == REVERSE:
        points.reverse()
    row = int(scene.tokens.row[token, points[0]])
    flow = flow_key(scene.packets, row)
    if opener is not None:
        from_client = opener == scene.tokens.bit[token]
    else:  # it was there before: who is the client is what the path says
        from_client = direction == FORWARD if direction != UNKNOWN else flow.sport > flow.dport
    description = int(entry["description"])
    return TlsAlert(
        flow=flow, client=flow.src if from_client else flow.dst, level=LEVELS[int(entry["level"])],
        description=description, name=NAMES.get(description, f"alert {description}"),
        time_ns=int(scene.corrected_ns[row]), points=tuple(scene.names[p] for p in points),
        point=scene.names[points[0]], frame=int(scene.frames[row]),
    )  # fmt: skip
