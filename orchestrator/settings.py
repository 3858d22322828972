"""What the environment says; a flag of a command goes before it, a default behind it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings that no file holds."""

    broker: str | None
    runs: Path
    store_key: str | None

    def __repr__(self) -> str:
        """Leave the key out: a settings object may end in a log."""
        return f"Settings(broker={'set' if self.broker else None}, runs={str(self.runs)!r})"


def read_settings(*, broker: str | None = None, runs: Path | None = None) -> Settings:
    """Return flags where given, else the environment, else defaults.

    Raises:
        InputError: The broker's URL is of a kind that is not supported.
    """
    url = broker or os.environ.get("VANISHPOINT_BROKER") or None
    if url is not None and not url.startswith(("redis://", "rediss://", "redis+socket://")):
        msg = f"broker {url.partition('://')[0]}://…: not supported"
        raise InputError(msg, hint="Use redis://HOST:PORT/DB or rediss://…")
    directory = runs or Path(os.environ.get("VANISHPOINT_RUNS") or "runs")
    return Settings(broker=url, runs=directory, store_key=os.environ.get("VANISHPOINT_STORE_KEY"))
