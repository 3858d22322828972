"""Read and copy the packet blocks of a merged capture. Hostile bytes: every length is checked before it is used."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel

DAMAGED = -1


@kernel
def read_options(data, base, position, caplen, most, token, notes):
    """Read the number of the token and the tags of comments of packet blocks; return how many, DAMAGED for no block.

    Args: data uint8[:], its offset base in the file; by packet: position int64[:] of the frame in the file, caplen
    uint32[:]; most bytes that options take; outputs token int64[:] and notes uint8[:]: 1 where a line of a comment
    begins with #V, 2 with #R.
    """
    for i in range(position.size):
        frame = position[i] - base
        start = frame - 28
        if start < 0 or frame > data.size or data[start] != 6 or data[start + 1] or data[start + 2] or data[start + 3]:
            return DAMAGED
        length = np.int64(0)
        for k in range(4):
            length |= np.int64(data[start + 4 + k]) << (8 * k)
        end = start + length - 4
        at = frame + (np.int64(caplen[i]) + 3) // 4 * 4
        if end > data.size or at > end or end - at > most:
            return DAMAGED
        while at + 4 <= end:
            code = np.int64(data[at]) | (np.int64(data[at + 1]) << 8)
            size = np.int64(data[at + 2]) | (np.int64(data[at + 3]) << 8)
            at += 4
            if code == 0 or at + size > end:
                break
            if code == 5 and size == 8:
                number = np.uint64(0)
                for k in range(8):
                    number |= np.uint64(data[at + k]) << np.uint64(8 * k)
                if number < np.uint64(1 << 62):
                    token[i] = np.int64(number)
            elif code == 1:
                for k in range(at, at + size - 1):
                    if data[k] == 35 and (k == at or data[k - 1] == 10):
                        if data[k + 1] == 86:
                            notes[i] |= 1
                        elif data[k + 1] == 82:
                            notes[i] |= 2
            at += (size + 3) // 4 * 4
    return position.size


@kernel
def copy_blocks(out, at, begin, data, base, position):
    """Copy packet blocks to *out* from *at* on until it is full; return (end, blocks done).

    Args: out, data uint8[:]; base the offset of data in the file; position int64[:] of the frames in the file; begin
    the first to copy.
    """
    for i in range(begin, position.size):
        start = position[i] - base - 28
        length = np.int64(0)
        for k in range(4):
            length |= np.int64(data[start + 4 + k]) << (8 * k)
        if at + length > out.size:
            return at, i
        target = out[at : at + length]
        block = data[start : start + length]
        if target.size != length or block.size != length:
            raise IndexError
        for k in range(length):
            target[k] = block[k]
        at += length
    return at, position.size
