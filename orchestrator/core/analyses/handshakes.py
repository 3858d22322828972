"""How long a connection's opening took, at each point: round trips that no clock offset touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.connections_kernels import ANSWERS, OPENS, RESETS
from orchestrator.model.connection import Handshake

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene


def time_handshakes(
    scene: Scene, mine: NDArray[np.int64], from_client: NDArray[np.bool_], deed: NDArray[np.uint8]
) -> tuple[Handshake, ...]:
    """Return by point what it saw of the opening of a connection.

    Args: *mine* are its tokens in the order of time, from_client and deed theirs.
    """
    answers = np.flatnonzero((deed & ANSWERS) > 0)
    if not len(answers):
        return ()
    answer = int(answers[0])
    opens = np.flatnonzero((deed & OPENS) > 0)
    later = np.flatnonzero(from_client & ((deed & (OPENS | RESETS)) == 0))
    found = []
    for point in range(scene.tokens.row.shape[1]):
        rows = scene.tokens.row[mine, point]
        if rows[answer] < 0:
            continue
        at = int(scene.corrected_ns[rows[answer]])
        asked = scene.corrected_ns[rows[opens[rows[opens] >= 0]]]
        asked = asked[asked <= at]
        closing = scene.corrected_ns[rows[later[rows[later] >= 0]]]
        closing = closing[closing >= at]
        found.append(
            Handshake(
                point=scene.names[point], server_ns=at - int(asked[0]) if len(asked) == 1 else None,
                client_ns=int(closing.min()) - at if len(closing) else None,
            )
        )  # fmt: skip
    return tuple(found)
