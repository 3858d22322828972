"""Could packets of one point be inside packets of another?"""

from __future__ import annotations

from orchestrator.jit import kernel

BUCKET_BYTES = 32
"""Sizes are told apart no finer: padding blurs them."""


@kernel
def find_carriers(time, size, carrier_time, begins, early_ns, late_ns, least, most, hit):
    """Say for each packet whether something came by at the right time that is larger by what a tunnel adds.

    Args: time, size int64[:] by packet; carrier_time int64[:] by carrier, in ascending order within each bucket of
    sizes, of which begins int64[:] says where it begins, and the last entry how many there are; early_ns, late_ns how
    far the times may lie apart; least, most by how many bytes a carrier is larger; output hit bool[:].
    """
    buckets = begins.size - 1
    for k in range(time.size):
        for bucket in range((size[k] + least) // BUCKET_BYTES, (size[k] + most) // BUCKET_BYTES + 1):
            if bucket >= buckets:
                break
            low = begins[bucket]
            high = begins[bucket + 1]
            while low < high:
                middle = (low + high) // 2
                if carrier_time[middle] < time[k] - early_ns:
                    low = middle + 1
                else:
                    high = middle
            if low < begins[bucket + 1] and carrier_time[low] <= time[k] + late_ns:
                hit[k] = True
                break
