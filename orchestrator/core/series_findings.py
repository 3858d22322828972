"""Sentences about loss before a point that numbers of encrypted and media packets tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.model.finding import Finding

if TYPE_CHECKING:
    from orchestrator.core.grounds import Grounds
    from orchestrator.model.series import SeriesLoss

TITLES = {"esp": "IPsec (ESP)", "wireguard": "WireGuard", "dtls": "DTLS", "rtp": "what looks like RTP"}


def series_findings(grounds: Grounds) -> list[Finding]:
    """Return one finding for each point and direction before which numbers are missing."""
    return [_before(loss) for loss in grounds.series if loss.lost]


def _before(loss: SeriesLoss) -> Finding:
    """Word what is missing before one point."""
    names = " and ".join(TITLES[k] for k in loss.kinds)
    way = "towards the servers" if loss.direction == "forward" else "towards the clients"
    total = loss.lost + loss.received
    several = f"{loss.series:,} series" if loss.series > 1 else "one series"
    alternatives = ["a part of the series took another way past the point", "a sender that left numbers out"]
    alternatives.append(
        "a mirror port that lost copies" if loss.counted else "a capture without drop counters that missed them"
    )
    return Finding(
        id=f"series-{loss.point}-{loss.direction}", kind="series", verdict="supported",
        statement=f"Inferred from the numbers of {names}: {loss.lost:,} of {total:,} packets {way} were lost before"
        f" they came to {loss.point}, in {several}; no point saw them.",
        segment=(None, loss.point), alternatives=tuple(alternatives),
        would_change_it=("a capture point on that side",),
    )  # fmt: skip
