"""The ops of a lowered plan: what the executor runs, over numbered slots and weights.

Each op class has the name and the fields of the file of that name in native/executor/ops/, which checks them. Not here:
the plan that they stand in (`lowered.py`).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from honed.ops.values import Activation, GatedActivation, Pooling, Scoring
from honed.plan.operations import Epilogue
from honed.records import dataclass

FieldValue = int | float | str | tuple[int, ...] | None


class Op:
    """What an op is for the executor: a name and named fields.

    slot_fields, weight_fields: which of its fields are numbers of slots and of weights.
    """

    name: ClassVar[str]
    slot_fields: ClassVar[tuple[str, ...]] = ("input", "output")
    weight_fields: ClassVar[tuple[str, ...]] = ()

    def fields(self) -> dict[str, FieldValue]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class EmbedOp(Op):
    """Rows of a table, by the ids of an input of the plan: id 0 has row `first_row`. Stored, or added to the output."""

    name = "embed"
    slot_fields = ("output",)
    weight_fields = ("table",)

    output: int
    table: int
    width: int
    ids: int = 0
    first_row: int = 0
    epilogue: Literal["store", "add"] = "store"


@dataclass(frozen=True)
class FloatRowsOp(Op):
    """The rows of an input of the plan."""

    name = "float_rows"
    slot_fields = ("output",)

    output: int
    rows: int
    width: int


@dataclass(frozen=True)
class EmbedPackedOp(Op):
    """Rows of a packed matrix, by token, times a vector of factors."""

    name = "embed_packed"
    slot_fields = ("output",)
    weight_fields = ("matrix", "factors")

    output: int
    matrix: int
    factors: int
    width: int
    ids: int = 0


@dataclass(frozen=True)
class RmsNormOp(Op):
    """float32 to float32."""

    name = "rms_norm"
    weight_fields = ("weight",)

    input: int
    output: int
    weight: int
    width: int
    eps: float


@dataclass(frozen=True)
class LayerNormOp(Op):
    """float32 to float32."""

    name = "layer_norm"
    weight_fields = ("weight", "bias")

    input: int
    output: int
    weight: int
    bias: int | None
    width: int
    eps: float


@dataclass(frozen=True)
class QuantizeOp(Op):
    """float32 to int8 rows; activation_group 0 is one scale a row."""

    name = "quantize"

    input: int
    output: int
    width: int
    activation_group: int


@dataclass(frozen=True)
class RmsNormQuantizeOp(Op):
    """RmsNormOp, then QuantizeOp."""

    name = "rms_norm_quantize"
    weight_fields = ("weight",)

    input: int
    output: int
    weight: int
    width: int
    activation_group: int
    eps: float


@dataclass(frozen=True)
class MatmulOp(Op):
    """`columns` are those written, from `output_column` of the output slot; half of the packed ones when gated. What
    the epilogue add adds is multiplied by `factor` first."""

    name = "matmul"
    weight_fields = ("matrix", "bias")

    input: int
    output: int
    matrix: int
    bias: int | None
    k: int
    columns: int
    epilogue: Epilogue
    activation_group: int
    output_column: int
    factor: float = 1.0


@dataclass(frozen=True)
class RopeKvOp(Op):
    """Norms of heads, rotation and write of keys and values, in place in a row of q, k and v.

    cache None: keys and values are kept for this step alone. rotary_dim 0: no rotation.
    """

    name = "rope_kv"
    slot_fields = ("slot",)
    weight_fields = ("inverse_frequencies", "q_norm", "k_norm")

    slot: int
    inverse_frequencies: int | None
    q_norm: int | None
    k_norm: int | None
    cache: int | None
    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    eps: float
    attention_factor: float
    pairs: Literal["halves", "interleaved"] = "halves"

    @property
    def input(self) -> int:
        return self.slot

    @property
    def output(self) -> int:
        return self.slot


@dataclass(frozen=True)
class AttentionOp(Op):
    """The queries are the first columns of the input; the rest is as `honed.ops.values.AttentionSpec` says.

    cache None: over the rows of this step. soft_cap 0: none. bias: [heads * (2 reach + 1)].
    """

    name = "attention"
    weight_fields = ("sinks", "bias")

    input: int
    output: int
    cache: int | None
    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    before: int | None
    after: int | None = 0
    soft_cap: float = 0.0
    sinks: int | None = None
    bias: int | None = None
    reach: int = 0


@dataclass(frozen=True)
class GatedOp(Op):
    """activation(gate) * up of gate and up side by side."""

    name = "gated"

    input: int
    output: int
    width: int
    activation: GatedActivation


@dataclass(frozen=True)
class ActivateOp(Op):
    """activation(x)."""

    name = "activate"

    input: int
    output: int
    width: int
    activation: Activation


@dataclass(frozen=True)
class AddOp(Op):
    """Adds the input to the output in place."""

    name = "add"

    input: int
    output: int
    width: int


@dataclass(frozen=True)
class ScaleOp(Op):
    """x * factor, in place where input and output are one slot."""

    name = "scale"

    input: int
    output: int
    width: int
    factor: float


@dataclass(frozen=True)
class SelectOp(Op):
    """The rows whose logits are asked for."""

    name = "select"

    input: int
    output: int
    width: int


@dataclass(frozen=True)
class PoolOp(Op):
    """One row for each sequence: the mean of its rows, the first or the last."""

    name = "pool"

    input: int
    output: int
    width: int
    kind: Pooling


@dataclass(frozen=True)
class CopyOp(Op):
    """The rows once more, from `output_column` of the output slot."""

    name = "copy"

    input: int
    output: int
    width: int
    output_column: int


@dataclass(frozen=True)
class RouteOp(Op):
    """Scores of experts to a routing."""

    name = "route"

    input: int
    output: int
    experts: int
    chosen: int
    scoring: Scoring


@dataclass(frozen=True)
class DispatchOp(Op):
    """A copy of each row for every expert that it goes to; kind and activation_group are those of both slots."""

    name = "dispatch"
    slot_fields = ("input", "routing", "output")

    input: int
    routing: int
    output: int
    width: int
    chosen: int
    kind: Literal["f32", "quantized"]
    activation_group: int


@dataclass(frozen=True)
class ExpertMatmulOp(Op):
    """MatmulOp of each copy of a row with the matrix of its expert."""

    name = "expert_matmul"
    slot_fields = ("input", "routing", "output")
    weight_fields = ("matrices", "biases")

    input: int
    routing: int
    output: int
    matrices: tuple[int, ...]
    biases: tuple[int, ...] | None
    k: int
    columns: int
    chosen: int
    epilogue: Epilogue
    activation_group: int
    output_column: int


@dataclass(frozen=True)
class CombineOp(Op):
    """The copies of each row by what their experts count; stored, or added to the output."""

    name = "combine"
    slot_fields = ("input", "routing", "output")

    input: int
    routing: int
    output: int
    width: int
    chosen: int
    epilogue: Literal["store", "add"]


PlanOp = (
    EmbedOp
    | EmbedPackedOp
    | FloatRowsOp
    | RmsNormOp
    | LayerNormOp
    | QuantizeOp
    | RmsNormQuantizeOp
    | MatmulOp
    | RopeKvOp
    | AttentionOp
    | GatedOp
    | ActivateOp
    | AddOp
    | ScaleOp
    | SelectOp
    | PoolOp
    | CopyOp
    | RouteOp
    | DispatchOp
    | ExpertMatmulOp
    | CombineOp
)
