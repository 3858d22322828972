"""Exchange times with a host over one persistent channel, so that no fork or connection lies between the two clocks.

The caller keeps the exchange with the shortest round trip: the host's clock was read somewhere within it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Self

from probes.errors import AgentError
from probes.spec import ClockSample

if TYPE_CHECKING:
    from types import TracebackType

    from probes.transport import Dialogue, Transport

# The first that works: a clock that is read without a fork beats one that needs a new process for each reading
# (`date`: 0.3 ms late, always in the same direction). Each prints its name, then seconds.fraction for every line.
# A labelled date with whole seconds only is better than no bound at all.
_LOOP = r"""
LC_ALL=C; export LC_ALL
b='[ -n "${EPOCHREALTIME:-}" ] || exit 1; echo bash; while read -r _; do echo "$EPOCHREALTIME"; done'
p='import sys, time
print("python3", flush=True)
for _ in sys.stdin: print("%d.%09d" % divmod(time.time_ns(), 10**9), flush=True)'
l='$| = 1; use Time::HiRes "clock_gettime"; print "perl\n"; printf("%.6f\n", clock_gettime(0)) while <STDIN>'
command -v bash >/dev/null 2>&1 && bash -c '[ -n "${EPOCHREALTIME:-}" ]' 2>/dev/null && exec bash -c "$b" 2>/dev/null
command -v python3 >/dev/null 2>&1 && python3 -I -S -c 'import time; time.time_ns()' 2>/dev/null &&
    exec python3 -I -S -c "$p" 2>/dev/null
command -v perl >/dev/null 2>&1 && perl -MTime::HiRes -e 1 2>/dev/null && exec perl -e "$l" 2>/dev/null
case $(date +%N) in
*[!0-9]* | '') echo date-seconds; while read -r _; do date +%s; done ;;
*) echo date; while read -r _; do date +%s.%N; done ;;
esac
"""
_ANSWER = re.compile(r"(\d{1,12})(?:[.,](\d{1,9}))?")
_START_TIMEOUT_S = 15.0
_EXCHANGE_TIMEOUT_S = 10.0


class ClockChannel:
    """A loop on the host that answers each line with its time.

    Raises:
        ProbeError: On entering, when the host cannot run the loop.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._dialogue: Dialogue | None = None
        self.method = "none"
        """How the host reads its clock: bash, python3, perl, date or date-seconds."""

    def __enter__(self) -> Self:
        """Start the loop."""
        self._dialogue = self._transport.open_dialogue(["sh", "-c", _LOOP])
        try:
            self.method = self._dialogue.read_line(_START_TIMEOUT_S).strip()
        except BaseException:
            self._dialogue.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the loop."""
        if self._dialogue is not None:
            self._dialogue.close()

    def exchange(self, count: int) -> tuple[ClockSample, ...]:
        """Return *count* exchanges.

        Raises:
            ProbeError: The loop ended, did not answer in time, or said something else.
        """
        return tuple(self._one() for _ in range(count))

    def _one(self) -> ClockSample:
        assert self._dialogue is not None, "use it in a with statement"  # a promise to the reader
        before_ns = time.time_ns()
        self._dialogue.send_line("")
        answer = self._dialogue.read_line(_EXCHANGE_TIMEOUT_S)
        after_ns = time.time_ns()
        host_ns = parse_time(answer)
        if host_ns is None:
            msg = f"{self._transport.place}: the clock loop ({self.method}) said {answer[:80]!r}"
            raise AgentError(msg, code="clock", hint="Look at the start-up files of the log-in shell on the host.")
        return ClockSample(before_ns=before_ns, host_ns=host_ns, after_ns=after_ns)


def parse_time(text: str) -> int | None:
    """Return seconds with up to nine decimals as nanoseconds, or None; never through a float."""
    match = _ANSWER.fullmatch(text.strip())
    if not match:
        return None
    return int(match[1]) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))
