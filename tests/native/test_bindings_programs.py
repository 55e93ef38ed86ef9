"""Programs other than a decoder's step: named inputs and outputs, rows of sequences, attention over the rows of a step.

Against numpy in float64, and to the bit whatever stands beside a text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from native_plans import Floats, ints, native, op
from numpy.typing import NDArray

Ints = NDArray[np.int32]
WIDTH, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY, CONTEXT, OFFSET = 24, 4, 2, 6, 50, 300, 2
QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM
RNG = np.random.default_rng(11)


def random(*shape: int, scale: float = 0.4) -> Floats:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


TABLE, PLACES, KINDS = random(VOCABULARY, WIDTH), random(CONTEXT + OFFSET, WIDTH), random(2, WIDTH)
PROJECTION, OUTPUT = random(QKV, WIDTH), random(WIDTH, HEADS * HEAD_DIM)
INPUTS = [("tokens", "ids", VOCABULARY), ("positions", "ids", CONTEXT), ("types", "ids", 2)]


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu": gelu,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}


def matrix(weight: Floats) -> Any:
    builder = native.DenseBuilder(*weight.shape, "float32")
    builder.place(weight, "float32", 0, 1)
    return builder.finish()


def table(values: Floats) -> Any:
    return native.table(values, "float32")


def inputs(given: list[tuple[str, str, int]]) -> list[Any]:
    return [getattr(native.Input, kind)(name, size) for name, kind, size in given]


WEIGHTS = [table(TABLE), table(PLACES), table(KINDS), matrix(PROJECTION), matrix(OUTPUT)]
HEAD_FIELDS = {"cache": None, "heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM}
ROPE = op("rope_kv", slot=1, inverse_frequencies=None, q_norm=None, k_norm=None, rotary_dim=0, eps=0.0,
          attention_factor=1.0, **HEAD_FIELDS)  # fmt: skip


def encode_plan(before: int | None = None, after: int | None = None, kind: str = "mean") -> Any:
    """One layer of attention without norms, and a pooled row."""
    slots = [
        native.Slot("f32", "tokens", WIDTH, 0, 0),
        native.Slot("f32", "tokens", QKV, 0, 1),
        native.Slot("f32", "tokens", HEADS * HEAD_DIM, 0, 2),
        native.Slot("f32", "sequences", WIDTH, 0, 3),
    ]
    sight = {"before": before, "after": after}
    ops = [
        op("embed", output=0, table=0, width=WIDTH),
        op("embed", ids=1, output=0, table=1, width=WIDTH, first_row=OFFSET, epilogue="add"),
        op("embed", ids=2, output=0, table=2, width=WIDTH, epilogue="add"),
        op("matmul", input=0, output=1, matrix=3, k=WIDTH, columns=QKV),
        ROPE,
        op("attention", input=1, output=2, scale=HEAD_DIM**-0.5, **sight, **HEAD_FIELDS),
        op("matmul", input=2, output=0, matrix=4, k=HEADS * HEAD_DIM, columns=WIDTH, epilogue="add"),
        op("pool", input=0, output=3, width=WIDTH, kind=kind),
    ]
    return native.Plan(ops, slots, WEIGHTS, inputs(INPUTS), [("hidden", 0), ("pooled", 3)], [])


def make(plan: Any, *, threads: int = 1, isa: str | None = None, max_tokens: int = 900) -> Any:
    return native.Executor(plan, None, max_tokens, 1, threads, isa)


@dataclass(frozen=True)
class Texts:
    lengths: tuple[int, ...]
    tokens: Ints
    types: Ints

    @staticmethod
    def make(*lengths: int) -> Texts:
        rng = np.random.default_rng(sum(lengths))
        tokens, types = (rng.integers(0, high, sum(lengths)).astype(np.int32) for high in (VOCABULARY, 2))
        return Texts(lengths, tokens, types)

    @property
    def parts(self) -> list[slice]:
        ends = np.cumsum(self.lengths)
        return [slice(end - length, end) for end, length in zip(ends, self.lengths, strict=True)]

    def alone(self, index: int) -> Texts:
        part = self.parts[index]
        return Texts((self.lengths[index],), self.tokens[part].copy(), self.types[part].copy())

    def run(self, executor: Any) -> dict[str, Floats]:
        positions = np.concatenate([ints(range(length)) for length in self.lengths])
        sequences = np.repeat(ints(range(len(self.lengths))), self.lengths)
        result: dict[str, Floats] = executor.run(
            {"tokens": self.tokens, "types": self.types}, positions, sequences, None, None
        )
        return result


def hidden(texts: Texts, before: int | None, after: int | None) -> list[NDArray[np.float64]]:
    """In float64, text by text."""
    rows = []
    for part, length in zip(texts.parts, texts.lengths, strict=True):
        x = TABLE[texts.tokens[part]] + PLACES[OFFSET : OFFSET + length] + KINDS[texts.types[part]].astype(np.float64)
        q, k, v = np.split(x @ PROJECTION.T, [HEADS * HEAD_DIM, (HEADS + KV_HEADS) * HEAD_DIM], axis=1)
        q, k, v = (each.reshape(length, -1, HEAD_DIM) for each in (q, k, v))
        k, v = (np.repeat(each, HEADS // KV_HEADS, axis=1) for each in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) * HEAD_DIM**-0.5
        ahead = np.arange(length)[None, :] - np.arange(length)[:, None]
        unseen = (ahead > (length if after is None else after)) | (-ahead > (length if before is None else before))
        scores[:, unseen] = -np.inf
        p = np.exp(scores - scores.max(axis=2, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", p / p.sum(axis=2, keepdims=True), v)
        rows.append(x + mixed.reshape(length, -1) @ OUTPUT.T)
    return rows


RAGGED = Texts.make(7, 1, 290, 33, 64)


@pytest.mark.parametrize("isa", native.isas())
@pytest.mark.parametrize(
    ("before", "after"), [(None, None), (None, 0), (0, 0), (5, 0), (3, 40), (None, 9), (270, None)]
)
def test_against_numpy(before: int | None, after: int | None, isa: str) -> None:
    given = RAGGED.run(make(encode_plan(before, after), isa=isa, threads=2))
    expected = hidden(RAGGED, before, after)
    assert np.abs(given["hidden"] - np.concatenate(expected)).max() < 1e-5 * np.ptp(expected[2])
    means = np.stack([rows.mean(axis=0) for rows in expected])
    assert np.abs(given["pooled"] - means).max() < 1e-5 * np.ptp(means)


@pytest.mark.parametrize(("before", "after"), [(None, None), (3, 40)])
def test_the_same_bits_whatever_the_company_the_threads_and_the_set(before: int | None, after: int | None) -> None:
    plan = encode_plan(before, after)
    expected = RAGGED.run(make(plan, isa="portable"))
    for isa in native.isas():
        for threads in (1, 2, 5):
            executor = make(plan, threads=threads, isa=isa)
            for name, rows in RAGGED.run(executor).items():
                np.testing.assert_array_equal(rows, expected[name])
            for index, part in enumerate(RAGGED.parts):
                alone = RAGGED.alone(index).run(executor)
                np.testing.assert_array_equal(alone["hidden"], expected["hidden"][part])
                np.testing.assert_array_equal(alone["pooled"], expected["pooled"][[index]])


@pytest.mark.parametrize(("kind", "row"), [("first", 0), ("last", -1)])
def test_pooling_by_one_row(kind: str, row: int) -> None:
    given = RAGGED.run(make(encode_plan(kind=kind)))
    np.testing.assert_array_equal(given["pooled"], [given["hidden"][part][row] for part in RAGGED.parts])


def test_rows_of_floats_and_columns() -> None:
    """Each row twice, side by side: the plan has neither tokens nor attention."""
    slots = [native.Slot("f32", "tokens", 8, 0, 0), native.Slot("f32", "tokens", 16, 0, 1)]
    ops = [op("float_rows", rows=0, output=0, width=8)]
    ops += [op("copy", input=0, output=1, width=8, output_column=column) for column in (0, 8)]
    plan = native.Plan(ops, slots, [], inputs([("patches", "floats", 8)]), [("twice", 1)], [])
    rows = random(5, 8)
    executor = make(plan)
    given = executor.run({"patches": rows}, ints([0, 1, 2, 0, 1]), ints([0, 0, 0, 1, 1]), None, None)
    np.testing.assert_array_equal(given["twice"], np.concatenate([rows, rows], axis=1))
    with pytest.raises(ValueError, match=r"patches\.shape\[1\] = 7: must be 8"):
        executor.run({"patches": rows[:, :7].copy()}, ints([0] * 5), ints(range(5)), None, None)
    with pytest.raises(ValueError, match="compute: the plan gives 1 outputs, the first 'twice': must be one"):
        executor.compute({"patches": rows}, ints([0] * 5), ints(range(5)), None, None)
    with pytest.raises(ValueError, match=r"op 1 \(copy\): output columns = 17: slot 1 is 16 wide"):
        native.Plan([ops[0], op("copy", input=0, output=1, width=8, output_column=9)], slots, [],
                    inputs([("patches", "floats", 8)]), [("twice", 1)], [])  # fmt: skip


@pytest.mark.parametrize("columns", [(0, 8, 16), (16, 8, 0), (8, 16, 0), (16, 0, 8)])
def test_columns_in_any_order(columns: tuple[int, ...]) -> None:
    """Where one is left out, or a later op took the memory of what was there, the result has a gap."""
    slots = [native.Slot("f32", "tokens", 8, 0, 0), native.Slot("f32", "tokens", 24, 0, 1),
             native.Slot("f32", "tokens", 8, 0, 1)]  # fmt: skip
    first = op("float_rows", rows=0, output=0, width=8)
    copies = [op("copy", input=0, output=1, width=8, output_column=column) for column in columns]

    def plan(ops: list[Any]) -> Any:
        return native.Plan(ops, slots, [], inputs([("patches", "floats", 8)]), [("thrice", 1)], [])

    rows = random(5, 8)
    given = make(plan([first, *copies])).run({"patches": rows}, ints(range(5)), ints([0] * 5), None, None)
    np.testing.assert_array_equal(given["thrice"], np.concatenate([rows] * 3, axis=1))
    for missing in range(3):
        with pytest.raises(ValueError, match="must write all 24 columns"):
            plan([first, *copies[:missing], *copies[missing + 1 :]])
    other = op("copy", input=0, output=2, width=8, output_column=0)
    with pytest.raises(ValueError, match="must write all 24 columns"):
        plan([first, *copies[:2], other, copies[2]])


@dataclass(frozen=True)
class Batch:
    inputs: dict[str, Any]
    positions: Ints
    sequences: Ints
    page_tables: Ints | None = None
    selected: Ints | None = None

    def run(self, executor: Any) -> Any:
        return executor.run(self.inputs, self.positions, self.sequences, self.page_tables, self.selected)


GOOD = {"tokens": ints([1, 2, 3]), "types": ints([0, 1, 0])}
SOUND = Batch(GOOD, ints([0, 1, 0]), ints([0, 0, 1]))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"positions": ints([0, 1, 1])}, r"positions\[2\] = 1: must be 0: a sequence is run whole"),
        ({"positions": ints([0, 2, 0])}, r"positions\[1\] = 2: must follow 0"),
        ({"sequences": ints([0, 0, 2])}, r"sequences\[2\] = 2: must be 1: sequences are counted from 0"),
        ({"sequences": ints([1, 1, 2])}, r"sequences\[0\] = 1: must be 0"),
        ({"sequences": ints([0, 0, -1])}, r"sequences\[2\] = -1: must be 1"),
        ({"inputs": GOOD | {"types": ints([0, 2, 0])}}, r"types\[1\] = 2: must be from 0 to 1"),
        ({"inputs": GOOD | {"tokens": ints([1, 2])}}, r"tokens.shape\[0\] = 2: must be 3"),
        ({"inputs": {"tokens": ints([1, 2, 3])}}, "inputs: 'types' is missing"),
        ({"inputs": GOOD | {"type": ints([1])}}, "inputs: 3 are given: this plan has only tokens, types"),
        ({"inputs": GOOD | {"positions": ints([0, 1, 0])}}, "inputs: 3 are given: this plan has only tokens, types"),
        ({"page_tables": ints([0, 1]).reshape(2, 1)}, "page_tables is given: must be None for a plan without caches"),
        ({"selected": ints([0])}, "selected is given: must be None for a plan without selected rows"),
        ({"positions": ints([]), "sequences": ints([]), "inputs": {name: ints([]) for name in GOOD}}, "token rows = 0"),
    ],
)
def test_bad_batches(fields: dict[str, Any], match: str) -> None:
    executor = make(encode_plan())
    with pytest.raises(ValueError, match=match):
        replace(SOUND, **fields).run(executor)
    assert SOUND.run(executor)["pooled"].shape == (2, WIDTH)


def test_positions_are_bound_by_their_input() -> None:
    texts = Texts.make(CONTEXT + 1)
    with pytest.raises(ValueError, match=rf"positions\[{CONTEXT}\] = {CONTEXT}: must be from 0 to {CONTEXT - 1}"):
        texts.run(make(encode_plan()))


@pytest.mark.parametrize(
    "inputs", [GOOD | {"tokens": [1, 2, 3]}, GOOD | {"tokens": np.ones(3, np.int64)}, GOOD | {"types": None}, [1]]
)
def test_inputs_of_other_types(inputs: Any) -> None:
    with pytest.raises(TypeError):
        replace(SOUND, inputs=inputs).run(make(encode_plan()))


def test_a_cache_for_a_plan_without_any() -> None:
    with pytest.raises(ValueError, match="shapes = 1: the plan has 0"):
        native.Executor(encode_plan(), native.Cache([(1, 8, 8)], [1]), 8, 1, 1)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("activation", ["silu", "gelu_tanh", "gelu", "tanh", "relu"])
def test_layer_norm_and_activations(activation: str, biased: bool) -> None:
    """Into another slot, then in place; the same bits on every set and for any threads."""
    width = 37
    slots = [native.Slot("f32", "tokens", width, 0, number) for number in range(2)]
    scale, shift, rows = random(width) + 1, random(width), random(900, width, scale=3)
    norm = {"weight": 0, "bias": 1 if biased else None, "width": width, "eps": 1e-5}
    ops = [
        op("float_rows", rows=0, output=0, width=width),
        op("layer_norm", input=0, output=1, **norm),
        op("activate", input=1, output=1, width=width, activation=activation),
    ]
    weights = [native.vector(scale), native.vector(shift)]
    plan = native.Plan(ops, slots, weights, inputs([("patches", "floats", width)]), [("given", 1)], [])
    batch = Batch({"patches": rows}, ints(range(900)), ints([0] * 900))
    x = rows.astype(np.float64)
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) * scale
    expected = ACTIVATIONS[activation](x + (shift if biased else 0))
    first = batch.run(make(plan, isa="portable"))["given"]
    assert np.abs(first - expected).max() < 4e-6
    for isa in native.isas():
        np.testing.assert_array_equal(batch.run(make(plan, isa=isa, threads=3))["given"], first)
