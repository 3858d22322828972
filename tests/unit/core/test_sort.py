"""Sorting by digits gives exactly what sorting by comparison gives."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.core.sort import WORTH_IT, number_values, stable_order

COUNT = 3 * WORTH_IT
RANDOM = np.random.default_rng(7)
KEYS = {
    "hashes": RANDOM.integers(0, 2**64, COUNT, dtype=np.uint64),
    "times": 1_700_000_000_000_000_000 + RANDOM.integers(0, 10**10, COUNT),
    "both ends of int64": RANDOM.choice(np.array([-(2**63), -1, 0, 2**63 - 1]), COUNT),
    "flows": RANDOM.integers(0, 300, COUNT).astype(np.int32),
    "bits": RANDOM.integers(0, 2, COUNT).astype(np.uint8),
    "answers": RANDOM.random(COUNT) < 0.5,
    "all the same": np.full(COUNT, 42, np.int64),
    "sorted": np.arange(COUNT),
}


@pytest.mark.parametrize("last", KEYS)
@pytest.mark.parametrize("first", KEYS)
@pytest.mark.parametrize("count", [0, 1, WORTH_IT - 1, WORTH_IT, COUNT])
def test_it_is_what_numpy_says(first, last, count):
    """Any two columns, below and above the size from which digits are used."""
    keys = (KEYS[first][:count], KEYS[last][:count])
    assert np.array_equal(stable_order(*keys), np.lexsort(keys))


def test_the_columns_are_left_alone():
    """They belong to somebody else."""
    key = KEYS["hashes"].copy()
    stable_order(key, KEYS["flows"])
    assert np.array_equal(key, KEYS["hashes"])


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("count", [0, 1, COUNT])
def test_values_are_numbered_as_numpy_numbers_them(name, count):
    """Ascending, with the first place of each."""
    values = KEYS[name][:count]
    _, first, number = np.unique(values, return_index=True, return_inverse=True)
    got = number_values(values)
    assert np.array_equal(got[0], first)
    assert np.array_equal(got[1], number)
