"""The key that orchestrator and workers share through the runs directory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.capture.store import KEY_BYTES, KEY_FILE, shared_key
from orchestrator.errors import InputError

WORKERS = 16


def test_workers_that_start_at_once_share_one_key(tmp_path):
    """Whoever comes second must neither read half a key nor make another one."""
    for round_ in range(20):
        runs = tmp_path / str(round_)
        with ThreadPoolExecutor(WORKERS) as pool:
            keys = set(pool.map(lambda _, runs=runs: shared_key(runs, None), range(WORKERS)))
        assert len(keys) == 1
        assert len(keys.pop()) == KEY_BYTES
        assert [path.name for path in runs.iterdir()] == [KEY_FILE]


def test_the_key_is_for_its_owner_alone(tmp_path):
    """What others could read, others could seal plans with."""
    shared_key(tmp_path, None)
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(InputError, match="others may read"):
        shared_key(tmp_path, None)


@pytest.mark.parametrize("text", ["", "abcd\n", "not hexadecimal"])
def test_a_broken_key_file_is_refused(tmp_path, text):
    """An empty key would seal nothing."""
    path = tmp_path / KEY_FILE
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    with pytest.raises(InputError, match="no store key"):
        shared_key(tmp_path, None)


def test_a_given_key_goes_before_the_file(tmp_path):
    """Workers without a common directory for keys get it from their environment."""
    assert shared_key(tmp_path, "ab" * KEY_BYTES) == b"\xab" * KEY_BYTES
    assert not list(tmp_path.iterdir())
