"""Sorting by digits gives exactly what sorting by comparison gives."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.core.sort import WORTH_IT, by_group, number_values, stable_order, together

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


def as_hashes(name, count):
    """Return a column as unsigned numbers, whatever they were."""
    return KEYS[name][:count].astype(np.uint64 if KEYS[name].dtype == np.uint64 else np.int64).view(np.uint64)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("count", [0, 1, COUNT])
def test_values_are_numbered_as_numpy_numbers_them(name, count):
    """Ascending, with the first place of each; more distinct ones than the table first has room for."""
    values = as_hashes(name, count)
    _, first, number = np.unique(values, return_index=True, return_inverse=True)
    got = number_values(values)
    assert np.array_equal(got[0], first)
    assert np.array_equal(got[1], number)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("count", [0, 1, WORTH_IT - 1, COUNT])
def test_equal_values_come_together(name, count):
    """Each once in a row of its own, its places ascending, also where nothing but the lowest bits differ."""
    values = as_hashes(name, count)
    order, ordered = together(values)
    assert np.array_equal(ordered, values[order])
    starts = np.flatnonzero(np.diff(values[order], prepend=values[order][:1]) != 0)
    assert np.array_equal(np.sort(order), np.arange(count))
    assert len(starts) == max(len(np.unique(values)) - 1, 0)
    assert all((np.diff(part) > 0).all() for part in np.split(order, starts))


def test_members_of_a_group_keep_their_order():
    """Groups ascending; places that are not given are left out."""
    order, group = np.arange(COUNT)[::-3].copy(), KEYS["flows"].astype(np.int64)
    got = by_group(order, group)
    assert np.array_equal(got, order[np.argsort(group[order], kind="stable")])
