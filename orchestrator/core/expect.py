"""Hold the result against what the playbook expects; what the data cannot show is undecidable, never a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.expect_clients import connections, precursor
from orchestrator.model.finding import Expected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from orchestrator.core.expect_clients import Clients
    from orchestrator.model.finding import Reset, SegmentRow
    from orchestrator.model.playbook import Expectation

    Verdict = tuple[Literal["pass", "fail", "undecidable"], str]


def hold_against(
    expectations: Sequence[Expectation], segments: Sequence[SegmentRow], resets: Sequence[Reset],
    clients: Clients | None = None,
) -> tuple[Expected, ...]:  # fmt: skip
    """Return what became of each expectation."""
    return tuple(_one(e, segments, resets, clients) for e in expectations)


def _one(
    expectation: Expectation, segments: Sequence[SegmentRow], resets: Sequence[Reset], clients: Clients | None
) -> Expected:
    settings = expectation.settings
    name = " ".join([expectation.kind, *(f"{k} {v}" for k, v in settings.items())])
    rows = [r for r in segments if not r.inferred and not r.span and _is_meant(r, settings.get("segment"))]
    if settings.get("flow"):
        outcome, reason = _undecidable("counts are not split by flow; leave `flow` out to check all of them")
    elif expectation.kind == "resets":
        outcome, reason = _resets(expectation, resets)
    elif expectation.kind in {"precursor", "connection"}:
        judged = precursor if expectation.kind == "precursor" else connections
        outcome, reason = _undecidable("connections were not looked at") if clients is None else (
            judged(expectation, clients)
        )  # fmt: skip
    elif not any(r.sent for r in rows):
        outcome, reason = _undecidable("no packet was measured there")
    elif expectation.kind == "loss":
        outcome, reason = _worst([_loss(r, expectation.limits["below"]) for r in rows if r.sent])
    else:
        outcome, reason = _worst([v for r in rows if r.sent for v in _delays(r, expectation)])
    return Expected(name=name, outcome=outcome, reason=reason)


def _undecidable(reason: str) -> Verdict:
    return "undecidable", reason


def _is_meant(row: SegmentRow, segment: object) -> bool:
    """Say whether *row* is the segment that an expectation names: a link's name, ``near..far``, or every one."""
    if segment is None:
        return True
    ends = (row.near, row.far) if row.direction == "forward" else (row.far, row.near)
    return row.name == segment or f"{ends[0]}..{ends[1]}" == segment


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the first failure, else the first that could not be decided, else a pass."""
    for wanted in ("fail", "undecidable", "pass"):
        for verdict in verdicts:
            if verdict[0] == wanted:
                return verdict
    return _undecidable("nothing was measured there")


def _loss(row: SegmentRow, below: float) -> Verdict:
    where = f"{row.near} → {row.far}"
    if row.loss is None:
        return _undecidable(f"{where}: nothing could be decided")
    said = f"{where}: {row.loss.rate:.3%} lost, 95 %: {row.loss.low:.3%}–{row.loss.high:.3%}"
    if row.loss.high < below:
        return "pass", said
    return ("fail", said) if row.loss.low >= below else _undecidable(said)


def _delays(row: SegmentRow, expectation: Expectation) -> list[Verdict]:
    where = f"{row.near} → {row.far}"
    found: list[Verdict] = []
    for key, limit in expectation.limits.items():
        quantile = key.removesuffix("_below")
        if row.delay is None:
            found.append(_undecidable(f"{where}: no delay was measured"))
            continue
        value, margin = int(getattr(row.delay, quantile)), row.delay.uncertainty
        if margin is None:
            found.append(_undecidable(f"{where}: the clocks are not bounded"))
            continue
        said = f"{where}: {quantile} {value / 1e6:.3f} ms ± {margin / 1e6:.3f} ms"
        if value + margin < limit:
            found.append(("pass", said))
        else:
            found.append(("fail", said) if value - margin >= limit else _undecidable(said))
    return found


def _resets(expectation: Expectation, resets: Sequence[Reset]) -> Verdict:
    """Count what is certainly born there; what has no certain maker may be born there as well."""
    place = str(expectation.settings.get("born_in", "anywhere"))
    certain = sum(_is_born_in(r, place) for r in resets)
    open_count = 0 if place == "anywhere" else sum(r.origin == "unknown" for r in resets)
    limit = expectation.limits["at_most"]
    said = f"{certain:,} of {len(resets):,} resets are born there"
    if certain > limit:
        return "fail", said
    if certain + open_count > limit:
        return _undecidable(f"{said}; {open_count:,} have no certain maker")
    return "pass", said


def _is_born_in(reset: Reset, place: str) -> bool:
    if place == "anywhere":
        return True
    if place in {"network", "endpoint"}:
        return reset.origin == place
    return reset.origin == "endpoint" and reset.side == place
