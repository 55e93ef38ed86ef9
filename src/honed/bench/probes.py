"""What the machine can do, measured in the same run as the systems: reading memory and multiplying.

Each probe runs in a process of its own with the workload's number of threads.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from honed.bench.isolate import call_isolated

SECONDS = 0.4
_MATRIX = 1024

# The pools of the BLAS libraries that numpy is built with.
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Probe:
    """Bytes read a second from a buffer as large as the weights, int8 operations a second from registers, and float32
    operations a second of a large matrix product of numpy's BLAS. An operation is half a multiply-add.
    """

    read_bytes_s: float
    int8_operations_s: float
    float32_operations_s: float


def probe(threads: int, weight_bytes: int) -> Probe:
    """Measures in a fresh process; takes about a second and a half."""
    values = call_isolated(
        "honed.bench.probes:probe_in_worker",
        {"threads": threads, "mebibytes": max(1, round(weight_bytes / 2**20)), "seconds": SECONDS},
        environment=dict.fromkeys(_BLAS_THREADS, str(threads)),
    )
    return Probe(**values)


def probe_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls. arguments: threads, mebibytes, seconds."""
    from honed.native import extension

    threads, seconds = arguments["threads"], arguments["seconds"]
    return dataclasses.asdict(
        Probe(
            read_bytes_s=extension.measure_read_bandwidth(threads, arguments["mebibytes"], seconds),
            int8_operations_s=extension.measure_integer_peak(threads, seconds),
            float32_operations_s=matrix_product_rate(seconds),
        )
    )


def matrix_product_rate(seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Operations a second of the best of the square float32 products that fit the time; at least two are done."""
    import numpy as np

    generator = np.random.default_rng(0)
    a = generator.standard_normal((_MATRIX, _MATRIX), dtype=np.float32)
    b = generator.standard_normal((_MATRIX, _MATRIX), dtype=np.float32)
    out = a @ b
    best = float("inf")
    begin = clock()
    while True:
        before = clock()
        np.matmul(a, b, out=out)
        after = clock()
        best = min(best, after - before)
        if after - begin >= seconds:
            return 2.0 * _MATRIX**3 / best
