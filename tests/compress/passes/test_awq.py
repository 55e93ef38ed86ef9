"""Factors move without changing the model, layers lose less of their outputs when they are rounded behind it, and the
pass goes block by block and holds little; how factors and limits are found is tested with `activation_aware.py`."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from honed.compress.attention_scores import find_score_layers
from honed.compress.base import ModelState
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import InputStatistics
from honed.compress.observe import observe
from honed.compress.pipeline import run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.stored import StoredWeights
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import ParameterError
from honed.models.base import DecoderModel, Model
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Rows, Step, run
from tiny_models import tiny_config

WINDOWS = [[int(token) for token in row] for row in np.random.default_rng(9).integers(3, 90, (6, 24))]
FOUR_BITS: dict[str, Any] = {"weights": {"bits": 4, "group": 32, "offset": "zero_point"}}
HEAD_IN_EIGHT = {"modules": "lm_head", "setting": {"weights": {"bits": 8, "group": 32}}}
ROUND: dict[str, Any] = {"pass": "round_to_nearest", **FOUR_BITS, "overrides": [HEAD_IN_EIGHT]}
WIDE = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
FAMILIES = ("smollm2", "qwen2", "qwen3", "mixtral", "cohere", "granite")


class Source:
    """A random model with a few inputs that are far larger than others, as trained ones have; and what was decoded."""

    def __init__(self, family: str = "smollm2", *, head_apart: bool = True) -> None:
        self.config = {**tiny_config(family), **WIDE}
        self.model: DecoderModel = read_model(self.config)
        random = np.random.default_rng(5)
        self.values: dict[str, NDArray[np.float32]] = {}
        for name, weight in self.model.weights().items():
            values = random.standard_normal(weight.shape) * (0.1 if len(weight.shape) == 2 else 0.3)
            if name.endswith("norm.weight"):
                values = np.exp(1.2 * random.standard_normal(weight.shape))
            self.values[name] = values.astype(np.float32)
        self.decoded: list[str] = []
        self.head_apart = head_apart

    def __call__(self, name: str) -> Encoded:
        return _Counted(self, name)

    def run(self, *passes: dict[str, Any]) -> tuple[ModelState, ...]:
        weights = SourceWeights(self.model, self, head_apart=self.head_apart)
        given = ModelState(self.config, self.model, weights)
        return run_recipe(given, read_recipe({"passes": list(passes)}), threads=1, calibration=WINDOWS).states

    def fitted(self, **settings: Any) -> ModelState:
        return self.run({"pass": "awq", **FOUR_BITS, **settings})[-1]


class _Counted(Dense):
    def __init__(self, source: Source, name: str) -> None:
        object.__setattr__(self, "values", source.values[name])
        object.__setattr__(self, "dtype", "float32")
        object.__setattr__(self, "of", (source, name))

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        source, name = self.of  # type: ignore[attr-defined]
        source.decoded.append(name)
        return super().decode(rows)


def logits(model: Model, state: ModelState) -> NDArray[np.float32]:
    tensors = {name: torch.from_numpy(state.weights[name].decode().copy()) for name in model.weights()}
    with torch.inference_mode():
        given = run(recorded(model), Step(tensors, Rows.single(torch.tensor(WINDOWS[0])), GrowingStore()))
    found: NDArray[np.float32] = given["logits"].numpy()
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factors", ["inputs", "weights"])
def test_factors_alone_change_nothing(family: str, factors: str) -> None:
    source = Source(family)
    before, after = source.run({"pass": "awq", **FOUR_BITS, "clip": False, "factors": factors})
    expected, found = logits(source.model, before), logits(source.model, after)
    assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)
    changed = {name for name in source.values if not np.array_equal(after.weights[name].decode(), source.values[name])}
    ends = {"o_proj.weight", "v_proj.weight", "input_layernorm.weight"}
    if family != "mixtral":
        ends |= {"up_proj.weight", "down_proj.weight"}
    if family == "qwen2":
        ends.add("v_proj.bias")
    for end in ends:
        assert any(name.endswith(end) for name in changed), end


def test_heads_that_share_values_share_factors() -> None:
    source = Source()
    weights = source.fitted(clip=False).weights
    name = "model.layers.0.self_attn.o_proj.weight"
    factors = np.median(weights[name].decode() / source.values[name], axis=0).reshape(2, 2, 16)
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-5)
    assert np.ptp(factors[:, 0]) > 0.01


@pytest.mark.parametrize("family", ["smollm2", "qwen2"])
@pytest.mark.parametrize("factors", ["inputs", "weights"])
def test_layers_lose_less_of_their_outputs(family: str, factors: str) -> None:
    source = Source(family)
    _, plain = source.run(ROUND)
    _, fitted, done = source.run({"pass": "awq", **FOUR_BITS, "clip": False, "factors": factors}, ROUND)
    dense = {name: Dense(values, "float32") for name, values in source.values.items()}
    gram = observe(source.model, dense, WINDOWS, {"gram"}, threads=1).gram
    lost: dict[str, float] = {}
    for weight in find_linears(source.model).layers:
        name, original = weight.name, source.values[weight.name].astype(np.float64)
        # fitted[i, j] = original[i, j] * columns[j] / rows[i], and what is rounded then is undone likewise.
        ratio = fitted.weights[name].decode() / original
        left = done.weights[name].decode() / ratio
        before, after = (
            float(np.sum((rounded - original) @ gram[name] * (rounded - original)))
            for rounded in (plain.weights[name].decode(), left)
        )
        lost[name] = after / before
    assert np.mean(list(lost.values())) < 0.75
    # A junction is judged as a whole, by the layers that read there: one of them may lose for another.
    ends = ("o_proj.weight", "down_proj.weight")
    assert max(value for name, value in lost.items() if name.endswith(ends)) < 1 + 1e-3


def test_large_weights_are_clipped_but_not_of_queries_and_keys() -> None:
    source = Source()
    clipped, whole = (source.fitted(clip=clip).weights for clip in (True, False))
    scores = find_score_layers(source.model)
    # Of the first block alone the inputs, and so the factors, are the same with and without.
    layer = "model.layers.0.self_attn"
    for name in (f"{layer}.{part}_proj.weight" for part in "qkvo"):
        ours, all_of_it = (np.abs(weights[name].decode()) for weights in (clipped, whole))
        assert (ours <= all_of_it).all()
        assert bool((ours == all_of_it).all()) is (name in scores)


def test_what_stays_dense_or_has_eight_bits_is_not_clipped() -> None:
    source = Source()
    eight = {"modules": "*.down_proj", "setting": {"weights": {"bits": 8, "group": 32}}}
    dense = {"modules": "*.o_proj", "setting": "dense"}
    weights = source.fitted(factors=None, clip=True, overrides=[eight, dense]).weights
    for name, values in source.values.items():
        same = np.array_equal(weights[name].decode(), values)
        assert same or not name.endswith(("down_proj.weight", "o_proj.weight", "norm.weight")), name
    assert not np.array_equal(
        weights["model.layers.0.mlp.up_proj.weight"].decode(), source.values["model.layers.0.mlp.up_proj.weight"]
    )


@pytest.mark.parametrize("junctions", ["layers", "head"])
def test_the_head_is_a_junction_of_its_own(junctions: str) -> None:
    source = Source()
    state = source.fitted(junctions=junctions, clip=False)
    changed = {name for name in source.values if not np.array_equal(state.weights[name].decode(), source.values[name])}
    if junctions == "layers":
        assert "model.norm.weight" not in changed
        assert state.tied_head.product() is None
        return
    assert changed == {"model.norm.weight"}
    assert state.tied_head.along == {"model.norm.weight"}
    factors = state.tied_head.product()
    assert factors is not None
    table = source.values["model.embed_tokens.weight"]
    np.testing.assert_array_equal(state.weights[HEAD].decode(), table * factors)
    np.testing.assert_array_equal(
        state.weights["model.norm.weight"].decode(), source.values["model.norm.weight"] / factors
    )


def test_planning_decodes_nothing_and_rows_are_rows_of_the_whole() -> None:
    source = Source()
    state = source.run({"pass": "awq", **FOUR_BITS, "clip": True}, ROUND)[1]
    assert source.decoded == []
    weight = state.weights["model.layers.1.mlp.down_proj.weight"]
    np.testing.assert_array_equal(weight.decode(slice(3, 9)), weight.decode()[3:9])


def test_the_same_whatever_the_order_in_which_weights_are_asked_for() -> None:
    there, back = (Source().fitted(clip=True) for _ in range(2))
    names = list(there.weights)
    forth = {name: there.weights[name].decode() for name in names}
    for name in reversed(names):
        np.testing.assert_array_equal(back.weights[name].decode(), forth[name], err_msg=name)


def test_of_all_blocks_one_gram_matrix_is_held() -> None:
    def held() -> int:
        gc.collect()
        return sum(type(one) is InputStatistics and bool(one.gram) for one in gc.get_objects())

    before = held()
    state = Source().fitted()
    assert len([state.weights[name].decode() for name in state.weights]) > 15
    assert held() == before + 1


@pytest.mark.parametrize(
    "passes",
    [
        [{"pass": "rotate"}, {"pass": "awq", **FOUR_BITS, "clip": True}, {**ROUND, "pass": "gptq"}],
        [{"pass": "smooth", "junctions": "head"}, {"pass": "awq", **FOUR_BITS}, ROUND],
        [{"pass": "awq", **FOUR_BITS}, {"pass": "smooth"}, ROUND],
    ],
)
def test_it_stands_in_recipes_with_others(passes: list[dict[str, Any]]) -> None:
    source = Source()
    expected = logits(source.model, source.run(ROUND)[0])
    plain, found = (_stored_logits(source, given) for given in ([ROUND], passes))
    assert np.square(found - expected).mean() < 0.95 * np.square(plain - expected).mean()


def _stored_logits(source: Source, passes: list[dict[str, Any]]) -> NDArray[np.float32]:
    """Of what an artifact would hold."""
    given = ModelState(source.config, source.model, SourceWeights(source.model, source))
    done = run_recipe(given, read_recipe({"passes": passes}), threads=1, calibration=WINDOWS)
    stored = StoredWeights(done)
    tensors = {name: torch.from_numpy(stored.weight(name).decode().copy()) for name in stored.schemes}
    embedding: dict[str, torch.Tensor] = {}
    if stored.tied_table is not None:  # the head multiplies with codes that the table undoes the factors of
        embedding[stored.tied_table] = tensors[stored.tied_table]
        tensors[stored.tied_table] = torch.from_numpy(done.state.weights[HEAD].decode().copy())
    with torch.inference_mode():
        step = Step(tensors, Rows.single(torch.tensor(WINDOWS[0])), GrowingStore(), embedding)
        found: NDArray[np.float32] = run(recorded(done.state.model), step)["logits"].numpy()
    return found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"factors": "both"}, "factors"),
        ({"weights": {"bits": 4, "group": None}}, "4-bit weights need a group"),
        ({"clipping": True}, "did you mean 'clip'"),
        ({"overrides": [{"modules": "", "setting": "dense"}]}, "modules"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Source().fitted(**settings)


def test_without_tokens_nothing_is_known_of_what_enters() -> None:
    source = Source()
    given = ModelState(source.config, source.model, SourceWeights(source.model, source))
    with pytest.raises(ParameterError, match="awq needs tokens"):
        run_recipe(given, read_recipe({"passes": [{"pass": "awq", **FOUR_BITS}]}), threads=1)
