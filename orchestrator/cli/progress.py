"""Say what a run is doing: plain lines, a live table on a terminal, or JSON lines. All on stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import escape

if TYPE_CHECKING:
    from collections.abc import Callable

NS = 1_000_000_000


def reporter(*, as_json: bool) -> Callable[[str, dict[str, Any]], None]:
    """Return the function that a driver tells what happens."""
    return _json_line if as_json else _Lines(time.monotonic())


def _json_line(event: str, fields: dict[str, Any]) -> None:
    click.echo(json.dumps({"msgid": event, "time_ns": time.time_ns(), **fields}, ensure_ascii=True), err=True)


class _Lines:
    """Plain lines; while the window is open, one line that is written over on a terminal."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.live = sys.stderr.isatty()
        self.armed = 0
        self.stuck = False

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        text = self._text(event, fields)
        if text is None:
            return
        passing = event == "capture.state"
        if passing and not self.live:
            return
        start = "\r\x1b[K" if self.stuck else ""
        self.stuck = passing
        click.echo(f"{start}{time.monotonic() - self.begun:6.1f} s  {escape(text)}", err=True, nl=not passing)

    def _text(self, event: str, fields: dict[str, Any]) -> str | None:  # noqa: PLR0911, C901  # one return a case reads best
        match event:
            case "capture.arming":
                return f"arming {len(fields['points'])} points: {', '.join(fields['points'])}"
            case "point.armed":
                self.armed += 1
                return f"armed  {fields['point']} ({fields['link_type']}, tcpdump {fields['tcpdump']})"
            case "point.failed":
                return f"FAILED {fields['point']}: {fields['message']}\n          cure: {fields['cure']}"
            case "point.warning":
                return f"WARN   {fields['point']}: {fields['message']}"
            case "capture.window_open":
                return f"WINDOW OPEN on {len(fields['points'])} points: reproduce now"
            case "capture.state":
                return _state(fields["points"])
            case "capture.window_closed":
                return "window closed; waiting for the post-roll"
            case "point.collected":
                size = sum(f["size_bytes"] for f in fields["files"])
                return f"here   {fields['point']}: {size:,} bytes, SHA-256 as on the host"
            case "control.mark":
                return f"mark   {fields['text']}"
            case "control.stop":
                return "stop asked for from another shell"
            case "capture.finished":
                return f"no window: {fields['reason']}" if fields["reason"] else "all points collected"
        return None


def _state(points: dict[str, Any]) -> str:
    parts = [f"{name} {state.get('captured') or 0:,}" for name, state in sorted(points.items())]
    return "packets: " + "  ".join(parts)
