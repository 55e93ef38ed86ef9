"""What a token costs the engine: bytes of packed weights and operations, counted from a lowered plan."""

from __future__ import annotations

from collections import Counter

from honed.backends.kv_cache import kv_bytes_per_position, kv_dtype
from honed.bench.peers.base import Arithmetic, Footprint
from honed.encodings.scheme import OFFSET_BYTES
from honed.plan.formats import BlocksFormat, CodebookFormat, DenseFormat, Format, Int4Format, Int8Format, KvPolicy
from honed.plan.lowered import LoweredPlan, MatmulOp, MatrixWeight

_TILE_DEPTH = 64
_FLOAT32 = 4
_FLOAT16 = 2
_BYTES_OF_256 = {"Q4_K": 148, "Q5_K": 276, "Q5_1": 288, "Q6_K": 274}
"""What 256 weights of one output take in packed super-blocks: codes of four or eight bits, factors, levels."""


def plan_footprint(plan: LoweredPlan, kv: KvPolicy = "auto") -> Footprint:
    """Counts every matmul of the plan; its last one is the head. Biases, norms and the embedded row are left out:
    together they are under a thousandth. kv: of the cache, as in `NativeConfig`."""
    matmuls = [op for op in plan.ops if isinstance(op, MatmulOp)]
    matrices = [_matrix(plan, op) for op in matmuls]
    operations = [2 * matrix.k * sum(part.rows for part in matrix.parts) for matrix in matrices]
    by_arithmetic: Counter[Arithmetic] = Counter()
    for matrix, count in zip(matrices[:-1], operations, strict=False):
        by_arithmetic["float32" if isinstance(matrix.format, DenseFormat) else "int8"] += count
    return Footprint(
        weight_bytes=sum(packed_bytes(matrix) for matrix in matrices),
        kv_bytes_per_position=kv_bytes_per_position(plan, kv_dtype(plan, kv)),
        prompt_operations=sum(operations[:-1]),
        head_operations=operations[-1],
        arithmetic=by_arithmetic.most_common(1)[0][0],
    )


def packed_bytes(matrix: MatrixWeight) -> int:
    """Bytes of the packed panels and their scales, padding included (the layouts of native/cpu/kernel_table.h)."""
    match matrix.format:
        case DenseFormat(dtype):
            return matrix.columns * matrix.k * (4 if dtype == "float32" else 2)
        case Int8Format(group=None):
            return matrix.columns * (_up(matrix.k, _TILE_DEPTH) + _FLOAT32)
        case Int8Format(group=int(group)):
            depth = _up(matrix.k, group)
            return matrix.columns * (depth + depth // group * _FLOAT16)
        case Int4Format(group=group, offset=offset):
            depth = _up(matrix.k, group)
            return matrix.columns * (depth // 2 + depth // group * (_FLOAT16 + OFFSET_BYTES[offset]))
        case CodebookFormat(group=group):
            depth = _up(matrix.k, group)
            return matrix.columns * (depth // 2 + depth // group * _FLOAT16)
        case BlocksFormat(type_name=name):
            return matrix.columns * (matrix.k * _BYTES_OF_256[name] // 256)
    raise TypeError(f"unknown format {matrix.format}")


def weights_label(plan: LoweredPlan) -> str:
    """How most bytes of the matrices are held: `bfloat16`, `int8`, `int4 group 32`."""
    size: Counter[str] = Counter()
    for op in plan.ops:
        if isinstance(op, MatmulOp):
            matrix = _matrix(plan, op)
            size[_label(matrix.format)] += packed_bytes(matrix)
    return size.most_common(1)[0][0]


def _label(form: Format) -> str:
    if isinstance(form, DenseFormat):
        return form.dtype
    if isinstance(form, BlocksFormat):
        return f"{form.type_name} blocks"
    name = "int8" if isinstance(form, Int8Format) else "int4" if isinstance(form, Int4Format) else "codebook"
    return name if form.group is None else f"{name} group {form.group}"


def _matrix(plan: LoweredPlan, op: MatmulOp) -> MatrixWeight:
    matrix = plan.weights[op.matrix]
    assert isinstance(matrix, MatrixWeight)  # verify_layout
    return matrix


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
