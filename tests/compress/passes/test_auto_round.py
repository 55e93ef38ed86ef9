"""The pass gives each block what enters it, learns its layers together and leaves the head at the nearest codes; how is
tested with `learned_rounding.py`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.linears import HEAD, find_linears
from honed.compress.observe import Walk, observe
from honed.compress.passes.auto_round import AutoRound
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import Int4Scheme, Int8Scheme
from honed.errors import ParameterError, UnsupportedError
from honed.models.base import Model
from honed.models.registry import read_model
from tiny_encoder import TinyEncoder

WINDOWS = [[int(token) for token in row] for row in np.random.default_rng(9).integers(3, 40, (12, 16))]
FOUR_BITS = {"bits": 4, "group": 32, "offset": "symmetric", "search": True}
DECODER = {
    "model_type": "llama",
    "vocab_size": 40,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}


def weights(of: Model) -> dict[str, Encoded]:
    random = np.random.default_rng(2)
    return {
        name: Dense((random.standard_normal(weight.shape) / 8).astype(np.float32), "float32")
        for name, weight in of.weights().items()
    }


def compressed(of: Model, source: dict[str, Encoded], **settings: Any) -> Compressed:
    asked = {"pass": "auto_round", "weights": FOUR_BITS, "iterations": 8, "batch": 3, "precision": "float32"}
    recipe = read_recipe({"passes": [{**asked, **settings}]})
    return run_recipe(ModelState({}, of, SourceWeights(of, source.__getitem__)), recipe, threads=1, calibration=WINDOWS)


def after_blocks(of: Model, made: dict[str, Encoded]) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """What stands between the blocks of a model."""
    walk = Walk(of, WINDOWS, threads=1)
    found = []
    for block in walk.blocks:
        found += list(walk.entering(block).values())
        walk.through(block, made)
    return found


def test_every_block_gives_nearer_what_it_gave_than_with_the_nearest_codes() -> None:
    model = read_model(DECODER)
    source = weights(model)
    state = compressed(model, source, iterations=30).state
    layers = {weight.name for weight in find_linears(model).layers}
    assert set(state.schemes) == {HEAD, *layers}
    assert {state.schemes[name] for name in layers} == {Int4Scheme(32, "symmetric")}
    learned = {name: state.weights[name] for name in state.weights}
    squares = observe(model, source, WINDOWS, {"mean_square"}, threads=1).mean_square

    def nearest(name: str) -> Encoded:
        return encode(source[name], state.schemes[name], name=name, importance=squares[name])

    plain = {name: nearest(name) if name in layers else source[name] for name in source}
    aims, reached, rounded = (after_blocks(model, made) for made in (source, learned, plain))
    assert len(aims) == 4  # two blocks a layer, and the head behind the last
    for aim, own, other in zip(aims, reached, rounded, strict=True):
        assert np.square(own - aim).mean() < 0.9 * np.square(other - aim).mean()


def test_the_head_is_rounded_by_what_enters_it() -> None:
    model = read_model(DECODER)
    source = weights(model)
    eight = {"modules": "lm_head", "setting": {"weights": {"bits": 8, "group": 32}}}
    state = compressed(model, source, overrides=[eight]).state
    assert state.schemes[HEAD] == Int8Scheme(32)
    expected = encode(source["model.embed_tokens.weight"], Int8Scheme(32), name=HEAD)
    np.testing.assert_array_equal(state.weights[HEAD].decode(), expected.decode())


def test_an_encoder_is_learned_to_its_last_block() -> None:
    model = TinyEncoder()
    source = weights(model)
    windows = [[int(token) for token in row] for row in np.random.default_rng(1).integers(0, 30, (8, 12))]
    # Its widths are no whole groups: int8 with a scale a row, which learning moves too.
    recipe = read_recipe(
        {"passes": [{"pass": "auto_round", "weights": FOUR_BITS, "iterations": 100, "precision": "float32"}]}
    )
    given = ModelState({}, model, SourceWeights(model, source.__getitem__))
    state = run_recipe(given, recipe, threads=1, calibration=windows).state
    for name in ("0.q.weight", "1.down.weight"):
        nearest = encode(source[name], state.schemes[name], name=name)
        assert not np.array_equal(state.weights[name].decode(), nearest.decode())
    assert not any(name.startswith("pooler") for name in state.schemes)


def test_settings_reach_the_learning() -> None:
    model = read_model(DECODER)
    source = weights(model)
    name = "model.layers.0.mlp.gate_proj.weight"
    ways: list[dict[str, Any]] = [
        {},
        {"iterations": 9},
        {"batch": 2},
        {"step": 0.3},
        {"seed": 1},
        {"inputs": "source"},
        {"precision": "bfloat16"},
    ]
    seen = {compressed(model, source, **way).state.weights[name].decode().tobytes() for way in ways}
    assert len(seen) == len(ways)


def test_planning_decodes_nothing_and_the_same_bytes_come_whatever_is_asked_for_first() -> None:
    model = read_model(DECODER)
    source = weights(model)
    there, back = (compressed(model, source).state for _ in range(2))
    names = list(there.schemes)
    forth = {name: there.weights[name].decode() for name in names}
    for name in reversed(names):
        np.testing.assert_array_equal(back.weights[name].decode(), forth[name], err_msg=name)


def test_without_torch_the_user_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_model(DECODER)
    monkeypatch.setattr(sys.modules[AutoRound.__module__], "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"torch, which is not installed: honed\[torch\]"):
        compressed(model, {})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"iterations": 0}, "iterations"),
        ({"step": 0.7}, "step"),
        ({"inputs": "float"}, "inputs"),
        ({"iteration": 5}, "did you mean 'iterations'"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], words: str) -> None:
    model = read_model(DECODER)
    with pytest.raises(ParameterError, match=words):
        compressed(model, weights(model), **settings)
