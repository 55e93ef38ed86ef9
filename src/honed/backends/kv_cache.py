"""How keys and values are kept: the type of a KV cache and its bytes. How many tokens it has is in `capacity.py`."""

from __future__ import annotations

from honed.plan.formats import DenseFormat, KvDtype, KvPolicy
from honed.plan.lowered import LoweredPlan, MatrixWeight

_CELL_BYTES: dict[KvDtype, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
_SCALE_BYTES: dict[KvDtype, int] = {"float32": 0, "bfloat16": 0, "int8": 4}


def kv_dtype(plan: LoweredPlan, policy: KvPolicy) -> KvDtype:
    """Type of the cache. auto: float32 where every matrix of the plan is multiplied in float32, else bfloat16."""
    if policy != "auto":
        return policy
    matrices = [weight.format for weight in plan.weights if isinstance(weight, MatrixWeight)]
    exact = all(isinstance(form, DenseFormat) and form.dtype == "float32" for form in matrices)
    return "float32" if exact else "bfloat16"


def kv_bytes_per_position(plan: LoweredPlan, dtype: KvDtype) -> int:
    """Bytes of the keys and values of one position in all layers; int8 has a float32 scale for each head of a token."""
    return 2 * plan.layers * plan.kv_heads * (plan.head_dim * _CELL_BYTES[dtype] + _SCALE_BYTES[dtype])
