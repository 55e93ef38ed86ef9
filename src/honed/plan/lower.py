"""From the fused graph to ops over slots: one slot a value, values that are changed in place sharing one.

Which slots overlap in memory is decided after, in `buffers.py`; which bytes a weight takes, by the backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from honed.errors import PlanError
from honed.ops.table import Weight
from honed.plan import graph as g
from honed.plan import lowered as low
from honed.plan.formats import DenseFormat, Format
from honed.plan.graph import Graph, Statement, Value


def lower(graph: Graph, formats: Mapping[str, Format]) -> low.LoweredPlan:
    """The plan of a verified graph, every slot still in a stretch of its own."""
    lowering = _Lowering(graph, formats)
    for statement in graph:
        lowering.emit(statement)
    return lowering.plan()


class _Lowering:
    def __init__(self, graph: Graph, formats: Mapping[str, Format]) -> None:
        self.graph = graph
        self.formats = formats
        self.users = graph.users()
        self.ops: list[low.PlanOp] = []
        self.slots: list[low.PlanSlot] = []
        self.weights: dict[low.PlanWeight, int] = {}
        self.slot_of: dict[int, int] = {}
        self.columns: dict[int, tuple[Statement, int]] = {}  # part of a Concat -> the Concat, first column
        statements = graph.by_number()
        for statement in graph:
            if isinstance(statement.operation, g.Concat):
                column = 0
                for number in statement.operation.inputs:
                    self.columns[number] = (statement, column)
                    column += statements[number].value.width

    def emit(self, statement: Statement) -> None:
        operation, width = statement.operation, statement.value.width
        inputs = [self.slot_of[number] for number in operation.inputs]
        match operation:
            case g.Concat():
                return  # its parts were computed into its columns
            case g.Embedding(table=table):
                number = self.weight(low.TableWeight(table.name, *table.shape))
                self.ops.append(low.EmbedOp(self.slot(statement), number, width))
            case g.RmsNorm(weight=weight, eps=eps):
                self.ops.append(low.RmsNormOp(inputs[0], self.slot(statement), self.vector(weight), width, eps))
            case g.Quantize(group=group):
                self.ops.append(low.QuantizeOp(inputs[0], self.slot(statement), width, group or 0))
            case g.NormQuantize(weight=weight, eps=eps, group=group):
                output, number = self.slot(statement), self.vector(weight)
                self.ops.append(low.RmsNormQuantizeOp(inputs[0], output, number, width, group or 0, eps))
            case g.Matmul():
                self.matmul(statement, operation, inputs)
            case g.PackedAttention():
                self.attention(statement, operation, inputs[0])
            case g.PackedGated(activation=activation):
                self.ops.append(low.GatedOp(inputs[0], self.slot(statement), width, activation))
            case g.Add():
                self.add(statement, inputs)
            case g.Select():
                self.ops.append(low.SelectOp(inputs[0], self.slot(statement), width))
            case _:
                raise PlanError(f"{operation.name}: has no lowering; the graph must be legalized first")

    # ---- slots and weights

    def slot(self, statement: Statement) -> int:
        """A new slot for the value of the statement."""
        value: Value = statement.value
        number = len(self.slots)
        group = value.group or 0 if value.quantized else 0
        self.slots.append(low.PlanSlot(value.rows, value.width, value.quantized, group, stretch=number))
        self.slot_of[statement.number] = number
        return number

    def weight(self, weight: low.PlanWeight) -> int:
        return self.weights.setdefault(weight, len(self.weights))

    def vector(self, weight: Weight) -> int:
        return self.weight(low.VectorWeight(weight.name, weight.shape[0]))

    # ---- operations that take more than a line

    def matmul(self, statement: Statement, operation: g.Matmul, inputs: Sequence[int]) -> None:
        output_column = 0
        if operation.epilogue == "add":
            output = self.slot_of[statement.number] = inputs[1]
        elif statement.number in self.columns:
            concat, output_column = self.columns[statement.number]
            output = self.slot_of[concat.number] if concat.number in self.slot_of else self.slot(concat)
            self.slot_of[statement.number] = output
        else:
            output = self.slot(statement)
        gated = operation.epilogue in ("gated_silu", "gated_gelu_tanh")
        matrix = packed_matrix(operation.parts, self.formats, interleaved=gated)
        biases = packed_biases(operation.parts, matrix)
        activation = 0 if isinstance(matrix.format, DenseFormat) else matrix.format.activation or 0
        self.ops.append(
            low.MatmulOp(
                input=inputs[0],
                output=output,
                matrix=self.weight(matrix),
                bias=None if biases is None else self.weight(biases),
                k=matrix.k,
                columns=statement.value.width,
                epilogue=operation.epilogue,
                activation_group=activation,
                output_column=output_column,
            )
        )

    def attention(self, statement: Statement, operation: g.PackedAttention, qkv: int) -> None:
        frequencies = operation.rotary.inverse_frequencies
        self.ops.append(
            low.RopeKvOp(
                slot=qkv,
                inverse_frequencies=self.weight(low.ConstantWeight(frequencies)),
                q_norm=None if operation.q_norm is None else self.vector(operation.q_norm),
                k_norm=None if operation.k_norm is None else self.vector(operation.k_norm),
                layer=operation.layer,
                heads=operation.heads,
                kv_heads=operation.kv_heads,
                head_dim=operation.head_dim,
                rotary_dim=2 * len(frequencies),
                eps=operation.eps,
                attention_factor=operation.rotary.attention_factor,
            )
        )
        self.ops.append(
            low.AttentionOp(
                input=qkv,
                output=self.slot(statement),
                layer=operation.layer,
                heads=operation.heads,
                kv_heads=operation.kv_heads,
                head_dim=operation.head_dim,
                window=operation.window,
                scale=operation.scale,
            )
        )

    def add(self, statement: Statement, inputs: Sequence[int]) -> None:
        """In place of an operand that nothing reads afterwards."""
        a, b = statement.operation.inputs
        for number, output, other in ((a, inputs[0], inputs[1]), (b, inputs[1], inputs[0])):
            if self.users[number][-1] == statement and a != b:
                self.slot_of[statement.number] = output
                self.ops.append(low.AddOp(other, output, statement.value.width))
                return
        raise PlanError(f"Add: both operands of value {statement.number} are read again later, and it works in place")

    def plan(self) -> low.LoweredPlan:
        attention = [op for op in self.ops if isinstance(op, low.AttentionOp)]
        tables = [weight for weight in self.weights if isinstance(weight, low.TableWeight)]
        if not attention or not tables:
            raise PlanError("plan: must embed tokens and attend to them")
        return low.LoweredPlan(
            ops=tuple(self.ops),
            slots=tuple(self.slots),
            weights=tuple(self.weights),
            layers=1 + max(op.layer for op in attention),
            kv_heads=attention[0].kv_heads,
            head_dim=attention[0].head_dim,
            vocabulary=tables[0].rows,
            logits=self.graph.output.value.width,
        )


def packed_matrix(parts: Sequence[g.Part], formats: Mapping[str, Format], *, interleaved: bool) -> low.MatrixWeight:
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


def packed_biases(parts: Sequence[g.Part], matrix: low.MatrixWeight) -> low.BiasWeight | None:
    """The biases of the parts at the columns of their rows, or None if no part has one."""
    placements = tuple(
        low.Placement(part.bias.name, place.rows, place.first_column, place.tile_step)
        for part, place in zip(parts, matrix.parts, strict=True)
        if part.bias is not None
    )
    return low.BiasWeight(matrix.columns, placements) if placements else None
