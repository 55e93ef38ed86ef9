"""What a token costs the engine: bytes of packed weights and operations, counted from a lowered plan."""

from __future__ import annotations

from collections import Counter

from honed.backends.kv_cache import kv_bytes_per_position, kv_dtype
from honed.bench.peers.base import Arithmetic, Footprint
from honed.plan.formats import KvPolicy
from honed.plan.lowered import LoweredPlan, MatrixWeight
from honed.plan.lowered_ops import MatmulOp


def plan_footprint(plan: LoweredPlan, kv: KvPolicy = "auto") -> Footprint:
    """Counts every matmul of the plan; its last one is the head. Biases, norms and the embedded row are left out:
    together they are under a thousandth. kv: of the cache, as in `NativeConfig`."""
    matmuls = [op for op in plan.ops if isinstance(op, MatmulOp)]
    matrices = [_matrix(plan, op) for op in matmuls]
    operations = [2 * matrix.k * sum(part.rows for part in matrix.parts) for matrix in matrices]
    by_arithmetic: Counter[Arithmetic] = Counter()
    for matrix, count in zip(matrices[:-1], operations, strict=False):
        by_arithmetic["int8" if matrix.format.quantizes else "float32"] += count
    return Footprint(
        weight_bytes=sum(map(_packed_bytes, matrices)),
        kv_bytes_per_position=kv_bytes_per_position(plan, kv_dtype(plan, kv)),
        prompt_operations=sum(operations[:-1]),
        head_operations=operations[-1],
        arithmetic=by_arithmetic.most_common(1)[0][0],
    )


def _packed_bytes(matrix: MatrixWeight) -> int:
    return matrix.format.packed_bytes(matrix.columns, matrix.k)


def weights_label(plan: LoweredPlan) -> str:
    """How most bytes of the matrices are held: `bfloat16`, `int8`, `int4 group 32`."""
    size: Counter[str] = Counter()
    for op in plan.ops:
        if isinstance(op, MatmulOp):
            matrix = _matrix(plan, op)
            size[matrix.format.label] += _packed_bytes(matrix)
    return size.most_common(1)[0][0]


def _matrix(plan: LoweredPlan, op: MatmulOp) -> MatrixWeight:
    matrix = plan.weights[op.matrix]
    assert isinstance(matrix, MatrixWeight)  # verify_layout
    return matrix
