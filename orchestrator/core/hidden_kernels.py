"""Could packets of one point be inside packets of another?"""

from __future__ import annotations

from orchestrator.jit import kernel


@kernel
def find_carriers(time, size, carrier_time, carrier_size, early_ns, late_ns, least, most, hit):
    """Say for each packet whether something came by at the right time that is larger by what a tunnel adds.

    Args: time, size int64[:] by packet; carrier_time int64[:] in ascending order, carrier_size int64[:]; early_ns,
    late_ns how far the times may lie apart; least, most by how many bytes a carrier is larger; output hit bool[:].
    """
    for k in range(time.size):
        low = 0
        high = carrier_time.size
        while low < high:
            middle = (low + high) // 2
            if carrier_time[middle] < time[k] - early_ns:
                low = middle + 1
            else:
                high = middle
        while low < carrier_time.size and carrier_time[low] <= time[k] + late_ns:
            if least <= carrier_size[low] - size[k] <= most:
                hit[k] = True
                break
            low += 1
