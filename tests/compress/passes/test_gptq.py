"""The pass gives each weight the Gram matrix of its own inputs, measured where all blocks before it are rounded; how a
matrix is rounded then is tested with `error_feedback.py`."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.base import ModelState
from honed.compress.error_feedback import Feedback, feedback, round_again, round_with_feedback
from honed.compress.linears import HEAD
from honed.compress.needs import InputStatistics
from honed.compress.observe import observe
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.column_grid import Gridded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import Int4Scheme, Int8Scheme
from honed.errors import ParameterError
from honed.models.base import DecoderModel
from honed.models.registry import read_model

TABLE = "model.embed_tokens.weight"
WINDOWS = [[int(token) for token in row] for row in np.random.default_rng(9).integers(3, 40, (12, 16))]
FOUR_BITS = {"bits": 4, "group": 32, "offset": "symmetric"}


def model(*, tied: bool) -> DecoderModel:
    return read_model(
        {
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
            "tie_word_embeddings": tied,
        }
    )


class Source:
    """Random weights, and which were asked for."""

    def __init__(self, of: DecoderModel) -> None:
        random = np.random.default_rng(2)
        self.weights = {
            name: Dense((random.standard_normal(weight.shape) / 8).astype(np.float32), "float32")
            for name, weight in of.weights().items()
        }
        self.decoded: list[str] = []

    def __call__(self, name: str) -> Encoded:
        self.decoded.append(name)
        return self.weights[name]


def compressed(of: DecoderModel, read: Source, windows: list[list[int]] = WINDOWS, **settings: Any) -> Compressed:
    recipe = read_recipe({"passes": [{"pass": "gptq", "weights": FOUR_BITS, **settings}]})
    return run_recipe(ModelState({}, of, SourceWeights(of, read)), recipe, threads=1, calibration=windows)


def rounded(weight: NDArray[np.float32], gram: NDArray[np.float64], scheme: Int4Scheme, **how: Any) -> Gridded:
    def plainly(values: NDArray[np.float32], _: slice) -> Gridded:
        found = encode(Dense(values, "float32"), scheme, name="w", search=False)
        assert isinstance(found, Gridded)
        return found

    by_activation, refit = how.get("by_activation", True), how.get("refit", False)
    found = feedback(gram, damping=how.get("damping", 0.01), by_activation=by_activation)
    done = round_with_feedback(weight, found, plainly, refit=refit)
    sweeps = how.get("sweeps", 0)
    return round_again(weight, done, gram, damping=how.get("damping", 0.01), sweeps=sweeps) if sweeps else done


@pytest.mark.parametrize("tied", [True, False])
def test_each_weight_is_rounded_for_what_enters_it_when_those_before_it_are(tied: bool) -> None:
    decoder = model(tied=tied)
    source = Source(decoder)
    state = compressed(decoder, source).state
    assert set(state.schemes) == {HEAD, *(name for name in decoder.weights() if name.endswith("_proj.weight"))}
    made = {name: state.weights[name] for name in state.weights}
    # Of each block alone what is before it is rounded, so of attention of the first layer nothing is.
    before = observe(decoder, source.weights, WINDOWS, {"gram"}, threads=1)
    name = "model.layers.0.self_attn.k_proj.weight"
    scheme = Int4Scheme(32, "symmetric")
    expected = rounded(source.weights[name].decode(), before.gram[name], scheme)
    np.testing.assert_array_equal(made[name].decode(), expected.decode())
    first, second = (f"model.layers.{layer}.mlp.gate_proj.weight" for layer in (0, 1))
    for name in (first, second, HEAD):
        # Everything that comes after these does not change what enters them.
        now = observe(decoder, made, WINDOWS, {"gram"}, threads=1)
        measured = TABLE if tied and name == HEAD else name
        weight = source.weights[measured].decode()
        np.testing.assert_array_equal(made[name].decode(), rounded(weight, now.gram[measured], scheme).decode())
        assert not np.array_equal(made[name].decode(), rounded(weight, before.gram[measured], scheme).decode())


def test_settings_reach_the_rounding() -> None:
    decoder = model(tied=True)
    source = Source(decoder)
    name = "model.layers.0.self_attn.v_proj.weight"
    gram = observe(decoder, source.weights, WINDOWS, {"gram"}, threads=1).gram[name]
    weight, scheme = source.weights[name].decode(), Int4Scheme(32, "symmetric")
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"damping": 0.5}, {"damping": 0.5}),
        ({"order": "stored"}, {"by_activation": False}),
        ({"sweeps": 3}, {"sweeps": 3}),
        ({"order": "stored", "groups": "moved"}, {"by_activation": False, "refit": True}),
    ]
    seen = []
    for settings, how in ways:
        found = compressed(decoder, source, **settings).state.weights[name].decode()
        np.testing.assert_array_equal(found, rounded(weight, gram, scheme, **how).decode())
        seen.append(found.tobytes())
    assert len(set(seen)) == len(ways)


def test_planning_decodes_nothing_and_layers_keep_their_own_settings() -> None:
    decoder = model(tied=True)
    source = Source(decoder)
    head = {"modules": "lm_head", "setting": {"weights": {"bits": 8, "group": 32}}}
    left = {"modules": "*.down_proj", "setting": "dense"}
    state = compressed(decoder, source, overrides=[head, left]).state
    assert state.schemes[HEAD] == Int8Scheme(32)
    assert not any("down_proj" in name for name in state.schemes)
    assert state.weights["model.layers.0.mlp.down_proj.weight"] is source.weights["model.layers.0.mlp.down_proj.weight"]
    assert state.weights[HEAD].kind == "int8"


def test_the_same_bytes_whatever_the_order_in_which_weights_are_asked_for() -> None:
    decoder = model(tied=False)
    there, back = (compressed(decoder, Source(decoder)).state for _ in range(2))
    names = list(there.schemes)
    forth = {name: there.weights[name].decode() for name in names}
    for name in reversed(names):
        np.testing.assert_array_equal(back.weights[name].decode(), forth[name], err_msg=name)


def held() -> tuple[int, int]:
    """Gram matrices of blocks that are alive, and factors."""
    gc.collect()
    found = gc.get_objects()
    observed = sum(type(one) is InputStatistics and bool(one.gram) for one in found)
    return observed, sum(type(one) is Feedback for one in found)


def test_of_all_blocks_one_gram_matrix_is_held() -> None:
    decoder = model(tied=False)
    observed, factors = held()
    state = compressed(decoder, Source(decoder)).state
    assert len([state.weights[name] for name in state.schemes]) == 15
    assert held() == (observed + 1, factors + 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"groups": "moved"}, "groups: moved needs order: stored"),
        ({"damping": 0}, "damping"),
        (
            {"zeros": "kept", "weights": {"bits": 4, "offset": "minimum"}},
            "zeros: kept needs an offset other than minimum",
        ),
        ({"dampening": 0.1}, "did you mean 'damping'"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], words: str) -> None:
    decoder = model(tied=True)
    with pytest.raises(ParameterError, match=words):
        compressed(decoder, Source(decoder), **settings)


def test_without_tokens_nothing_can_be_made_up_for() -> None:
    decoder = model(tied=True)
    with pytest.raises(ParameterError, match="gptq needs tokens"):
        compressed(decoder, Source(decoder), [])
