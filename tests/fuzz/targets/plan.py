"""Plans of the executor: one that is accepted is run, so that a check that is missing shows as a crash.

Best under `make sanitize-python`, where a wrong access of one byte ends the process.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.byte_mutations import EXTREMES
from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.errors import HonedError
from honed.native import extension

_NATIVE: Any = extension
_VOCABULARY, _WIDTH, _HEAD_DIM = 32, 32, 8


@cache
def _weights() -> list[Any]:
    """A table, a norm, qkv in float32, inverse frequencies, an int8 and an int4 matrix, a bias."""
    chance = np.random.default_rng(0)

    def dense(columns: int) -> Any:
        builder = _NATIVE.DenseBuilder(columns, _WIDTH, "float32")
        builder.place(chance.standard_normal((columns, _WIDTH)).astype(np.float32), "float32", 0, 1)
        return builder.finish()

    int8 = _NATIVE.Int8Builder(_WIDTH, _WIDTH, 32)
    int8.place(np.ones((_WIDTH, _WIDTH), np.int8), np.ones((_WIDTH, 1), np.float16), 0, 1)
    int4 = _NATIVE.Int4Builder(_WIDTH, _WIDTH, 32, "symmetric")
    int4.place(np.ones((_WIDTH, _WIDTH), np.uint8), np.ones((_WIDTH, 1), np.float16), None, 0, 1)
    return [
        _NATIVE.table(chance.standard_normal((_VOCABULARY, _WIDTH)).astype(np.float32), "float32"),
        _NATIVE.vector(np.ones(_WIDTH, np.float32)),
        dense(64),
        _NATIVE.vector(np.ones(_HEAD_DIM // 2, np.float32)),
        int8.finish(),
        int4.finish(),
        _NATIVE.vector(np.ones(_WIDTH, np.float32)),
    ]


def read(data: bytes, folder: Path) -> None:
    try:
        given = json.loads(data)
        plan, batch = _made(given)
        store = None
        if given["pages"] is not None:
            pages = [min(4, int(each)) for each in given["pages"]]
            store = _NATIVE.Cache(_tuples(given["caches"]), pages, "float32", given["groups"])
        executor = _NATIVE.Executor(plan, store, 8, 4, 2, None)
        outputs = executor.run(*batch)
        assert list(outputs) == [name for name, _ in given["outputs"]]
    except (ValueError, TypeError, LookupError, AttributeError, MemoryError, RecursionError, OverflowError) as error:
        raise HonedError(error) from None


def _made(given: Any) -> tuple[Any, list[Any]]:
    slots = [_NATIVE.Slot(*slot) for slot in given["slots"]]
    weights = [_weights()[number] for number in given["weights"]]
    inputs = [getattr(_NATIVE.Input, kind)(name, size) for name, kind, size in given["inputs"]]
    with np.errstate(all="ignore"):  # of numbers that are too large for a float32
        arrays = {name: np.array(rows, dtype) for name, (rows, dtype) in given["batch"]["inputs"].items()}
    batch = [None if rows is None else np.array(rows, np.int32) for rows in given["batch"]["rows"]]
    ops = [(name, _with_tuples(fields)) for name, fields in given["ops"]]
    plan = _NATIVE.Plan(ops, slots, weights, inputs, _tuples(given["outputs"]), _tuples(given["caches"]))
    return plan, [arrays, *batch]


def _with_tuples(fields: Any) -> Any:
    """JSON has lists where ops have several weights."""
    if not isinstance(fields, dict):
        return fields
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _tuples(given: Any) -> list[tuple[Any, ...]]:
    return [tuple(each) for each in given]


def _op(name: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return name, fields


_ATTENTION = {"before": None, "soft_cap": 0.0, "sinks": None, "bias": None, "reach": 0}
_ROPE = {"q_norm": None, "k_norm": None, "eps": 0.0, "attention_factor": 1.0, "pairs": "halves"}
_LOOKUP = {"first_row": 0, "epilogue": "store"}
_MATMUL = {"bias": None, "activation_group": 0, "output_column": 0, "factor": 1.0}


def seeds() -> Sequence[bytes]:
    plans = (_step(), _windows(), _encode(), _experts())
    known = {name for plan in plans for name, _ in plan["ops"]}
    assert known == set(_NATIVE.OPS), "every op of the executor stands in a seed"
    return [json.dumps(plan).encode() for plan in plans]


def _step() -> dict[str, Any]:
    """From tokens to logits, over a cache."""
    tokens, selected = "tokens", "selected"
    heads = {"cache": 0, "heads": 4, "kv_heads": 2, "head_dim": _HEAD_DIM}
    in_groups = _MATMUL | {"activation_group": 32}
    slots: list[tuple[Any, ...]] = [
        ("f32", tokens, 32, 0, 0),
        ("f32", tokens, 32, 0, 1),
        ("f32", tokens, 64, 0, 2),
        ("f32", tokens, 32, 0, 3),
        ("quantized", tokens, 32, 32, 4),
        ("f32", selected, 32, 0, 5),
        ("quantized", selected, 32, 32, 6),
        ("f32", selected, 32, 0, 7),
    ]
    ops = [
        _op("embed", ids=0, output=0, table=0, width=32, **_LOOKUP),
        _op("embed_packed", ids=0, output=0, matrix=4, factors=1, width=32),
        _op("rms_norm", input=0, output=1, weight=1, width=32, eps=1e-5),
        _op("matmul", input=1, output=2, matrix=2, k=32, columns=64, epilogue="store", **_MATMUL),
        _op("rope_kv", slot=2, inverse_frequencies=3, rotary_dim=8, **_ROPE, **heads),
        _op("attention", input=2, output=3, after=0, scale=0.35, **_ATTENTION, **heads),
        _op("quantize", input=3, output=4, width=32, activation_group=32),
        _op("matmul", input=4, output=0, matrix=4, k=32, columns=32, epilogue="add", **in_groups),
        _op("gated", input=2, output=3, width=32, activation="silu"),
        _op("add", input=3, output=0, width=32),
        _op("select", input=0, output=5, width=32),
        _op("rms_norm_quantize", input=5, output=6, weight=1, width=32, activation_group=32, eps=1e-5),
        _op("matmul", input=6, output=7, matrix=5, bias=6, k=32, columns=32, epilogue="store", activation_group=32,
            output_column=0, factor=1.0),
    ]  # fmt: skip
    return {
        "ops": ops,
        "slots": slots,
        "weights": [0, 1, 2, 3, 4, 5, 6],
        "inputs": [("tokens", "ids", _VOCABULARY)],
        "outputs": [("logits", 7)],
        "caches": [(2, _HEAD_DIM, _HEAD_DIM)],
        "pages": [2],
        "groups": [0],
        "batch": {
            "inputs": {"tokens": ([1, 2, 3, 4], "int32")},
            "rows": [[0, 1, 0, 1], [0, 0, 1, 1], [[0], [1]], [1, 3]],
        },
    }


def _windows() -> dict[str, Any]:
    """The same with a second attention, which sees three keys in pages of its own."""
    plan = _step()
    rope, attention = ([name, fields | {"cache": 1}] for name, fields in plan["ops"][4:6])
    attention[1]["before"] = 2
    tables = [[[0], [1]], [[2], [0]]]
    rows = plan["batch"]["rows"]
    return plan | {
        "ops": [*plan["ops"][:6], plan["ops"][3], rope, attention, *plan["ops"][6:]],
        "caches": plan["caches"] * 2,
        "pages": [2, 3],
        "groups": [0, 1],
        "batch": plan["batch"] | {"rows": [rows[0], rows[1], tables, rows[3]]},
    }


def _encode() -> dict[str, Any]:
    """From tokens, positions and rows of floats to hidden and pooled rows: each row sees all of its sequence."""
    tokens = "tokens"
    heads = {"cache": None, "heads": 4, "kv_heads": 2, "head_dim": _HEAD_DIM}
    slots: list[tuple[Any, ...]] = [
        ("f32", tokens, 32, 0, 0),
        ("f32", tokens, 64, 0, 1),
        ("f32", tokens, 64, 0, 2),
        ("f32", tokens, 32, 0, 3),
        ("f32", "sequences", 32, 0, 4),
    ]
    ops = [
        _op("float_rows", rows=2, output=0, width=32),
        _op("embed", ids=0, output=0, table=0, width=32, first_row=0, epilogue="add"),
        _op("embed", ids=1, output=0, table=0, width=32, first_row=2, epilogue="add"),
        _op("matmul", input=0, output=1, matrix=1, k=32, columns=64, epilogue="store", **_MATMUL),
        _op("copy", input=1, output=2, width=64, output_column=0),
        _op("rope_kv", slot=2, inverse_frequencies=None, rotary_dim=0, **_ROPE, **heads),
        _op("attention", input=2, output=3, after=None, scale=0.35, **_ATTENTION, **heads),
        _op("add", input=3, output=0, width=32),
        _op("layer_norm", input=0, output=0, weight=2, bias=None, width=32, eps=1e-5),
        _op("activate", input=0, output=0, width=32, activation="gelu"),
        _op("scale", input=0, output=0, width=32, factor=0.5),
        _op("pool", input=0, output=4, width=32, kind="mean"),
    ]
    return {
        "ops": ops,
        "slots": slots,
        "weights": [0, 2, 1],
        "inputs": [("tokens", "ids", _VOCABULARY), ("positions", "ids", 30), ("patches", "floats", 32)],
        "outputs": [("hidden", 0), ("pooled", 4)],
        "caches": [],
        "pages": None,
        "groups": [],
        "batch": {
            "inputs": {"tokens": ([1, 2, 3, 4, 5], "int32"), "patches": ([[0.5] * 32] * 5, "float32")},
            "rows": [[0, 1, 2, 0, 1], [0, 0, 0, 1, 1], None, None],
        },
    }


def _experts() -> dict[str, Any]:
    """Rows of floats that go to two of four experts each, and come back together."""
    tokens = "tokens"
    slots: list[tuple[Any, ...]] = [
        ("f32", tokens, 32, 0, 0),
        ("f32", tokens, 4, 0, 1),
        ("routing", tokens, 2, 0, 2, 1, 4),
        ("f32", tokens, 32, 0, 3, 2),
        ("f32", tokens, 32, 0, 4, 2),
    ]
    routed = {"routing": 2, "chosen": 2}
    ops = [
        _op("float_rows", rows=0, output=0, width=32),
        _op("matmul", input=0, output=1, matrix=0, k=32, columns=4, epilogue="store", **_MATMUL),
        _op("route", input=1, output=2, experts=4, chosen=2, scoring="softmax"),
        _op("dispatch", input=0, output=3, width=32, kind="f32", activation_group=0, **routed),
        _op("expert_matmul", input=3, output=4, matrices=[0, 0, 0, 0], biases=None, k=32, columns=32, epilogue="store",
            activation_group=0, output_column=0, **routed),
        _op("combine", input=4, output=0, width=32, epilogue="add", **routed),
    ]  # fmt: skip
    return {
        "ops": ops,
        "slots": slots,
        "weights": [2],
        "inputs": [("patches", "floats", 32)],
        "outputs": [("hidden", 0)],
        "caches": [],
        "pages": None,
        "groups": [],
        "batch": {
            "inputs": {"patches": ([[0.5] * 32] * 5, "float32")},
            "rows": [[0, 1, 2, 0, 1], [0, 0, 0, 1, 1], None, None],
        },
    }


_VALUES: tuple[Any, ...] = (None, -1, 0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 128, 0.0, 1.5, float("nan"), 1e300)
_VALUES += (
    "store",
    "add",
    "gated_silu",
    "gated_gelu_tanh",
    "gated_gelu",
    "gated_clamped_silu",
    "silu",
    "gelu_tanh",
    "mean",
    "last",
    *EXTREMES,
)


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Half the time only fields of ops, most of them near what they were, so that many plans get far or are run."""
    try:
        plan = json.loads(data)
        ops = [fields for _, fields in plan["ops"] if isinstance(fields, dict) and fields]
        if chance.random() < 0.5 and ops:
            for _ in range(chance.choice((1, 1, 2, 4))):
                fields = chance.choice(ops)
                key = chance.choice(sorted(fields))
                near = isinstance(fields[key], int) and chance.random() < 0.5
                fields[key] = fields[key] + chance.choice((-1, 1)) if near else chance.choice(_VALUES)
            return json.dumps(plan).encode()
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    return mutate_json(data, chance, others)


TARGET = Target("plan", read, seeds, mutate)
