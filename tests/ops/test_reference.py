"""Each op of the reference against torch's own modules or a formula written out here."""

from __future__ import annotations

import torch

from honed.ops.reference import GrowingStore, Reference, Rows
from honed.ops.table import Rotary, Weight


def make(rows: Rows, **weights: torch.Tensor) -> Reference:
    return Reference(weights, rows, GrowingStore())


def single(count: int, first: int = 0) -> Rows:
    return Rows.single(torch.arange(count), first)


def test_rms_norm_of_rows_and_of_heads() -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(5, 24), torch.randn(24)
    ops = make(single(5), row=weight, head=weight[:8])
    expected = torch.nn.functional.rms_norm(x, (24,), weight, 1e-5)
    torch.testing.assert_close(ops.rms_norm(x, Weight("row", (24,)), 1e-5), expected)
    by_head = torch.nn.functional.rms_norm(x.reshape(5, 3, 8), (8,), weight[:8], 1e-5).reshape(5, 24)
    torch.testing.assert_close(ops.rms_norm(x, Weight("head", (8,)), 1e-5), by_head)


def test_rope_turns_pairs_as_complex_numbers_and_leaves_the_rest() -> None:
    torch.manual_seed(2)
    rotary = Rotary((1.0, 0.25), attention_factor=1.5)
    x = torch.randn(3, 2 * 6)
    rotated = make(single(3, first=4)).rope(x, rotary, 6).reshape(3, 2, 6)
    heads = x.reshape(3, 2, 6)
    angles = torch.arange(4, 7)[:, None] * torch.tensor([1.0, 0.25])
    turned = torch.complex(heads[..., :2], heads[..., 2:4]) * torch.polar(torch.tensor(1.5), angles)[:, None]
    torch.testing.assert_close(rotated[..., :2], turned.real)
    torch.testing.assert_close(rotated[..., 2:4], turned.imag)
    torch.testing.assert_close(rotated[..., 4:], heads[..., 4:])


def test_attention_equals_torch_with_grouped_heads() -> None:
    torch.manual_seed(3)
    q, k, v = torch.randn(9, 4 * 8), torch.randn(9, 2 * 8), torch.randn(9, 2 * 8)
    result = make(single(9)).attention(q, k, v, layer=0, head_dim=8, scale=0.3)
    queries, keys, values = (x.reshape(9, -1, 8).transpose(0, 1) for x in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, is_causal=True, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(result, expected.transpose(0, 1).reshape(9, 32))


def test_a_window_of_one_sees_its_own_value_only() -> None:
    torch.manual_seed(4)
    q, k, v = torch.randn(6, 8), torch.randn(6, 8), torch.randn(6, 8)
    result = make(single(6)).attention(q, k, v, layer=0, head_dim=8, scale=1.0, window=1)
    torch.testing.assert_close(result, v)


def test_sequences_of_one_batch_do_not_see_each_other() -> None:
    torch.manual_seed(5)
    q, k, v = torch.randn(7, 8), torch.randn(7, 8), torch.randn(7, 8)
    sequences = torch.tensor([0, 1, 0, 1, 1, 0, 1])
    positions = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    rows = Rows(torch.zeros(7, dtype=torch.long), positions, sequences, torch.arange(7))
    together = make(rows).attention(q, k, v, layer=0, head_dim=8, scale=1.0)
    for sequence in (0, 1):
        own = sequences == sequence
        alone = make(single(int(own.sum()))).attention(q[own], k[own], v[own], layer=0, head_dim=8, scale=1.0)
        torch.testing.assert_close(together[own], alone)


def test_steps_equal_the_whole_and_a_repeated_step_replaces() -> None:
    torch.manual_seed(6)
    q, k, v = torch.randn(5, 8), torch.randn(5, 8), torch.randn(5, 8)
    whole = make(single(5)).attention(q, k, v, layer=0, head_dim=4, scale=1.0)
    store = GrowingStore()
    for first, last in ((0, 3), (2, 4), (4, 5)):
        part = slice(first, last)
        ops = Reference({}, single(last - first, first), store)
        step = ops.attention(q[part], k[part], v[part], layer=0, head_dim=4, scale=1.0)
        torch.testing.assert_close(step, whole[part])


def test_gated_select_and_embedding() -> None:
    torch.manual_seed(7)
    gate, up, table = torch.randn(4, 6), torch.randn(4, 6), torch.randn(9, 6)
    rows = Rows(torch.tensor([8, 0, 3, 3]), torch.arange(4), torch.zeros(4, dtype=torch.long), torch.tensor([1, 3]))
    ops = make(rows, table=table)
    torch.testing.assert_close(ops.gated(gate, up, "silu"), gate * torch.sigmoid(gate) * up)
    gelu = torch.nn.GELU(approximate="tanh")
    torch.testing.assert_close(ops.gated(gate, up, "gelu_tanh"), gelu(gate) * up)
    assert torch.equal(ops.select(gate), gate[[1, 3]])
    assert torch.equal(ops.embedding(Weight("table", (9, 6))), table[[8, 0, 3, 3]])


def test_gradients_reach_weights_through_attention() -> None:
    torch.manual_seed(8)
    weight = torch.randn(8, 8, requires_grad=True)
    x = torch.randn(5, 8)
    ops = make(single(5), w=weight)
    y = ops.linear(x, Weight("w", (8, 8)))
    loss = ops.attention(y, y, y, layer=0, head_dim=8, scale=1.0).square().sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    assert bool((gradient.abs() > 0).all())
