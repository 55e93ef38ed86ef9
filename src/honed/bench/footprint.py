"""What a token costs the engine: bytes of packed weights and operations, counted from a lowered plan."""

from __future__ import annotations

from collections import Counter

from honed.backends.kv_cache import kv_bytes_per_position, kv_dtype
from honed.bench.peers.base import Arithmetic, Footprint
from honed.plan.formats import KvPolicy
from honed.plan.lowered import LoweredPlan, MatrixWeight
from honed.plan.lowered_ops import ExpertMatmulOp, MatmulOp


def plan_footprint(plan: LoweredPlan, kv: KvPolicy = "auto") -> Footprint:
    """Counts every matmul of the plan; its last one is the head. Biases, norms and the embedded row are left out:
    together they are under a thousandth. kv: of the cache, as in `NativeConfig`."""
    matrices = [_matrix(plan, op.matrix) for op in plan.ops if isinstance(op, MatmulOp)]
    operations = [_operations(matrix) for matrix in matrices]
    by_arithmetic: Counter[Arithmetic] = Counter()
    for matrix, count in zip(matrices[:-1], operations, strict=False):
        by_arithmetic["int8" if matrix.format.quantizes else "float32"] += count
    experts = [op for op in plan.ops if isinstance(op, ExpertMatmulOp)]
    expert_bytes, chosen_bytes, chosen_operations = 0, 0, 0
    for op in experts:
        of_op = [_matrix(plan, number) for number in op.matrices]
        share = op.chosen / len(of_op)
        size, count = sum(map(_packed_bytes, of_op)), round(share * sum(map(_operations, of_op)))
        expert_bytes += size
        chosen_bytes += round(share * size)
        chosen_operations += count
        by_arithmetic["int8" if of_op[0].format.quantizes else "float32"] += count
    return Footprint(
        weight_bytes=sum(map(_packed_bytes, matrices)) + chosen_bytes,
        kv_bytes_per_position=kv_bytes_per_position(plan, kv_dtype(plan, kv)),
        prompt_operations=sum(operations[:-1]) + chosen_operations,
        head_operations=operations[-1],
        arithmetic=by_arithmetic.most_common(1)[0][0],
        expert_bytes=expert_bytes,
        expert_share=chosen_bytes / expert_bytes if experts else 1.0,
    )


def _operations(matrix: MatrixWeight) -> int:
    return 2 * matrix.k * sum(part.rows for part in matrix.parts)


def _packed_bytes(matrix: MatrixWeight) -> int:
    return matrix.format.packed_bytes(matrix.columns, matrix.k)


def weights_label(plan: LoweredPlan) -> str:
    """How most bytes of the matrices are held: `bfloat16`, `int8`, `int4 group 32`."""
    size: Counter[str] = Counter()
    dense = [op.matrix for op in plan.ops if isinstance(op, MatmulOp)]
    for number in (*dense, *(number for op in plan.ops if isinstance(op, ExpertMatmulOp) for number in op.matrices)):
        matrix = _matrix(plan, number)
        size[matrix.format.label] += _packed_bytes(matrix)
    return size.most_common(1)[0][0]


def _matrix(plan: LoweredPlan, number: int) -> MatrixWeight:
    matrix = plan.weights[number]
    assert isinstance(matrix, MatrixWeight)  # verify_layout
    return matrix
