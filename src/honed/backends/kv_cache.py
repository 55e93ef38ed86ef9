"""How keys and values are kept: the type of a KV cache and its bytes. How many tokens it has is in `capacity.py`."""

from __future__ import annotations

from honed.backends.base import PAGE_TOKENS
from honed.backends.capacity import CacheGroups
from honed.plan.formats import DenseFormat, KvDtype, KvPolicy
from honed.plan.lowered import LoweredPlan, MatrixWeight, PlanCache

_CELL_BYTES: dict[KvDtype, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
KEY_GROUP = 32
"""Features of a key that share a scale, where keys are integers."""


def kv_dtype(plan: LoweredPlan, policy: KvPolicy) -> KvDtype:
    """Type of the cache. auto: float32 where every matrix of the plan is multiplied in float32, else bfloat16."""
    if policy != "auto":
        return policy
    matrices = [weight.format for weight in plan.weights if isinstance(weight, MatrixWeight)]
    exact = all(isinstance(form, DenseFormat) and form.dtype == "float32" for form in matrices)
    return "float32" if exact else "bfloat16"


def kv_bytes_per_position(plan: LoweredPlan, dtype: KvDtype) -> int:
    """Bytes of the keys and values of one position in all caches. int8 has its cells in fours, and a float32 scale for
    each 32 features of the key of a head; its value needs one only, and has the room of as many."""
    return sum(_position_bytes(cache, dtype) for cache in plan.caches)


def kv_bytes(plan: LoweredPlan, groups: CacheGroups, dtype: KvDtype) -> int:
    """Bytes of all pages of all caches. Of those that were never used none are taken from the system."""
    return sum(
        groups.groups[group].pages * PAGE_TOKENS * _position_bytes(cache, dtype)
        for cache, group in zip(plan.caches, groups.of_cache, strict=True)
    )


def _position_bytes(cache: PlanCache, dtype: KvDtype) -> int:
    return cache.kv_heads * (_head_bytes(cache.key_width, dtype) + _head_bytes(cache.value_width, dtype))


def _head_bytes(width: int, dtype: KvDtype) -> int:
    if dtype == "int8":
        return -(-width // 4) * 4 + -(-width // KEY_GROUP) * 4
    return width * _CELL_BYTES[dtype]
