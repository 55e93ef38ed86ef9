"""Runs a lowered plan op by op in numpy: what each op means, and the oracle that the native executor is held against.

Follows native/cpu/kernel_table.h formula by formula; for small models only. Not here: sharing of buffers, which must
not change results and therefore is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.attention import KvCells, attend
from honed.backends.base import PAGE_TOKENS, Batch
from honed.backends.capacity import check_step_tokens, kv_pages
from honed.backends.float32 import Floats, activate, fma, quantize, rms_norm
from honed.backends.kv_cache import KEY_GROUP, kv_dtype
from honed.backends.packed import DenseMatrix, IntegerMatrix, QuantizedRows, pack
from honed.checkpoints.base import Checkpoint
from honed.encodings.dense import Dense, bfloat16_to_float32, float32_to_bfloat16
from honed.models.registry import read_model
from honed.plan import lowered as low
from honed.plan.build import ALL_FUSIONS, build_plan
from honed.plan.formats import DensePolicy, KvPolicy, dense_dtype, lies_as_table
from honed.plan.source import PlanSource


@dataclass(frozen=True)
class InterpreterConfig:
    """`dtype` and `kv_dtype` as `NativeConfig` has them; `fusions` names those to apply, which changes no result."""

    dtype: DensePolicy = "auto"
    kv_dtype: KvPolicy = "auto"
    kv_tokens: int | None = None
    step_tokens: int = 512
    fusions: tuple[str, ...] = ALL_FUSIONS

    def __post_init__(self) -> None:
        check_step_tokens(self.step_tokens)


class InterpreterBackend:
    """Implements `honed.backends.base.Backend`."""

    def __init__(self, checkpoint: Checkpoint, config: InterpreterConfig) -> None:
        model = read_model(checkpoint.config, checkpoint.path)
        stages = build_plan(model, checkpoint, config.dtype, config.fusions)
        self.plan = stages.plan
        self._config = config
        self._weights = [self._load(spec, stages.source) for spec in self.plan.weights]
        self._pages = kv_pages(config.kv_tokens, model.dimensions.context)
        self._context = model.dimensions.context
        dtype = kv_dtype(self.plan, config.kv_dtype)
        shape = (self.plan.layers, self._pages * PAGE_TOKENS, self.plan.kv_heads, self.plan.head_dim)
        self._keys = KvCells(shape, dtype, KEY_GROUP)
        self._values = KvCells(shape, dtype)

    @staticmethod
    def load(checkpoint: Checkpoint, config: InterpreterConfig) -> InterpreterBackend:
        """Plans the model and reads its weights."""
        return InterpreterBackend(checkpoint, config)

    @property
    def name(self) -> str:
        return "interpreter"

    @property
    def vocabulary(self) -> int:
        return self.plan.logits

    @property
    def context(self) -> int:
        return self._context

    @property
    def pages(self) -> int:
        return self._pages

    @property
    def step_tokens(self) -> int:
        return self._config.step_tokens

    def _load(self, spec: low.PlanWeight, source: PlanSource) -> Any:
        match spec:
            case low.MatrixWeight():
                return pack(spec, source)
            case low.TableWeight(name=name):
                table = source.weight(name)
                values = table.decode()
                policy = self._config.dtype
                exact = isinstance(table, Dense) or lies_as_table(table, policy)
                if exact or dense_dtype(table, policy) == "float32":
                    return values
                return bfloat16_to_float32(float32_to_bfloat16(values))
            case low.VectorWeight(name=name):
                return source.weight(name).decode()
            case low.ConstantWeight(values=constants):
                return np.asarray(constants, dtype=np.float32)
            case low.BiasWeight(columns=columns, parts=parts):
                bias = np.zeros(columns, dtype=np.float32)
                for part in parts:
                    bias[part.columns] = source.weight(part.name).decode()
                return bias

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        step = _Step(batch, self.plan, self._weights, self._keys, self._values)
        for op in self.plan.ops:
            step.run(op)
        logits: Floats = step.slots[self.plan.ops[-1].output]
        return logits


class _Step:
    """One batch: the slots, and what each op does to them."""

    def __init__(self, batch: Batch, plan: low.LoweredPlan, weights: list[Any], keys: KvCells, values: KvCells) -> None:
        self.batch = batch
        self.weights = weights
        self.keys = keys
        self.values = values
        rows = {"tokens": len(batch.tokens), "selected": len(batch.selected)}
        self.slots: list[Any] = [np.zeros((rows[slot.rows], slot.width), np.float32) for slot in plan.slots]
        page = batch.page_tables[batch.sequences, batch.positions // PAGE_TOKENS].astype(np.int64)
        self.cells = page * PAGE_TOKENS + batch.positions % PAGE_TOKENS

    def run(self, op: low.PlanOp) -> None:
        slots, weights = self.slots, self.weights
        match op:
            case low.EmbedOp():
                slots[op.output] = weights[op.table][self.batch.tokens]
            case low.RmsNormOp():
                slots[op.output] = rms_norm(slots[op.input], weights[op.weight], op.eps)
            case low.QuantizeOp():
                slots[op.output] = QuantizedRows(*quantize(slots[op.input], op.activation_group or None))
            case low.RmsNormQuantizeOp():
                normed = rms_norm(slots[op.input], weights[op.weight], op.eps)
                slots[op.output] = QuantizedRows(*quantize(normed, op.activation_group or None))
            case low.MatmulOp():
                self.matmul(op)
            case low.RopeKvOp():
                self.rope_kv(op)
            case low.AttentionOp():
                slots[op.output] = self.attention(op)
            case low.GatedOp():
                x = slots[op.input]
                slots[op.output] = activate(x[:, : op.width], x[:, op.width :], op.activation)
            case low.AddOp():
                slots[op.output] = slots[op.output] + slots[op.input]
            case low.SelectOp():
                slots[op.output] = slots[op.input][self.batch.selected]

    def matmul(self, op: low.MatmulOp) -> None:
        matrix: DenseMatrix | IntegerMatrix = self.weights[op.matrix]
        result = matrix.product(self.slots[op.input])
        if op.bias is not None:
            result = result + self.weights[op.bias]
        target = self.slots[op.output][:, op.output_column : op.output_column + op.columns]
        match op.epilogue:
            case "store":
                target[:] = result[:, : op.columns]
            case "add":
                target[:] = target + result[:, : op.columns]
            case "gated_silu" | "gated_gelu_tanh":
                pairs = result.reshape(len(result), -1, 2, low.TILE_COLUMNS)
                gate, up = (pairs[:, :, half].reshape(len(result), -1)[:, : op.columns] for half in (0, 1))
                target[:] = activate(gate, up, "silu" if op.epilogue == "gated_silu" else "gelu_tanh")

    def rope_kv(self, op: low.RopeKvOp) -> None:
        row = self.slots[op.slot].reshape(len(self.batch.tokens), -1, op.head_dim)
        q, k = row[:, : op.heads], row[:, op.heads : op.heads + op.kv_heads]
        for heads, norm in ((q, op.q_norm), (k, op.k_norm)):
            if norm is not None:
                heads[:] = rms_norm(heads, self.weights[norm], op.eps)
        angles = self.batch.positions.astype(np.float32)[:, None] * self.weights[op.inverse_frequencies]
        factor = np.float32(op.attention_factor)
        cos = (np.cos(angles, dtype=np.float64).astype(np.float32) * factor)[:, None]
        sin = (np.sin(angles, dtype=np.float64).astype(np.float32) * factor)[:, None]
        half = op.rotary_dim // 2
        for heads in (q, k):
            first, second = heads[..., :half].copy(), heads[..., half : 2 * half].copy()
            heads[..., :half] = fma(first, cos, -(second * sin))
            heads[..., half : 2 * half] = fma(second, cos, first * sin)
        self.keys.write(op.layer, self.cells, k)
        self.values.write(op.layer, self.cells, row[:, op.heads + op.kv_heads :])

    def attention(self, op: low.AttentionOp) -> Floats:
        tokens = len(self.batch.tokens)
        heads = self.slots[op.input].reshape(tokens, -1, op.head_dim)[:, : op.heads]
        grouped = heads.reshape(tokens, op.kv_heads, -1, op.head_dim)
        result = np.zeros((tokens, op.heads * op.head_dim), dtype=np.float32)
        for row in range(tokens):
            position = int(self.batch.positions[row])
            first = 0 if op.window is None else max(0, position - op.window + 1)
            seen = np.arange(first, position + 1)
            pages = self.batch.page_tables[self.batch.sequences[row], seen // PAGE_TOKENS].astype(np.int64)
            cells = pages * PAGE_TOKENS + seen % PAGE_TOKENS
            keys, values = self.keys.read(op.layer, cells), self.values.read(op.layer, cells)
            result[row] = attend(grouped[row], keys, values, seen, op.scale).reshape(-1)
        return result
