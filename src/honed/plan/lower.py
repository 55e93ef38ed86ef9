"""From the fused graph to ops over slots: one slot a value, values that are changed in place sharing one.

Which slots overlap in memory is decided after, in `buffers.py`; which bytes a weight takes, by the backend.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from honed.errors import PlanError
from honed.ops.graph import Graph, Statement
from honed.ops.table import (
    Activate,
    Add,
    Combine,
    Dispatch,
    Embedding,
    FloatRows,
    LayerNorm,
    Pool,
    RmsNorm,
    Route,
    Scale,
    Select,
)
from honed.ops.values import Value, Weight
from honed.plan import lowered as low
from honed.plan import lowered_ops
from honed.plan.formats import Format
from honed.plan.operations import (
    GATED,
    AddedCombine,
    AddedEmbedding,
    Concat,
    Copy,
    ExpertMatmul,
    Matmul,
    NormQuantize,
    PackedAttention,
    PackedGated,
    Part,
    Quantize,
)


def lower(graph: Graph, formats: Mapping[str, Format], tied_tables: Collection[str] = ()) -> low.LoweredPlan:
    """The plan of a verified graph, every slot still in a stretch of its own.

    `tied_tables` are looked up in the packed matrices of their names.
    """
    lowering = _Lowering(graph, formats, tied_tables)
    for statement in graph:
        lowering.emit(statement)
    return lowering.plan()


class _Lowering:
    def __init__(self, graph: Graph, formats: Mapping[str, Format], tied_tables: Collection[str]) -> None:
        self.graph = graph
        self.formats = formats
        self.tied_tables = tied_tables
        self.readers = graph.readers()
        self.ops: list[lowered_ops.PlanOp] = []
        self.slots: list[low.PlanSlot] = []
        self.weights: dict[low.PlanWeight, int] = {}
        self.inputs: dict[str, low.PlanInput] = {}
        self.caches: dict[int, low.PlanCache] = {}
        self.slot_of: dict[int, int] = {}
        self.columns: dict[int, tuple[Statement, int]] = {}  # part of a Concat -> the Concat, first column
        self.statements = statements = graph.by_number()
        for statement in graph:
            if isinstance(statement.operation, Concat):
                column = 0
                for number in statement.operation.inputs:
                    self.columns[number] = (statement, column)
                    column += statements[number].value.width

    def emit(self, statement: Statement) -> None:
        operation, width = statement.operation, statement.value.width
        inputs = [self.slot_of[number] for number in operation.inputs]
        match operation:
            case Concat():
                return  # its parts were computed into its columns
            case Embedding():
                self.embed(operation, self.slot(statement), "store")
            case AddedEmbedding(embedding=embedding):
                self.slot_of[statement.number] = inputs[0]
                self.embed(embedding, inputs[0], "add")
            case FloatRows(rows=rows):
                number = self.input(low.PlanFloats(rows, width))
                self.ops.append(lowered_ops.FloatRowsOp(self.slot(statement), number, width))
            case RmsNorm(weight=weight, eps=eps):
                self.ops.append(lowered_ops.RmsNormOp(inputs[0], self.slot(statement), self.vector(weight), width, eps))
            case LayerNorm(weight=weight, bias=bias, eps=eps):
                output, scale, shift = self.slot(statement), self.vector(weight), self.vector_or_none(bias)
                self.ops.append(lowered_ops.LayerNormOp(inputs[0], output, scale, shift, width, eps))
            case Quantize(group=group):
                self.ops.append(lowered_ops.QuantizeOp(inputs[0], self.slot(statement), width, group or 0))
            case NormQuantize(weight=weight, eps=eps, group=group):
                output, number = self.slot(statement), self.vector(weight)
                self.ops.append(lowered_ops.RmsNormQuantizeOp(inputs[0], output, number, width, group or 0, eps))
            case Matmul():
                self.matmul(statement, operation, inputs)
            case ExpertMatmul():
                self.expert_matmul(statement, operation, inputs)
            case Route(chosen=chosen, scoring=scoring):
                experts = statement.value.experts
                self.ops.append(lowered_ops.RouteOp(inputs[0], self.slot(statement), experts, chosen, scoring))
            case Dispatch():
                self.dispatch(statement, inputs)
            case Combine(inputs=(x, _)):
                output, chosen = self.slot(statement), self.chosen(x)
                self.ops.append(lowered_ops.CombineOp(inputs[0], inputs[1], output, width, chosen, "store"))
            case AddedCombine(inputs=(x, _, _)):
                copies, routing, residual = inputs
                self.slot_of[statement.number] = residual
                self.ops.append(lowered_ops.CombineOp(copies, routing, residual, width, self.chosen(x), "add"))
            case PackedAttention():
                self.attention(statement, operation, inputs[0])
            case PackedGated(activation=activation):
                self.ops.append(lowered_ops.GatedOp(inputs[0], self.slot(statement), width, activation))
            case Activate(activation=activation):
                self.ops.append(lowered_ops.ActivateOp(inputs[0], self.slot(statement), width, activation))
            case Add():
                self.add(statement, inputs)
            case Scale(factor=factor):
                (x,) = operation.inputs
                if self.readers.last(x, statement):
                    self.slot_of[statement.number] = inputs[0]
                else:
                    self.slot(statement)
                self.ops.append(lowered_ops.ScaleOp(inputs[0], self.slot_of[statement.number], width, factor))
            case Copy():
                output, column = self.place(statement)
                self.ops.append(lowered_ops.CopyOp(inputs[0], output, width, column))
            case Pool(pooling=pooling):
                self.ops.append(lowered_ops.PoolOp(inputs[0], self.slot(statement), width, pooling))
            case Select():
                self.ops.append(lowered_ops.SelectOp(inputs[0], self.slot(statement), width))
            case _:
                raise PlanError(f"{operation.name}: has no lowering; the graph must be legalized first")

    # ---- slots and weights

    def slot(self, statement: Statement) -> int:
        """A new slot for the value of the statement."""
        value: Value = statement.value
        number = len(self.slots)
        group = value.group or 0 if value.quantized else 0
        copies, experts = value.copies, value.experts
        self.slots.append(low.PlanSlot(value.rows, value.width, value.quantized, group, number, copies, experts))
        self.slot_of[statement.number] = number
        return number

    def weight(self, weight: low.PlanWeight) -> int:
        return self.weights.setdefault(weight, len(self.weights))

    def vector(self, weight: Weight) -> int:
        return self.weight(low.VectorWeight(weight.name, weight.shape[0]))

    def vector_or_none(self, weight: Weight | None) -> int | None:
        return None if weight is None else self.vector(weight)

    def place(self, statement: Statement) -> tuple[int, int]:
        """The slot that the value is computed into, and its first column there."""
        if statement.number not in self.columns:
            return self.slot(statement), 0
        concat, column = self.columns[statement.number]
        output = self.slot_of[concat.number] if concat.number in self.slot_of else self.slot(concat)
        self.slot_of[statement.number] = output
        return output, column

    def input(self, wanted: low.PlanInput) -> int:
        """The number of an input of the plan. Ids must be in every table that they look up in."""
        known = self.inputs.get(wanted.name, wanted)
        if isinstance(known, low.PlanIds) and isinstance(wanted, low.PlanIds):
            known = low.PlanIds(known.name, min(known.bound, wanted.bound))
        elif known != wanted:
            raise PlanError(f"graph: input {wanted.name} is read as {wanted} and as {known}")
        self.inputs[wanted.name] = known
        return list(self.inputs).index(wanted.name)

    # ---- operations that take more than a line

    def embed(self, operation: Embedding, output: int, epilogue: Literal["store", "add"]) -> None:
        table = operation.table
        ids = self.input(low.PlanIds(operation.ids, operation.bound))
        if table.name in self.tied_tables:
            self.embed_packed(operation, output, ids)
            return
        number = self.weight(low.TableWeight(table.name, *table.shape))
        self.ops.append(lowered_ops.EmbedOp(output, number, table.shape[1], ids, operation.first_row, epilogue))

    def embed_packed(self, operation: Embedding, output: int, ids: int) -> None:
        table = operation.table
        if operation.first_row:
            raise PlanError(
                f"Embedding: first_row {operation.first_row} of {table.name}, which is tied to a head: must be 0"
            )
        matrix = self.weight(packed_matrix((Part(table, None),), self.formats, interleaved=False))
        factors = self.weight(low.LookupFactors(table.name, table.shape[1]))
        self.ops.append(lowered_ops.EmbedPackedOp(output, matrix, factors, table.shape[1], ids))

    def matmul(self, statement: Statement, operation: Matmul, inputs: Sequence[int]) -> None:
        output, output_column = inputs[-1], 0
        if operation.epilogue == "add":
            self.slot_of[statement.number] = output
        else:
            output, output_column = self.place(statement)
        gated = operation.epilogue in GATED
        matrix = packed_matrix(operation.parts, self.formats, interleaved=gated)
        biases = packed_biases(operation.parts, matrix)
        self.ops.append(
            lowered_ops.MatmulOp(
                input=inputs[0],
                output=output,
                matrix=self.weight(matrix),
                bias=None if biases is None else self.weight(biases),
                k=matrix.k,
                columns=statement.value.width,
                epilogue=operation.epilogue,
                factor=operation.factor,
                activation_group=matrix.format.activation_group or 0,
                output_column=output_column,
            )
        )

    def expert_matmul(self, statement: Statement, operation: ExpertMatmul, inputs: Sequence[int]) -> None:
        output, output_column = self.place(statement)
        gated = operation.epilogue in GATED
        matrices = [packed_matrix(parts, self.formats, interleaved=gated) for parts in operation.experts]
        biases = [
            found
            for parts, matrix in zip(operation.experts, matrices, strict=True)
            if (found := packed_biases(parts, matrix)) is not None
        ]
        self.ops.append(
            lowered_ops.ExpertMatmulOp(
                input=inputs[0],
                routing=inputs[1],
                output=output,
                matrices=tuple(self.weight(matrix) for matrix in matrices),
                biases=tuple(self.weight(bias) for bias in biases) if biases else None,
                k=matrices[0].k,
                columns=statement.value.width,
                chosen=statement.value.copies,
                epilogue=operation.epilogue,
                activation_group=matrices[0].format.activation_group or 0,
                output_column=output_column,
            )
        )

    def dispatch(self, statement: Statement, inputs: Sequence[int]) -> None:
        value = statement.value
        self.ops.append(
            lowered_ops.DispatchOp(
                input=inputs[0],
                routing=inputs[1],
                output=self.slot(statement),
                width=value.width,
                chosen=value.copies,
                kind="quantized" if value.quantized else "f32",
                activation_group=value.group or 0 if value.quantized else 0,
            )
        )

    def chosen(self, number: int) -> int:
        """How many copies of a row a value has."""
        return self.statements[number].value.copies

    def attention(self, statement: Statement, operation: PackedAttention, qkv: int) -> None:
        spec, rotary = operation.spec, operation.rotary
        frequencies = () if rotary is None else rotary.inverse_frequencies
        if operation.cache is not None:
            self.caches[operation.cache] = low.PlanCache(operation.kv_heads, spec.head_dim, spec.head_dim)
        self.ops.append(
            lowered_ops.RopeKvOp(
                slot=qkv,
                inverse_frequencies=self.weight(low.ConstantWeight(frequencies)) if frequencies else None,
                q_norm=self.vector_or_none(operation.q_norm),
                k_norm=self.vector_or_none(operation.k_norm),
                cache=operation.cache,
                heads=operation.heads,
                kv_heads=operation.kv_heads,
                head_dim=spec.head_dim,
                rotary_dim=2 * len(frequencies),
                eps=operation.eps,
                attention_factor=1.0 if rotary is None else rotary.attention_factor,
                pairs="interleaved" if rotary is not None and rotary.interleaved else "halves",
            )
        )
        self.ops.append(
            lowered_ops.AttentionOp(
                input=qkv,
                output=self.slot(statement),
                cache=operation.cache,
                heads=operation.heads,
                kv_heads=operation.kv_heads,
                head_dim=spec.head_dim,
                scale=spec.scale,
                before=spec.before,
                after=spec.after,
                soft_cap=spec.soft_cap or 0.0,
                sinks=self.vector_or_none(spec.sinks),
                bias=None if spec.bias is None else self.vector(spec.bias.weight),
                reach=0 if spec.bias is None else spec.bias.reach,
            )
        )

    def add(self, statement: Statement, inputs: Sequence[int]) -> None:
        """In place of an operand that nothing reads afterwards."""
        a, b = statement.operation.inputs
        for number, output, other in ((a, inputs[0], inputs[1]), (b, inputs[1], inputs[0])):
            if self.readers.last(number, statement) and a != b:
                self.slot_of[statement.number] = output
                self.ops.append(lowered_ops.AddOp(other, output, statement.value.width))
                return
        raise PlanError(f"Add: both operands of value {statement.number} are read again later, and it works in place")

    def plan(self) -> low.LoweredPlan:
        return low.LoweredPlan(
            ops=tuple(self.ops),
            slots=tuple(self.slots),
            weights=tuple(self.weights),
            inputs=tuple(self.inputs.values()),
            outputs=tuple(low.PlanOutput(name, self.slot_of[value]) for name, value in self.graph.outputs.items()),
            caches=tuple(self.caches[number] for number in sorted(self.caches)),
        )


def packed_matrix(parts: Sequence[Part], formats: Mapping[str, Format], *, interleaved: bool) -> low.MatrixWeight:
    """Parts one after the other, or two parts in alternating tiles of 16 columns for the gated epilogues."""
    placements: list[low.Placement] = []
    column = 0
    for index, part in enumerate(parts):
        rows = part.weight.shape[0]
        if interleaved:
            placements.append(low.Placement(part.weight.name, rows, low.TILE_COLUMNS * index, tile_step=2))
        else:
            placements.append(low.Placement(part.weight.name, rows, column, tile_step=1))
            column += rows
    panel = low.PANEL_COLUMNS
    columns = -(-max(placement.end for placement in placements) // panel) * panel
    weight = parts[0].weight
    return low.MatrixWeight(formats[weight.name], columns, weight.shape[1], tuple(placements))


def packed_biases(parts: Sequence[Part], matrix: low.MatrixWeight) -> low.BiasWeight | None:
    """The biases of the parts at the columns of their rows, or None if no part has one."""
    placements = tuple(
        low.Placement(part.bias.name, place.rows, place.first_column, place.tile_step)
        for part, place in zip(parts, matrix.parts, strict=True)
        if part.bias is not None
    )
    return low.BiasWeight(matrix.columns, placements) if placements else None
