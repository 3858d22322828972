"""The run store: plans by run id, sealed, so that a queue that others can write to cannot change what is captured."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.errors import EvidenceError, InputError
from orchestrator.model.codec import decode, encode
from orchestrator.model.plan import CapturePlan
from orchestrator.model.run import POINT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from orchestrator.model.run import ClockSample, RunRecord

KEY_BYTES = 32
KEY_FILE = ".store-key"
SEALED = "plan.sealed.json"


class RunJournal(Protocol):
    """Where what happens in a run is written down."""

    def append(self, event: str, **fields: object) -> object:
        """Write one event."""
        ...


class RunFiles(Protocol):
    """The directory of one run, as capturing uses it."""

    @property
    def path(self) -> Path:
        """The directory itself."""
        ...

    @property
    def control(self) -> Path:
        """Where other shells leave requests."""
        ...

    def raw(self, point: str) -> Path:
        """Return where the captures of *point* belong."""
        ...

    def write_record(self, record: RunRecord) -> None:
        """Write run.json."""
        ...

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a JSON document *name* of the run directory."""
        ...

    def append_clock(self, point: str, samples: Iterable[ClockSample]) -> None:
        """Add clock exchanges with the host of *point*."""
        ...

    def append_counters(self, point: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add what the agent sampled on the host of *point*."""
        ...


def new_key() -> bytes:
    """Return a key for a store that lives as long as this process."""
    return secrets.token_bytes(KEY_BYTES)


def shared_key(runs: Path, given: str | None) -> bytes:
    """Return the key that orchestrator and workers share: *given* (hex), or a file of *runs* that only its owner reads.

    Raises:
        InputError: The key is malformed, or others can read its file.
    """
    if given:
        try:
            return bytes.fromhex(given)
        except ValueError as error:
            msg = "VANISHPOINT_STORE_KEY is not hexadecimal"
            raise InputError(msg, hint="Make one with: openssl rand -hex 32") from error
    path = runs / KEY_FILE
    runs.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_key(path)
    if path.stat().st_mode & 0o077:
        msg = f"{path}: others may read the store key"
        raise InputError(msg, hint=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        msg = f"{path}: no store key"
        raise InputError(msg, hint="Remove it and start the workers again; runs that are under way must be repeated.")
    return key


def _write_key(path: Path) -> None:
    """Make a key; of several workers that start at once, one wins and the others never see half of it."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(new_key().hex() + "\n")
    try:
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink()


class RunStore:
    """Where orchestrator and workers find a run: a directory that both see; *open_run* knows its layout."""

    def __init__(self, runs: Path, key: bytes, open_run: Callable[[Path], RunFiles]) -> None:
        self.runs = runs
        self._key = key
        self._open_run = open_run

    def run(self, run_id: str) -> RunFiles:
        """Return the directory of *run_id*."""
        if not POINT_NAME.match(run_id):
            msg = f"{run_id!r} is no run id"
            raise InputError(msg, hint="It comes from `vanishpoint run`.")
        return self._open_run(self.runs / run_id)

    def seal(self, run_id: str, plan: CapturePlan) -> None:
        """Store the plan of *run_id*."""
        body = encode(plan)
        self.run(run_id).write_json(SEALED, {"plan": body, "seal": self._seal(run_id, body)})

    def plan(self, run_id: str) -> CapturePlan:
        """Return the plan of *run_id*.

        Raises:
            EvidenceError: It was changed after it was sealed, or sealed with another key.
            InputError: There is none.
        """
        path = self.run(run_id).path / SEALED
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            body, seal = data["plan"], str(data["seal"])
        except OSError as error:
            hint = "Worker and orchestrator must see the same --runs directory."
            msg = f"{path}: {error.strerror}"
            raise InputError(msg, hint=hint) from error
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{path}: not a sealed plan"
            raise EvidenceError(msg, hint="Start the run again.") from error
        if not hmac.compare_digest(seal, self._seal(run_id, body)):
            hint = "Give worker and orchestrator the same store key, or start the run again."
            msg = f"{path}: the seal does not fit the plan"
            raise EvidenceError(msg, hint=hint)
        return decode(CapturePlan, body)

    def _seal(self, run_id: str, body: object) -> str:
        text = json.dumps([run_id, body], sort_keys=True, ensure_ascii=True).encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
