"""Each op of the reference against torch's own modules or a formula written out here, and gradients against
transformers'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
import transformers

from honed.checkpoints.stored_forms import forms_of
from honed.errors import ParameterError
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.models.stored import Forms
from honed.ops.record import Recorder
from honed.ops.reference import (
    GrowingStore,
    Rows,
    Step,
    activate,
    attention,
    embedding,
    float_rows,
    gated,
    layer_norm,
    pool,
    rms_norm,
    rope,
    run,
    scale,
    select,
)
from honed.ops.table import (
    Activate,
    Attention,
    Embedding,
    FloatRows,
    Gated,
    LayerNorm,
    Pool,
    RmsNorm,
    Rope,
    Scale,
    Select,
)
from honed.ops.values import AttentionSpec, DistanceBias, Rotary, Weight
from honed.plan.verify import verify_graph
from tiny_models import FAMILIES, golden


def make(rows: Rows, **weights: torch.Tensor) -> Step:
    return Step(weights, rows, GrowingStore())


def single(count: int, first: int = 0) -> Rows:
    return Rows.single(torch.arange(count), first)


def attending(head_dim: int, scale: float, window: int | None = None) -> Attention:
    return Attention((0, 1, 2), AttentionSpec(head_dim, scale, None if window is None else window - 1), 0)


def test_rms_norm_of_rows_and_of_heads() -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(5, 24), torch.randn(24)
    step = make(single(5), row=weight, head=weight[:8])
    expected = torch.nn.functional.rms_norm(x, (24,), weight, 1e-5)
    torch.testing.assert_close(rms_norm(RmsNorm((0,), Weight("row", (24,)), 1e-5), step, x), expected)
    by_head = torch.nn.functional.rms_norm(x.reshape(5, 3, 8), (8,), weight[:8], 1e-5).reshape(5, 24)
    torch.testing.assert_close(rms_norm(RmsNorm((0,), Weight("head", (8,)), 1e-5), step, x), by_head)


def test_rope_turns_pairs_as_complex_numbers_and_leaves_the_rest() -> None:
    torch.manual_seed(2)
    rotary = Rotary((1.0, 0.25), attention_factor=1.5)
    x = torch.randn(3, 2 * 6)
    rotated = rope(Rope((0,), rotary, 6), make(single(3, first=4)), x).reshape(3, 2, 6)
    heads = x.reshape(3, 2, 6)
    angles = torch.arange(4, 7)[:, None] * torch.tensor([1.0, 0.25])
    turned = torch.complex(heads[..., :2], heads[..., 2:4]) * torch.polar(torch.tensor(1.5), angles)[:, None]
    torch.testing.assert_close(rotated[..., :2], turned.real)
    torch.testing.assert_close(rotated[..., 2:4], turned.imag)
    torch.testing.assert_close(rotated[..., 4:], heads[..., 4:])


def test_pairs_that_lie_next_to_each_other_turn_the_same_way() -> None:
    torch.manual_seed(2)
    x = torch.randn(3, 6)
    order = torch.tensor([0, 2, 1, 3, 4, 5])  # pairs (0, 2), (1, 3) next to each other
    halves = rope(Rope((0,), Rotary((1.0, 0.25)), 6), make(single(3, first=4)), x)
    pairs = rope(Rope((0,), Rotary((1.0, 0.25), interleaved=True), 6), make(single(3, first=4)), x[:, order])
    assert torch.equal(pairs, halves[:, order])


def test_a_multiple() -> None:
    x = torch.randn(3, 6)
    assert torch.equal(scale(Scale((0,), 0.22), make(single(3)), x), x * 0.22)


def test_attention_equals_torch_with_grouped_heads() -> None:
    torch.manual_seed(3)
    q, k, v = torch.randn(9, 4 * 8), torch.randn(9, 2 * 8), torch.randn(9, 2 * 8)
    result = attention(attending(8, 0.3), make(single(9)), q, k, v)
    queries, keys, values = (x.reshape(9, -1, 8).transpose(0, 1) for x in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, is_causal=True, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(result, expected.transpose(0, 1).reshape(9, 32))


def test_a_window_of_one_sees_its_own_value_only() -> None:
    torch.manual_seed(4)
    q, k, v = torch.randn(6, 8), torch.randn(6, 8), torch.randn(6, 8)
    result = attention(attending(8, 1.0, window=1), make(single(6)), q, k, v)
    torch.testing.assert_close(result, v)


def test_sequences_of_one_batch_do_not_see_each_other() -> None:
    torch.manual_seed(5)
    q, k, v = torch.randn(7, 8), torch.randn(7, 8), torch.randn(7, 8)
    sequences = torch.tensor([0, 1, 0, 1, 1, 0, 1])
    positions = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    rows = Rows({}, positions, sequences, torch.arange(7))
    together = attention(attending(8, 1.0), make(rows), q, k, v)
    for sequence in (0, 1):
        own = sequences == sequence
        alone = attention(attending(8, 1.0), make(single(int(own.sum()))), q[own], k[own], v[own])
        torch.testing.assert_close(together[own], alone)


def test_steps_equal_the_whole_and_a_repeated_step_replaces() -> None:
    torch.manual_seed(6)
    q, k, v = torch.randn(5, 8), torch.randn(5, 8), torch.randn(5, 8)
    whole = attention(attending(4, 1.0), make(single(5)), q, k, v)
    store = GrowingStore()
    for first, last in ((0, 3), (2, 4), (4, 5)):
        part = slice(first, last)
        found = attention(attending(4, 1.0), Step({}, single(last - first, first), store), q[part], k[part], v[part])
        torch.testing.assert_close(found, whole[part])


def test_gated_select_and_embedding() -> None:
    torch.manual_seed(7)
    gate, up, table = torch.randn(4, 6), torch.randn(4, 6), torch.randn(9, 6)
    ids = {"tokens": torch.tensor([8, 0, 3, 3])}
    rows = Rows(ids, torch.arange(4), torch.zeros(4, dtype=torch.long), torch.tensor([1, 3]))
    step = make(rows, table=table)
    torch.testing.assert_close(gated(Gated((0, 1), "silu"), step, gate, up), gate * torch.sigmoid(gate) * up)
    gelu = torch.nn.GELU(approximate="tanh")
    torch.testing.assert_close(gated(Gated((0, 1), "gelu_tanh"), step, gate, up), gelu(gate) * up)
    torch.testing.assert_close(gated(Gated((0, 1), "gelu"), step, gate, up), torch.nn.GELU()(gate) * up)
    g, u = torch.tensor([9.0, 7.0, -20.0, 1.0]), torch.tensor([-9.0, 9.0, 3.0, 0.5])
    expected = torch.tensor([7.0 * -6, 7.0 * 8, 0.0, torch.tensor(1.702).sigmoid() * 1.5])
    found = gated(Gated((0, 1), "clamped_silu"), step, g, u)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(select(Select((0,)), step, gate), gate[[1, 3]])
    assert torch.equal(embedding(Embedding((), Weight("table", (9, 6))), step), table[[8, 0, 3, 3]])


def ragged(*lengths: int) -> Rows:
    return Rows.whole({}, lengths)


def test_a_row_may_see_all_of_its_sequence() -> None:
    torch.manual_seed(10)
    q, k, v = torch.randn(9, 4 * 8), torch.randn(9, 2 * 8), torch.randn(9, 2 * 8)
    op = Attention((0, 1, 2), AttentionSpec(8, 0.3, after=None), None)
    found = attention(op, make(ragged(2, 7)), q, k, v)
    for own in (slice(0, 2), slice(2, 9)):
        queries, keys, values = (x[own].reshape(own.stop - own.start, -1, 8).transpose(0, 1) for x in (q, k, v))
        expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, scale=0.3, enable_gqa=True)
        torch.testing.assert_close(found[own], expected.transpose(0, 1).flatten(1))


def test_what_is_done_to_scores() -> None:
    torch.manual_seed(11)
    q, k, v = torch.randn(6, 2 * 4), torch.randn(6, 4), torch.randn(6, 4)
    sinks, bias = torch.randn(2), torch.randn(2 * 5)
    by_distance = DistanceBias(Weight("bias", (10,)), 2)
    spec = AttentionSpec(4, 0.5, before=3, after=1, soft_cap=0.7, sinks=Weight("sinks", (2,)), bias=by_distance)
    found = attention(Attention((0, 1, 2), spec, None), make(ragged(6), sinks=sinks, bias=bias), q, k, v)
    for row in range(6):
        for head in range(2):
            seen = range(max(0, row - 3), min(6, row + 2))
            scores = [float(q[row, 4 * head : 4 * head + 4] @ k[key]) * 0.5 for key in seen]
            scores = [0.7 * math.tanh(score / 0.7) for score in scores]
            scores = [
                s + float(bias[5 * head + max(-2, min(2, key - row)) + 2]) for s, key in zip(scores, seen, strict=True)
            ]
            total = sum(math.exp(score) for score in scores) + math.exp(float(sinks[head]))
            expected = sum(math.exp(s) / total * v[key] for s, key in zip(scores, seen, strict=True))
            torch.testing.assert_close(found[row, 4 * head : 4 * head + 4], expected, rtol=1e-4, atol=1e-5)


def test_layer_norm_and_activations() -> None:
    torch.manual_seed(12)
    x, weight, bias = torch.randn(5, 24) * 3, torch.randn(24), torch.randn(24)
    step = make(single(5), weight=weight, bias=bias)
    op = LayerNorm((0,), Weight("weight", (24,)), Weight("bias", (24,)), 1e-5)
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() * weight
    torch.testing.assert_close(layer_norm(op, step, x), normed + bias)
    torch.testing.assert_close(layer_norm(replace(op, bias=None), step, x), normed)
    assert torch.equal(activate(Activate((0,), "relu"), step, x), x.clamp(min=0))
    torch.testing.assert_close(activate(Activate((0,), "gelu"), step, x), x * 0.5 * (1 + torch.erf(x / 2**0.5)))
    torch.testing.assert_close(activate(Activate((0,), "tanh"), step, x), 1 - 2 / (1 + torch.exp(2 * x)))


def test_a_row_of_each_sequence() -> None:
    x = torch.arange(12.0).reshape(6, 2)
    step = make(ragged(1, 3, 2))
    assert pool(Pool((0,), "mean"), step, x).tolist() == [[0, 1], [4, 5], [9, 10]]
    assert pool(Pool((0,), "first"), step, x).tolist() == [[0, 1], [2, 3], [8, 9]]
    assert pool(Pool((0,), "last"), step, x).tolist() == [[0, 1], [6, 7], [10, 11]]


def test_inputs_by_name() -> None:
    table = torch.arange(14.0).reshape(7, 2)
    rows = Rows.whole({"types": torch.tensor([1, 0, 1]), "patches": torch.ones(3, 2)}, [2, 1])
    step = make(rows, table=table)
    weight = Weight("table", (7, 2))
    assert embedding(Embedding((), weight, "types"), step).tolist() == table[[1, 0, 1]].tolist()
    assert embedding(Embedding((), weight, "positions", 2), step).tolist() == table[[2, 3, 2]].tolist()
    assert torch.equal(float_rows(FloatRows((), "patches", 2), step), torch.ones(3, 2))
    with pytest.raises(ParameterError, match=r"inputs of the batch = \['patches', 'types'\]: must have tokens"):
        embedding(Embedding((), weight), step)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_equal_those_of_transformers(family: str) -> None:
    made = golden(family)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        made.checkpoint.path, dtype=torch.float32, attn_implementation="eager"
    )
    tokens = torch.from_numpy(made.tokens).long()
    parameters = dict(model.named_parameters())
    expected = torch.autograd.grad(_loss(model(tokens[None]).logits[0], tokens), list(parameters.values()))
    gradients = dict(zip(parameters, expected, strict=True))
    kind = FAMILIES[family][0]
    if kind != "gpt_oss" and any(name.endswith("experts.gate_up_proj") for name in parameters):  # whose files do too
        parameters, gradients = _apart(parameters, kind), _apart(gradients, kind)
    graph = recorded(read_model(made.checkpoint.config, made.checkpoint.path))
    forms = {} if kind == "granitemoe" else forms_of(made.checkpoint.config, made.checkpoint.path)
    names = graph.weights().keys()
    assert {forms[name].tensor.name if name in forms else name for name in names} == parameters.keys()
    # As the model has them; the gradient of a norm that is 1 + w is that of its w.
    weights = {name: torch.from_numpy(made.checkpoint.weight(name).decode().copy()).requires_grad_() for name in names}
    logits = run(graph, Step(weights, Rows.single(tokens), GrowingStore()))["logits"]
    # An expert that no row goes to has none.
    found = torch.autograd.grad(_loss(logits, tokens), list(weights.values()), materialize_grads=True)
    # Without rotation the bias of a key changes no softmax: its gradient is rounding.
    rounding = 1e-6 * max(float(gradient.norm()) for gradient in expected)
    for name, gradient in zip(weights, found, strict=True):
        right = _of_model(gradients, name, forms)
        assert float((gradient - right).norm()) < 1e-4 * float(right.norm()) + rounding, name


def _apart(tensors: Mapping[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """Experts, which transformers holds together in memory, one by one and by the names in files."""
    gate, up, down = ("w1", "w3", "w2") if kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        before, experts, part = name.replace(
            ".mlp.", ".block_sparse_moe." if kind == "mixtral" else ".mlp."
        ).rpartition(".experts.")
        if not experts:
            found[part.replace("router.weight", "router.layer.weight")] = tensor
            continue
        for number, matrix in enumerate(tensor):
            halves = {gate: matrix[: len(matrix) // 2], up: matrix[len(matrix) // 2 :]}
            for own, half in halves.items() if part == "gate_up_proj" else [(down, matrix)]:
                found[f"{before}.experts.{number}.{own}.weight"] = half
    return found


def _of_model(tensors: Mapping[str, torch.Tensor], name: str, forms: Forms) -> torch.Tensor:
    """A weight of the model, or its gradient, out of the tensor of transformers that it lies in."""
    form = forms.get(name)
    if form is None:
        return tensors[name]
    tensor = tensors[form.tensor.name] if form.matrix is None else tensors[form.tensor.name][form.matrix]
    tensor = tensor.T if form.transposed else tensor
    return tensor if form.rows is None else tensor[torch.from_numpy(form.rows.numbers())]


def _loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:])


def test_layers_may_differ_in_heads_and_widths() -> None:
    torch.manual_seed(9)
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (11, 12)))
    for layer, (heads, kv_heads, head_dim, inner) in enumerate([(4, 2, 6, 20), (2, 1, 10, 7)]):
        q, k, v = (
            recorder.linear(x, Weight(f"{layer}.{name}", (count * head_dim, 12)))
            for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        )
        mixed = recorder.attention(q, k, v, AttentionSpec(head_dim, 0.5), cache=layer)
        x = recorder.add(x, recorder.linear(mixed, Weight(f"{layer}.o", (12, heads * head_dim))))
        wide = recorder.linear(x, Weight(f"{layer}.up", (inner, 12)))
        x = recorder.add(x, recorder.linear(recorder.gated(wide, wide, "silu"), Weight(f"{layer}.down", (12, inner))))
    logits = recorder.linear(recorder.select(x), Weight("table", (11, 12)))
    graph = recorder.graph({"logits": logits})
    verify_graph(graph)
    weights = {name: torch.randn(weight.shape) * 0.3 for name, weight in graph.weights().items()}
    tokens = torch.arange(5)
    whole = run(graph, Step(weights, Rows.single(tokens), GrowingStore()))["logits"]
    store = GrowingStore()
    steps = [run(graph, Step(weights, Rows.single(tokens[at : at + 1], at), store))["logits"] for at in range(5)]
    torch.testing.assert_close(torch.cat(steps), whole)
