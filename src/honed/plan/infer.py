"""The value that each operation gives, from the values it reads. Every disagreement is a PlanError that names both."""

from __future__ import annotations

from collections.abc import Sequence

from honed.errors import PlanError
from honed.ops.table import Weight
from honed.plan import graph as g
from honed.plan.graph import Operation, Value


def infer(operation: Operation, inputs: Sequence[Value]) -> Value:
    """Rows, width and kind of the result. PlanError if the operands do not fit the operation or each other."""
    match operation:
        case g.Embedding(table=table):
            _count(operation, inputs, 0)
            return Value("tokens", _matrix(operation, table)[1])
        case g.Linear(weight=weight, bias=bias):
            (x,) = _count(operation, inputs, 1)
            return Value(_floats(operation, x).rows, _part(operation, x, g.Part(weight, bias)))
        case g.Matmul():
            return _matmul(operation, inputs)
        case g.RmsNorm(weight=weight) | g.NormQuantize(weight=weight):
            (x,) = _count(operation, inputs, 1)
            _floats(operation, x)
            runs = x.width // max(_vector(operation, weight), 1)
            whole = isinstance(operation, g.NormQuantize)
            if runs * weight.shape[0] != x.width or (whole and runs != 1):
                raise _wrong(operation, f"weight {weight.name} has {weight.shape[0]} values for rows of {x.width}")
            if isinstance(operation, g.NormQuantize):
                return Value(x.rows, x.width, quantized=True, group=operation.group)
            return x
        case g.Quantize(group=group):
            (x,) = _count(operation, inputs, 1)
            return Value(_floats(operation, x).rows, x.width, quantized=True, group=group)
        case g.Rope():
            (x,) = _count(operation, inputs, 1)
            if x.width % operation.head_dim or 2 * len(operation.rotary.inverse_frequencies) > operation.head_dim:
                raise _wrong(operation, f"head_dim {operation.head_dim} does not fit rows of {x.width} or its rotary")
            return _tokens(operation, x)
        case g.Attention() | g.PackedAttention():
            return _attention(operation, inputs)
        case g.Gated() | g.Add():
            a, b = _count(operation, inputs, 2)
            if _floats(operation, a) != _floats(operation, b):
                raise _wrong(operation, f"operands differ: {a} and {b}")
            return a
        case g.PackedGated():
            (x,) = _count(operation, inputs, 1)
            if _floats(operation, x).width % 2:
                raise _wrong(operation, f"gate and up must be equally wide, and {x.width} is odd")
            return Value(x.rows, x.width // 2)
        case g.Concat():
            if not inputs or len({_floats(operation, x).rows for x in inputs}) != 1:
                raise _wrong(operation, "needs operands that have the same rows")
            return Value(inputs[0].rows, sum(x.width for x in inputs))
        case g.Select():
            (x,) = _count(operation, inputs, 1)
            return Value("selected", _tokens(operation, x).width)
        case _:
            raise _wrong(operation, "is not an operation of the graph")


def _attention(operation: g.Attention | g.PackedAttention, inputs: Sequence[Value]) -> Value:
    size = operation.head_dim
    if isinstance(operation, g.PackedAttention):
        (qkv,) = _count(operation, inputs, 1)
        heads, kv_heads = operation.heads, operation.kv_heads
        if _tokens(operation, qkv).width != (heads + 2 * kv_heads) * size:
            raise _wrong(operation, f"{heads} + 2 * {kv_heads} heads of {size} do not fill a row of {qkv.width}")
        if 2 * len(operation.rotary.inverse_frequencies) > size:
            raise _wrong(operation, f"head_dim {size} is narrower than its rotary")
        for norm in (operation.q_norm, operation.k_norm):
            if norm is not None and _vector(operation, norm) != size:
                raise _wrong(operation, f"weight {norm.name} has {norm.shape[0]} values for heads of {size}")
    else:
        q, k, v = (_tokens(operation, x) for x in _count(operation, inputs, 3))
        if q.width % size or k.width % size or k != v:
            raise _wrong(operation, f"q {q.width}, k {k.width}, v {v.width} are not whole heads of {size}, k like v")
        heads, kv_heads = q.width // size, k.width // size
    if kv_heads < 1 or heads % kv_heads:
        raise _wrong(operation, f"{heads} query heads are not a multiple of {kv_heads} KV heads")
    if operation.window is not None and operation.window < 1:
        raise _wrong(operation, f"window {operation.window} must be at least 1")
    return Value("tokens", heads * size)


def _matmul(operation: g.Matmul, inputs: Sequence[Value]) -> Value:
    x, *rest = _count(operation, inputs, 2 if operation.epilogue == "add" else 1)
    widths = [_part(operation, x, part) for part in operation.parts]
    if operation.epilogue in ("gated_silu", "gated_gelu_tanh"):
        if len(widths) != 2 or widths[0] != widths[1]:
            raise _wrong(operation, f"a gated epilogue needs two parts of one width, not {widths}")
        return Value(x.rows, widths[0])
    result = Value(x.rows, sum(widths))
    if rest and rest[0] != result:
        raise _wrong(operation, f"the residual is {rest[0]}, the result {result}")
    return result


def _part(operation: Operation, x: Value, part: g.Part) -> int:
    out_features, in_features = _matrix(operation, part.weight)
    if in_features != x.width:
        raise _wrong(operation, f"weight {part.weight.name} takes {in_features} features, and the row has {x.width}")
    if part.bias is not None and _vector(operation, part.bias) != out_features:
        raise _wrong(operation, f"bias {part.bias.name} has {part.bias.shape[0]} values for {out_features} outputs")
    return out_features


def _count(operation: Operation, inputs: Sequence[Value], count: int) -> Sequence[Value]:
    if len(inputs) != count:
        raise _wrong(operation, f"takes {count} operands, not {len(inputs)}")
    return inputs


def _floats(operation: Operation, x: Value) -> Value:
    if x.quantized:
        raise _wrong(operation, "takes float32 rows, and its operand is quantized")
    return x


def _tokens(operation: Operation, x: Value) -> Value:
    if _floats(operation, x).rows != "tokens":
        raise _wrong(operation, "takes a row for each token, and its operand has selected rows only")
    return x


def _matrix(operation: Operation, weight: Weight) -> tuple[int, int]:
    if len(weight.shape) != 2 or min(weight.shape) < 1:
        raise _wrong(operation, f"weight {weight.name} must be a matrix, and its shape is {weight.shape}")
    return weight.shape[0], weight.shape[1]


def _vector(operation: Operation, weight: Weight) -> int:
    if len(weight.shape) != 1 or min(weight.shape) < 1:
        raise _wrong(operation, f"weight {weight.name} must be a vector, and its shape is {weight.shape}")
    return weight.shape[0]


def _wrong(operation: Operation, problem: str) -> PlanError:
    return PlanError(f"{operation.name}: {problem}")
