"""Why packets vanish: simulated paths whose fault is known, judged from their captures alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.core.analyses.mechanism_tests import auc, token_bucket
from orchestrator.core.analyses.sample import UNKNOWN, Sample
from orchestrator.core.causes import TITLES, mechanism_findings
from tests.support.pathsim.mechanisms import TRUTHS, judged

SILENT = "not-distinguishable"
NIGHTLY_SEEDS = 30


def said(row):
    """Return the cause that a row states; too few losses to try count as not distinguishable."""
    return row.mechanism.cause if row.mechanism is not None else SILENT


@pytest.mark.parametrize("fault", TRUTHS)
def test_each_fault_is_named(fault):
    """Three cases of each, with other rates, windows, clocks and captures."""
    rows = [judged(fault, seed) for seed in range(3)]
    assert [said(row) for row in rows] == [TRUTHS[fault]] * 3
    sentences = [f.statement for row in rows for f in mechanism_findings([row])]
    assert len(sentences) == (3 if TRUTHS[fault] in TITLES else 0)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_confusion_matrix_is_nearly_diagonal():
    """Of 270 other cases, nine in ten of each fault are named, and at most one in fifty anything else is."""
    confusion = {fault: Counter(said(judged(fault, 1_000 + k)) for k in range(NIGHTLY_SEEDS)) for fault in TRUTHS}
    print(*confusion.items(), sep="\n")  # noqa: T201  # the table is what the night is for
    for fault, causes in confusion.items():
        assert causes[TRUTHS[fault]] >= 0.9 * NIGHTLY_SEEDS, (fault, causes)
    wrong = sum(n for f, causes in confusion.items() for c, n in causes.items() if c not in {TRUTHS[f], SILENT})
    assert wrong <= NIGHTLY_SEEDS * len(TRUTHS) / 50


@given(cases=st.lists(st.integers(0, 9), min_size=1), others=st.lists(st.integers(0, 9), min_size=1))
def test_auc_is_the_share_of_pairs(cases, others):
    """Against the definition."""
    pairs = [(a > b) + (a == b) / 2 for a in cases for b in others]
    assert auc(np.array(cases), np.array(others)) == pytest.approx(sum(pairs) / len(pairs))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), mbit=st.floats(2, 40), burst=st.integers(5_000, 60_000))
def test_a_token_bucket_is_found_again(seed, mbit, burst):
    """Rate and depth of a policer, from what it let pass."""
    source = np.random.default_rng(seed)
    count = 6_000
    trains = source.integers(5, 60, count // 20)
    size = source.choice([40, 1_040, 1_480], count)
    pause = mbit and np.where(np.isin(np.arange(count), np.cumsum(trains)), 40_000_000, 20_000)
    sent = np.cumsum((pause * source.uniform(0.5, 1.5, count)).astype(np.int64))
    level, at, lost = float(burst), int(sent[0]), np.zeros(count, np.bool_)
    for k in range(count):
        level = min(float(burst), level + (int(sent[k]) - at) * mbit / 8e3)
        at = int(sent[k])
        lost[k] = level < size[k]
        level -= 0 if lost[k] else size[k]
    zeros = np.zeros(count, np.int64)
    found = token_bucket(
        Sample(
            sent_ns=sent, lost=lost, excess_ns=np.full(count, UNKNOWN), payload=size - 40, way=zeros,
            host=zeros.astype(np.uint64), service=zeros.astype(np.uint64),
        )
    )  # fmt: skip
    if len(np.flatnonzero(lost)) >= 20:
        assert found.auc > 0.97
