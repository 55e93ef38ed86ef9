"""The executor: a small transformer against numpy, bits that depend on nothing but the request, and bad batches."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import Floats, ints, native, op, run_step, step_plan
from numpy.typing import NDArray

Ints = NDArray[np.int32]
WIDTH, HEADS, KV_HEADS, HEAD_DIM, HIDDEN, VOCABULARY, LAYERS, PAGES = 48, 4, 2, 16, 80, 60, 2, 12
EPS = 1e-5
CACHES = [(KV_HEADS, HEAD_DIM, HEAD_DIM)] * LAYERS
ROTARY = 12  # less than a head, so that the rest must pass unturned


@dataclass(frozen=True)
class Layer:
    norm: Floats
    qkv: Floats
    q_norm: Floats
    output: Floats
    second_norm: Floats
    gate: Floats
    up: Floats
    down: Floats


def random(rng: np.random.Generator, *shape: int, scale: float = 0.3) -> Floats:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


@dataclass(frozen=True)
class Transformer:
    table: Floats
    layers: tuple[Layer, ...]
    norm: Floats
    frequencies: Floats

    @staticmethod
    def make() -> Transformer:
        rng = np.random.default_rng(3)
        width_qkv = (HEADS + 2 * KV_HEADS) * HEAD_DIM
        layers = tuple(
            Layer(
                random(rng, WIDTH) + 1,
                random(rng, width_qkv, WIDTH),
                random(rng, HEAD_DIM) + 1,
                random(rng, WIDTH, HEADS * HEAD_DIM),
                random(rng, WIDTH) + 1,
                random(rng, HIDDEN, WIDTH),
                random(rng, HIDDEN, WIDTH),
                random(rng, WIDTH, HIDDEN),
            )
            for _ in range(LAYERS)
        )
        frequencies = (1 / 10000.0 ** (np.arange(ROTARY // 2) / (ROTARY // 2))).astype(np.float32)
        return Transformer(random(rng, VOCABULARY, WIDTH, scale=1), layers, random(rng, WIDTH) + 1, frequencies)

    def plan(self, *, quantized: bool, window: int = 0) -> Any:
        """Weights dense in float32, or int8 with one scale a column."""
        weights = [
            native.table(self.table, "float32"),
            native.vector(self.norm),
            native.vector(self.frequencies),
            _pack([(self.table, 0, 1)], quantized),
        ]
        kind = "quantized" if quantized else "f32"
        slots = [
            native.Slot("f32", "tokens", WIDTH, 0, 0),
            native.Slot(kind, "tokens", WIDTH, 0, 1),
            native.Slot("f32", "tokens", (HEADS + 2 * KV_HEADS) * HEAD_DIM, 0, 2),
            native.Slot("f32", "tokens", HEADS * HEAD_DIM, 0, 3),
            native.Slot(kind, "tokens", HEADS * HEAD_DIM, 0, 4),
            native.Slot("f32", "tokens", HIDDEN, 0, 2),
            native.Slot(kind, "tokens", HIDDEN, 0, 4),
            native.Slot("f32", "selected", WIDTH, 0, 5),
            native.Slot(kind, "selected", WIDTH, 0, 6),
            native.Slot("f32", "selected", VOCABULARY, 0, 7),
        ]
        ops = [op("embed", output=0, table=0, width=WIDTH)]

        def normalize(source: int, target: int, weight: int) -> None:
            fields = {"input": source, "output": target, "weight": weight, "width": WIDTH, "eps": EPS}
            if quantized:
                ops.append(op("rms_norm_quantize", activation_group=0, **fields))
            else:
                ops.append(op("rms_norm", **fields))

        def quantized_or_same(source: int, target: int, width: int) -> int:
            if not quantized:
                return source
            ops.append(op("quantize", input=source, output=target, width=width, activation_group=0))
            return target

        def matmul(source: int, target: int, matrix: int, shape: tuple[int, int], epilogue: str = "store") -> None:
            fields = {"input": source, "output": target, "matrix": matrix, "k": shape[0], "columns": shape[1]}
            ops.append(op("matmul", epilogue=epilogue, **fields))

        for number, layer in enumerate(self.layers):
            first = len(weights)
            weights += [
                native.vector(layer.norm),
                _pack([(layer.qkv, 0, 1)], quantized),
                native.vector(layer.q_norm),
                _pack([(layer.output, 0, 1)], quantized),
                native.vector(layer.second_norm),
                _pack([(layer.gate, 0, 2), (layer.up, 16, 2)], quantized),
                _pack([(layer.down, 0, 1)], quantized),
            ]
            heads = {"cache": number, "heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM}
            norms = {"q_norm": first + 2, "k_norm": None, "eps": EPS}
            rotation = {"inverse_frequencies": 2, "rotary_dim": ROTARY, "attention_factor": 1.0}
            normalize(0, 1, first)
            matmul(1, 2, first + 1, (WIDTH, (HEADS + 2 * KV_HEADS) * HEAD_DIM))
            ops.append(op("rope_kv", slot=2, **norms, **rotation, **heads))
            ops.append(
                op("attention", input=2, output=3, before=window - 1 if window else None, scale=HEAD_DIM**-0.5, **heads)
            )
            matmul(quantized_or_same(3, 4, HEADS * HEAD_DIM), 0, first + 3, (HEADS * HEAD_DIM, WIDTH), "add")
            normalize(0, 1, first + 4)
            matmul(1, 5, first + 5, (WIDTH, HIDDEN), "gated_silu")
            matmul(quantized_or_same(5, 6, HIDDEN), 0, first + 6, (HIDDEN, WIDTH), "add")
        ops.append(op("select", input=0, output=7, width=WIDTH))
        normalize(7, 8, 1)
        matmul(8, 9, 3, (WIDTH, VOCABULARY))
        return step_plan(ops, slots, weights, vocabulary=VOCABULARY, output=9, caches=CACHES)

    def logits(self, tokens: Ints, window: int = 0) -> NDArray[np.float64]:
        """The same in float64, all positions of one sequence at once."""
        x = self.table[tokens].astype(np.float64)
        for layer in self.layers:
            qkv = _norm(x, layer.norm) @ layer.qkv.T
            q, k, v = np.split(qkv, [HEADS * HEAD_DIM, (HEADS + KV_HEADS) * HEAD_DIM], axis=1)
            heads = self._attend(_norm(_heads(q), layer.q_norm), _heads(k), _heads(v), window)
            x = x + heads.reshape(len(tokens), -1) @ layer.output.T
            normalized = _norm(x, layer.second_norm)
            gate = normalized @ layer.gate.T
            x = x + (gate / (1 + np.exp(-gate)) * (normalized @ layer.up.T)) @ layer.down.T
        logits: NDArray[np.float64] = _norm(x, self.norm) @ self.table.T
        return logits

    def _attend(self, q: Any, k: Any, v: Any, window: int) -> Any:
        rows = len(q)
        angles = np.arange(rows)[:, None, None] * self.frequencies.astype(np.float64)
        q, k = (_turn(x, np.cos(angles), np.sin(angles)) for x in (q, k))
        k, v = (np.repeat(x, HEADS // KV_HEADS, axis=1) for x in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) * HEAD_DIM**-0.5
        distance = np.arange(rows)[:, None] - np.arange(rows)[None, :]
        scores[:, (distance < 0) | ((window > 0) & (distance >= window))] = -np.inf
        p = np.exp(scores - scores.max(axis=2, keepdims=True))
        return np.einsum("hqk,khd->qhd", p / p.sum(axis=2, keepdims=True), v)


def _heads(x: Any) -> Any:
    return x.reshape(len(x), -1, HEAD_DIM)


def _norm(x: Any, weight: Floats) -> Any:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS) * weight


def _turn(x: Any, cos: Any, sin: Any) -> Any:
    a, b, rest = np.split(x, [ROTARY // 2, ROTARY], axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)


def _pack(parts: list[tuple[Floats, int, int]], quantized: bool) -> Any:
    n = max(first + (len(weight) - 1) // 16 * 16 * step + 16 for weight, first, step in parts)
    k = parts[0][0].shape[1]
    builder: Any
    if not quantized:
        builder = native.DenseBuilder(n, k, "float32")
        for weight, first, step in parts:
            builder.place(weight, "float32", first, step)
        return builder.finish()
    builder = native.Int8Builder(n, k, None)
    for weight, first, step in parts:
        scales = np.abs(weight).max(axis=1) / 127
        builder.place(np.rint(weight / scales[:, None]).astype(np.int8), scales, first, step)
    return builder.finish()


MODEL = Transformer.make()
DENSE, INT8 = MODEL.plan(quantized=False), MODEL.plan(quantized=True)
TOKENS = np.random.default_rng(5).integers(0, VOCABULARY, 75).astype(np.int32)


@dataclass(frozen=True)
class Step:
    tokens: Ints
    positions: Ints
    sequences: Ints
    page_tables: Ints
    selected: Ints

    def run(self, executor: Any) -> Floats:
        return run_step(executor, self.tokens, self.positions, self.sequences, self.page_tables, self.selected)


def one_sequence(tokens: Ints, first: int = 0, pages: tuple[int, ...] = (3, 0, 5)) -> Step:
    rows = len(tokens)
    positions = ints(range(first, first + rows))
    return Step(tokens, positions, ints([0] * rows), ints(pages).reshape(1, -1), ints(range(rows)))


def make(plan: Any, *, threads: int = 1, isa: str | None = None, pages: int = PAGES, max_tokens: int = 128) -> Any:
    cache = native.Cache(CACHES, [pages])
    return native.Executor(plan, cache, max_tokens, max_tokens, threads, isa)


@pytest.mark.parametrize("isa", native.isas())
@pytest.mark.parametrize("window", [0, 1, 20, 40])
def test_dense_against_numpy(window: int, isa: str) -> None:
    executor = make(MODEL.plan(quantized=False, window=window), isa=isa)
    expected = MODEL.logits(TOKENS, window)
    assert np.abs(one_sequence(TOKENS).run(executor) - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.parametrize("isa", native.isas())
def test_int8_close_to_dense(isa: str) -> None:
    expected = MODEL.logits(TOKENS)
    logits = one_sequence(TOKENS).run(make(INT8, isa=isa))
    assert np.abs(logits - expected).mean() < 0.02 * np.ptp(expected)


@pytest.mark.parametrize("plan", [DENSE, INT8], ids=["dense", "int8"])
def test_the_same_bits_whatever_the_threads_and_the_set(plan: Any) -> None:
    expected = one_sequence(TOKENS).run(make(plan, isa="portable"))
    for isa in native.isas():
        for threads in (1, 2, 5):
            executor = make(plan, threads=threads, isa=isa)
            assert (executor.threads, executor.isa) == (threads, isa)
            np.testing.assert_array_equal(one_sequence(TOKENS).run(executor), expected)


@pytest.mark.parametrize("plan", [DENSE, INT8], ids=["dense", "int8"])
@pytest.mark.parametrize("chunks", [[1] * 75, [74, 1], [33, 31, 11]], ids=["steps", "last", "chunks"])
def test_the_same_bits_whatever_the_chunks(plan: Any, chunks: list[int]) -> None:
    expected = one_sequence(TOKENS).run(make(plan))
    executor = make(plan, threads=2)
    first, parts = 0, []
    for chunk in chunks:
        parts.append(one_sequence(TOKENS[first : first + chunk], first).run(executor))
        first += chunk
    np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize("plan", [DENSE, INT8], ids=["dense", "int8"])
def test_the_same_bits_whatever_the_company(plan: Any) -> None:
    """A decode row between two prefills, its pages scattered among theirs."""
    alone = one_sequence(TOKENS).run(make(plan))
    executor = make(plan, threads=2)
    Step(TOKENS[:60], ints(range(60)), ints([0] * 60), ints([7, 2]).reshape(1, 2), ints([])).run(executor)
    tokens = np.concatenate([TOKENS[:40], TOKENS[60:61], TOKENS[:33]])
    positions = ints([*range(40), 60, *range(33)])
    sequences = ints([1] * 40 + [0] + [2] * 33)
    tables = ints([7, 2, -1, 1, 4, -1, 8, 9, 99]).reshape(3, 3)
    logits = Step(tokens, positions, sequences, tables, ints([39, 40, 73])).run(executor)
    np.testing.assert_array_equal(logits, alone[[39, 60, 32]])


def test_no_rows_selected_fills_the_cache_only() -> None:
    executor = make(INT8)
    assert replace(one_sequence(TOKENS[:50]), selected=ints([])).run(executor).shape == (0, VOCABULARY)
    expected = one_sequence(TOKENS[:51]).run(make(INT8))[50:]
    np.testing.assert_array_equal(one_sequence(TOKENS[50:51], 50).run(executor), expected)


def test_timings() -> None:
    executor = make(INT8)
    one_sequence(TOKENS).run(executor)
    assert executor.timings() == []
    executor.set_profiling(True)
    one_sequence(TOKENS).run(executor)
    timings = executor.timings()
    assert [code for code, _ in timings[:4]] == ["embed", "rms_norm_quantize", "matmul", "rope_kv"]
    assert all(seconds >= 0 for _, seconds in timings)
    assert sum(seconds for _, seconds in timings) > 0


SOUND = Step(ints([1, 2, 3, 4]), ints([0, 1, 5, 6]), ints([1, 1, 0, 0]), ints([2, 3, 0, 1]).reshape(2, 2), ints([0, 3]))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"tokens": ints([1, 2, VOCABULARY, 4])}, r"tokens\[2\] = 60: must be from 0 to 59"),
        ({"tokens": ints([-1, 2, 3, 4])}, r"tokens\[0\] = -1"),
        ({"positions": ints([-1, 0, 5, 6])}, r"positions\[0\] = -1"),
        ({"positions": ints([0, 1, 63, 64])}, r"positions\[3\] = 64: the page table has room for 64"),
        ({"positions": ints([0, 2, 5, 6])}, r"positions\[1\] = 2: must follow 0"),
        ({"positions": ints([0, 0, 5, 6])}, r"positions\[1\] = 0: must follow 0"),
        ({"positions": ints([2**31 - 1, 1, 5, 6])}, r"positions\[0\] = 2147483647: the cache has room"),
        ({"tokens": ints([0, 1, 5])}, r"tokens.shape\[0\] = 3: must be 4"),
        ({"sequences": ints([0, 1, 5])}, r"sequences.shape\[0\] = 3: must be 4"),
        ({"sequences": ints([2, 2, 0, 0])}, r"sequences\[0\] = 2: must be a row of page_tables, which has 2"),
        ({"sequences": ints([-1, 1, 0, 0])}, r"sequences\[0\] = -1"),
        ({"sequences": ints([1, 0, 1, 0])}, r"sequences\[2\] = 1: the rows of a sequence must stand back to back"),
        ({"page_tables": ints([2, 3, PAGES, 1]).reshape(2, 2)}, r"page_tables\[1\]\[0\] = 12: must be a page"),
        ({"page_tables": ints([2, 3, -1, 1]).reshape(2, 2)}, r"page_tables\[1\]\[0\] = -1"),
        ({"page_tables": ints([]).reshape(2, 0)}, "room for 0 positions"),
        ({"page_tables": ints([]).reshape(0, 2)}, "which has 0"),
        ({"positions": ints([5, 6, 5, 6]), "page_tables": ints([2, 3, 2, 1]).reshape(2, 2)}, "page = 2: two rows"),
        ({"selected": ints([0, 4])}, r"selected\[1\] = 4: must be from 0 to 3"),
        ({"selected": ints([-1])}, r"selected\[0\] = -1"),
        ({"selected": ints([1, 1])}, r"selected\[1\] = 1: must be over 1"),
        ({name: ints([]) for name in ("tokens", "positions", "sequences", "selected")}, "token rows = 0: a batch must"),
    ],
)
def test_bad_batches(fields: dict[str, Ints], match: str) -> None:
    executor = make(DENSE)
    with pytest.raises(ValueError, match=match):
        replace(SOUND, **fields).run(executor)
    assert SOUND.run(executor).shape == (2, VOCABULARY)


def test_batches_of_other_types() -> None:
    executor = make(DENSE)
    for field in ("tokens", "positions", "sequences", "page_tables", "selected"):
        wide = getattr(SOUND, field).astype(np.int64)
        with pytest.raises(TypeError, match=field):
            replace(SOUND, **{field: wide}).run(executor)
    with pytest.raises(ValueError, match="tokens has 2 dimensions"):
        replace(SOUND, tokens=SOUND.tokens.reshape(2, 2)).run(executor)
    with pytest.raises(TypeError, match="page_tables must be C-contiguous"):
        replace(SOUND, page_tables=SOUND.page_tables.T).run(executor)


def test_more_rows_than_the_executor_was_made_for() -> None:
    executor = native.Executor(DENSE, native.Cache(CACHES, [PAGES]), 3, 1, 1)
    with pytest.raises(ValueError, match="token rows = 4: at most max_tokens = 3"):
        SOUND.run(executor)
    with pytest.raises(ValueError, match="selected rows = 2: at most max_selected = 1"):
        one_sequence(TOKENS[:2]).run(executor)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ((0, 1, 1), "max_tokens = 0"),
        ((2**40, 1, 1), "max_tokens = "),
        ((1, 0, 1), "max_selected = 0"),
        ((1, 1, 0), "threads = 0"),
        ((1, 1, 5000), "threads = 5000"),
    ],
)
def test_executors_out_of_range(values: tuple[int, int, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        native.Executor(DENSE, native.Cache(CACHES, [PAGES]), *values)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        (([*CACHES, (1, 1, 1)], [2]), "shapes = 3: the plan has 2"),
        (([(1, HEAD_DIM, HEAD_DIM), CACHES[1]], [2]), "kv_heads of shape 0 = 1: the plan has 2"),
        (([CACHES[0], (KV_HEADS, 8, 8)], [2]), "key_width of shape 1 = 8: the plan has 16"),
        (([(KV_HEADS, 16, 8)], [2]), "value_width = 8: must be the key_width 16"),
        (([(0, 1, 1)], [1]), "kv_heads = 0"),
        (([(1, 2**20, 2**20)], [1]), "key_width = 1048576"),
        (([], [1]), "shapes = 0"),
        (([(1, 1, 1)], [2**40]), "pages = "),
        (([(4096, 4096, 4096)] * 4096, [2**24]), "over 64 TiB"),
        ((CACHES, [2], "int4"), "dtype = 'int4': must be one of float32, bfloat16, int8"),
        ((CACHES, []), "groups = 0: must be from 1 to 2"),
        ((CACHES, [2, 2, 2]), "groups = 3: must be from 1 to 2"),
        ((CACHES, [2, 2]), "group = 1: must have a shape"),
        ((CACHES, [2, 0], "float32", [0, 1]), "pages = 0: must be from 1"),
        ((CACHES, [2, 2], "float32", [0, 2]), "group = 2: must be from 0 to 1"),
        ((CACHES, [2, 2], "float32", [-1, 0]), "group = -1: must be from 0 to 1"),
        ((CACHES, [2, 2], "float32", [0]), "groups = 1 numbers: must be 2, one for each shape"),
    ],
)
def test_caches_that_do_not_fit(shape: tuple[Any, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        native.Executor(DENSE, native.Cache(*shape), 1, 1, 1)


def test_cache_takes_memory_only_where_touched() -> None:
    cache = native.Cache(CACHES, [1 << 20])  # 8 GiB
    assert (cache.pages, cache.page_bytes) == ([1 << 20], [LAYERS * 2 * KV_HEADS * HEAD_DIM * 32 * 4])
    executor = native.Executor(DENSE, cache, 128, 128, 1)
    np.testing.assert_array_equal(one_sequence(TOKENS).run(executor), one_sequence(TOKENS).run(make(DENSE)))


ROW = st.tuples(st.integers(-1, VOCABULARY), st.integers(-1, 97), st.integers(-1, 3))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.lists(ROW, max_size=6),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.lists(st.integers(-1, 3), max_size=9),
    st.lists(st.integers(-1, 6), max_size=3),
)
def test_any_batch_runs_or_is_refused(
    rows: list[tuple[int, int, int]], shape: tuple[int, int], pages: list[int], selected: list[int]
) -> None:
    tables = np.resize(ints([*pages, 0]), shape).astype(np.int32)
    tokens, positions, sequences = (ints([row[i] for row in rows]) for i in range(3))
    step = Step(tokens, positions, sequences, tables, ints(selected))
    try:
        logits = step.run(make(INT8, pages=3))
    except ValueError:
        return
    assert logits.shape == (len(selected), VOCABULARY)


def test_one_caller_at_a_time() -> None:
    """Others are refused while a step runs; none crashes, and the steps that ran are right."""
    executor = make(DENSE, threads=2)
    expected = one_sequence(TOKENS).run(executor)
    wrong: list[str] = []

    def call() -> None:
        for _ in range(10):
            try:
                if not np.array_equal(one_sequence(TOKENS).run(executor), expected):
                    wrong.append("other bits")
            except RuntimeError as error:
                if "already running" not in str(error):
                    wrong.append(str(error))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


FORKED = """
import os, sys
sys.path[:0] = sys.argv[1:]
import test_bindings_executor as t
executor = t.make(t.DENSE, threads=2)
t.one_sequence(t.TOKENS).run(executor)
child = os.fork()
if child == 0:
    try:
        t.one_sequence(t.TOKENS).run(executor)
    except RuntimeError as error:
        assert "after fork" in str(error)
    else:
        os._exit(1)
    t.one_sequence(t.TOKENS).run(t.make(t.DENSE, threads=2))
    del executor
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_is_told() -> None:
    """The workers stay with the parent: the child gets an error, not a wait for ever."""
    path = [os.fspath(entry) for entry in sys.path if entry]
    done = subprocess.run([sys.executable, "-c", FORKED, *path], check=False, timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
