"""Is there room for what is to be generated and written? Said before anything is made, not by a full disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.scenario import Scenario

MIB = 1 << 20
OUTPUT_FACTOR = 1.6
"""What a program writes for each byte it reads, at most: a merged pcapng adds headers and comments. One at a time."""
PLAYED_BYTES = 120
"""Memory of the generator for each packet, and 24 more for each point."""


def disk_needed(scenarios: Sequence[Scenario], folder: Path) -> int:
    """Return the bytes that captures not yet in *folder* and the largest output will take."""
    new = sum(one.file_bytes for one in scenarios if not (folder / one.key() / "truth.json").exists())
    return new + int(OUTPUT_FACTOR * max(one.file_bytes for one in scenarios))


def memory_needed(scenarios: Sequence[Scenario]) -> int:
    """Return the bytes that the hungriest generator will take."""
    return max(one.packets * (PLAYED_BYTES + 24 * one.points) for one in scenarios)


def memory_free() -> int:
    """Return the bytes of memory that programs could have."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def lacking(scenarios: Sequence[Scenario], folder: Path) -> str | None:
    """Return what there is too little of, None where all fits."""
    free, needed = shutil.disk_usage(folder).free, disk_needed(scenarios, folder)
    if free < needed:
        return f"{folder}: {needed // MIB:,} MiB of disk are needed, {free // MIB:,} are free"
    memory, hungry = memory_free(), memory_needed(scenarios)
    if memory < hungry:
        return f"{hungry // MIB:,} MiB of memory are needed to generate the captures, {memory // MIB:,} are free"
    return None


def remark(scenarios: Sequence[Scenario]) -> str | None:
    """Return what must be told where the files will not stay in memory while they are worked on."""
    largest, memory = int((1 + OUTPUT_FACTOR) * max(one.file_bytes for one in scenarios)), memory_free()
    if largest <= memory:
        return None
    return (
        f"up to {largest // MIB:,} MiB of captures and output, {memory // MIB:,} MiB of memory: "
        "the largest rows measure the disk too"
    )
