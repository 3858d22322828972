"""The run directory: where each file of a run stands, and how it is written so that no half file is ever read."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.model.codec import decode, encode
from orchestrator.model.run import POINT_NAME, ClockSample, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def new_run_id(now_ns: int, token: str) -> str:
    """Return ``YYYYMMDD-HHMMSS-xxxx`` for a moment and a random *token*."""
    moment = time.gmtime(now_ns // 1_000_000_000)
    return f"{time.strftime('%Y%m%d-%H%M%S', moment)}-{token[:4]}"


class RunDirectory:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "run.json"
        self.result = path / "result.json"
        self.vanished = path / "vanished.jsonl"
        self.report_text = path / "report.txt"
        self.merged = path / "merged.pcapng"
        self.view = path / "view.pcapng"
        self.aligned = path / "aligned"
        self.journal = path / "journal.jsonl"
        self.control = path / "control"

    def create(self) -> RunDirectory:
        """Make the directory, for its owner alone."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.chmod(0o700)
        return self

    def raw(self, point: str) -> Path:
        """Return where the captures of *point* belong."""
        return self._of_point("raw", point, directory=True)

    def read_record(self) -> RunRecord:
        """Return run.json.

        Raises:
            InputError: There is none, or it cannot be read.
        """
        try:
            data = json.loads(self.record.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            hint = "Name a run directory, or an id below --runs."
            msg = f"{self.path}: no run (run.json is missing)"
            raise InputError(msg, hint=hint) from error
        except ValueError as error:
            msg = f"{self.record}: not JSON: {error}"
            raise InputError(msg, hint="Restore it from the evidence set.") from error
        return decode(RunRecord, data)

    def write_record(self, record: RunRecord) -> None:
        """Write run.json."""
        self.write_json("run.json", {"schema": 1, **encode(record)})

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a JSON document *name* of the run directory."""
        self.write_text(name, _by_lines(data))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file *name* of the run directory; readers see the old or the new one, never a part."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        with beside.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(target)

    def append_clock(self, point: str, samples: Iterable[ClockSample]) -> None:
        """Add clock exchanges with the host of *point*."""
        self._append("clock", point, (encode(s) for s in samples))

    def read_clock(self, point: str) -> tuple[ClockSample, ...]:
        """Return the clock exchanges of *point*; none when there were none. A last line cut by a crash is left out."""
        path = self._of_point("clock", point)
        if not path.exists():
            return ()
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return tuple(decode(ClockSample, json.loads(line)) for line in lines)

    def append_counters(self, point: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add what the agent sampled on the host of *point*."""
        self._append("counters", point, rows)

    def _append(self, folder: str, point: str, rows: Iterable[Mapping[str, Any]]) -> None:
        path = self._of_point(folder, point)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
        with path.open("a", encoding="utf-8") as out:
            out.write(text)

    def _of_point(self, folder: str, point: str, *, directory: bool = False) -> Path:
        if not POINT_NAME.match(point):
            hint = "Begin with a letter or digit; then letters, digits, dot, underscore, hyphen."
            msg = f"{point!r} is no name of a capture point"
            raise InputError(msg, hint=hint)
        return self.path / folder / (point if directory else f"{point}.jsonl")


def _by_lines(data: Mapping[str, Any]) -> str:
    """Return *data* as JSON with one line a field, and a line an entry where the field is a list.

    Good to read and to compare, and the standard library writes it ten times as fast as with an indent.
    """
    fields = (f" {json.dumps(name)}: {_field(value)}" for name, value in data.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _field(value: Any) -> str:  # noqa: ANN401  JSON is what it is
    """Return the value of one field as JSON."""
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n  " + ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in value) + "\n ]"


def find_run(runs: Path, name: str) -> RunDirectory:
    """Return the run *name*: a path, or an id below *runs*.

    Raises:
        InputError: There is no such run.
    """
    for candidate in (Path(name), runs / name):
        if (candidate / "run.json").exists():
            return RunDirectory(candidate)
    known = sorted(p.parent.name for p in runs.glob("*/run.json"))[-3:]
    hint = f"The latest below {runs}: {', '.join(known)}" if known else f"There is no run below {runs}."
    msg = f"{name}: no such run"
    raise InputError(msg, hint=hint)
