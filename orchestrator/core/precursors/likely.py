"""Which precursor is the likely one, and where it says to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.precursor import Failed, Met, Precursor, Precursors

DIED: tuple[Failed, ...] = ("burst", "silent", "reset")
"""Kinds of failure in which connections died, the worst first."""
POLICY: frozenset[Met] = frozenset(("syn-unanswered", "syn-refused", "icmp-prohibited", "icmp-unreachable"))
NAME_SERVICE: frozenset[Met] = frozenset(("dns-failure", "dns-no-answer", "dns-slow"))


def likely(precursors: Precursors) -> Precursor | None:
    """Return what most likely has to do with the failures; None where nothing stands out.

    That is the best supported one; where there is none, for want of cases or of windows to compare with, what came
    before every one of them and before no control, if nothing that says to look elsewhere did as well.  Single resets
    are everywhere: where several connections of a client died at once, those are the failures.
    """
    worst = _worst(precursors)
    supported = [r for r in precursors.rows if r.verdict == "supported"]
    if supported:
        return min(supported, key=lambda r: (r.failure != worst, not domain_of(r), r.p, -r.exposed_cases, r.event))
    always = [r for r in precursors.rows if r.failure == worst and r.always]
    pointing = [r for r in always if domain_of(r)]
    return pointing[0] if len({domain_of(r) for r in pointing}) == 1 else None


def _worst(precursors: Precursors) -> Failed | None:
    """Return the kind of failure that matters most; None where no connection died."""
    there = {f.kind for f in precursors.failures}
    return next((kind for kind in DIED if kind in there), None)


def domain_of(row: Precursor) -> str:
    """Return the domain of the headline that *row* speaks for, empty where it speaks for none."""
    return "policy" if row.event in POLICY else "name-service" if row.event in NAME_SERVICE else ""
