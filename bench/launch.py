"""Run one program and say what the kernel charged for it: `launch.py PRINTED PROGRAM ARGUMENT…`, JSON on stdout.

A child begins with the peak memory of its parent, so this parent is as small as it can be and imports nothing of ours.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Wait for the program; what it prints goes to the file PRINTED."""
    printed, argv = sys.argv[1], sys.argv[2:]
    out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    began = time.perf_counter()
    child = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall_s = time.perf_counter() - began
    print(
        f'{{"wall_s": {wall_s!r}, "cpu_s": {usage.ru_utime + usage.ru_stime!r}, '
        f'"peak_mb": {usage.ru_maxrss / 1024!r}, "exit_code": {os.waitstatus_to_exitcode(status)}}}'
    )


if __name__ == "__main__":
    main()
