"""What enters linear layers, against forward hooks in transformers and against numpy; block by block; and what is
refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from honed.compress.blocks import find_blocks
from honed.compress.needs import InputStatistics, Statistic
from honed.compress.observe import Tokens, Walk, observe, slow_blocks
from honed.compress.observed_ops import NUMPY, Floats, Step, _route
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, float32_to_bfloat16
from honed.errors import ParameterError, PlanError
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.models.registry import read_model
from honed.native import extension
from honed.notes import HonedWarning
from tiny_encoder import RandomWeights, TinyEncoder
from tiny_models import FAMILIES, golden, tiny_config
from unknown_op import Unknown, odd_model

WINDOWS = [[3, 4, 5, 6, 7, 8, 9, 10, 11], [12, 3, 3, 14, 15, 16, 17, 18, 19]]
MEAN_SQUARE: frozenset[Statistic] = frozenset({"mean_square"})
MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "gpt_oss")
"""They go through numpy, where experts that few tokens go to are shown others."""
BOTH: frozenset[Statistic] = frozenset({"mean_square", "gram"})


def test_mean_squares_equal_those_of_hooks(tiny_llama: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    weights = {name: Dense(value.detach().numpy(), "float32") for name, value in reference.named_parameters()}
    expected: dict[str, np.ndarray] = {}

    def hook(name: str):  # type: ignore[no-untyped-def]
        def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            expected[name] = inputs[0].double().square().mean(dim=(0, 1)).numpy()

        return note

    for name, module in reference.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(hook(name))
    with torch.no_grad():
        reference(torch.tensor(WINDOWS))

    model = read_model(json.loads((tiny_llama / "config.json").read_text()))
    statistics = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)

    assert statistics.tokens == 18
    tied_head = expected.pop("lm_head")
    np.testing.assert_allclose(statistics.mean_square["model.embed_tokens.weight"], tied_head, rtol=1e-4)
    assert set(statistics.mean_square) == {f"{name}.weight" for name in expected} | {"model.embed_tokens.weight"}
    for name, value in expected.items():
        np.testing.assert_allclose(statistics.mean_square[f"{name}.weight"], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("windows", [[], [[]], [[1, 2], [3]], [[1, -1]], [[1, 10**6]]])
def test_bad_windows_are_refused(tiny_llama: Path, windows: list[list[int]]) -> None:
    model = read_model(json.loads((tiny_llama / "config.json").read_text()))
    with pytest.raises(ParameterError, match="calibration"):
        observe(model, {}, windows, MEAN_SQUARE, threads=1)


def test_an_op_that_is_not_known_is_named() -> None:
    with pytest.raises(PlanError, match=r"Unknown: has no function in compress/observed_ops\.py"):
        observe(odd_model(), {}, WINDOWS, MEAN_SQUARE, threads=1)


def test_statistics_of_an_encoder() -> None:
    model = TinyEncoder()
    statistics = observe(model, RandomWeights(model).weights, WINDOWS, MEAN_SQUARE, threads=1)
    assert {name.split(".")[-2] for name in statistics.mean_square} == {*"qkvo", "up", "down", "pooler"}


class Tracked(Mapping[str, Encoded]):
    """Random weights of a model that remember which of them were read. Those of layer 1 are bfloat16."""

    def __init__(self, model: Model) -> None:
        random = np.random.default_rng(5)
        self.random: dict[str, Encoded] = {}
        for name, weight in model.weights().items():
            values = random.normal(size=weight.shape).astype(np.float32) / np.float32(4)
            brain = ".1." in name and len(weight.shape) == 2
            self.random[name] = Dense(float32_to_bfloat16(values), "bfloat16") if brain else Dense(values, "float32")
        self.read: list[str] = []

    def __getitem__(self, name: str) -> Encoded:
        self.read.append(name)
        return self.random[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.random)

    def __len__(self) -> int:
        return len(self.random)


def in_numpy(model: Model, weights: Mapping[str, Encoded], windows: Tokens) -> dict[str, Floats]:
    """What enters each linear layer where nobody asks for blocks."""
    found: dict[str, Floats] = {}

    def note(name: str, x: Floats) -> None:
        found.setdefault(name, x.reshape(-1, x.shape[-1]))

    NUMPY.run(main_graph(model), Step(np.array(windows), lambda name: weights[name].decode(), note, frozenset()))
    return found


def model_of(kind: str) -> Model:
    if kind == "encoder":
        return TinyEncoder()
    return read_model({"rms_norm_eps": 1e-6, "rope_theta": 10000.0, **tiny_config(kind)})


def assert_same(found: InputStatistics, expected: InputStatistics) -> None:
    assert found.mean_square.keys() == expected.mean_square.keys()
    assert found.gram.keys() == expected.gram.keys()
    for name, value in expected.mean_square.items():
        np.testing.assert_array_equal(found.mean_square[name], value, err_msg=name)
    for name, value in expected.gram.items():
        np.testing.assert_array_equal(found.gram[name], value, err_msg=name)


@pytest.mark.parametrize("kind", [*(name for name, (kind, _) in FAMILIES.items() if kind not in MIXTURES), "encoder"])
def test_the_native_engine_sees_what_numpy_sees(kind: str) -> None:
    model = model_of(kind)
    assert slow_blocks(model) == ()
    weights = Tracked(model)
    found = observe(model, weights, WINDOWS, BOTH, threads=1)
    inputs = in_numpy(model, weights, WINDOWS)
    assert found.mean_square.keys() == found.gram.keys() == inputs.keys()
    for name, x in inputs.items():
        wide = x.astype(np.float64)
        expected, products = np.mean(wide**2, axis=0), wide.T @ wide / len(wide)
        largest = expected.max()
        np.testing.assert_allclose(found.mean_square[name], expected, rtol=1e-3, atol=1e-5 * largest, err_msg=name)
        np.testing.assert_allclose(found.gram[name], products, rtol=1e-3, atol=1e-4 * largest, err_msg=name)


@pytest.mark.parametrize("kind", ["llama2", "encoder"])
def test_neither_threads_nor_the_instruction_set_change_a_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kind)
    weights = Tracked(model)
    windows = np.random.default_rng(1).integers(0, 30, (60, 9)).tolist()  # more rows than one product of a Gram matrix
    expected = observe(model, weights, windows, BOTH, threads=1)
    for isa in extension.isas():
        monkeypatch.setenv("HONED_ISA", isa)
        assert_same(observe(model, weights, windows, BOTH, threads=2), expected)


def test_windows_do_not_see_each_other() -> None:
    model = model_of("qwen3")
    weights = Tracked(model)
    first, second = (observe(model, weights, [window], MEAN_SQUARE, threads=1) for window in WINDOWS)
    both = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)
    for name, value in both.mean_square.items():
        expected = (first.mean_square[name] + second.mean_square[name]) / 2
        np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", ["llama2", "mistral", "qwen2", "qwen3", "encoder"])
def test_weights_of_one_block_are_read_at_a_time_and_the_whole_is_the_same_to_the_bit(kind: str) -> None:
    model = model_of(kind)
    weights = Tracked(model)
    whole = observe(model, weights, WINDOWS, BOTH, threads=1)
    walk, squares, grams = Walk(model, WINDOWS, threads=1), dict[str, np.ndarray](), dict[str, np.ndarray]()
    assert walk.blocks == find_blocks(main_graph(model))
    for block in walk.blocks:
        weights.read.clear()
        before = walk.look_into(block, weights, BOTH)
        assert weights.read
        of_block = walk.through(block, weights, BOTH)
        assert set(weights.read) <= {w.name for s in block.statements for w in s.operation.weights}
        assert of_block.mean_square.keys() == of_block.gram.keys() == block.linears
        assert_same(before, of_block)
        squares, grams = {**of_block.mean_square, **squares}, {**of_block.gram, **grams}
    assert_same(InputStatistics(squares, grams, whole.tokens), whole)


@pytest.mark.parametrize("kind", ["qwen2", "encoder", "olmoe"])
def test_windows_that_go_through_in_parts_are_the_same_rows(kind: str) -> None:
    model = model_of(kind)
    weights = of_experts(kind) if kind in MIXTURES else Tracked(model)
    windows = np.random.default_rng(1).integers(3, 30, (7, 6)).tolist()
    whole, parts = Walk(model, windows, threads=1), Walk(model, windows, threads=1, part_rows=13)
    for block in whole.blocks:
        expected = whole.through(block, weights, BOTH)
        found = parts.through(block, weights, BOTH)
        assert found.tokens == expected.tokens
        assert found.mean_square.keys() == expected.mean_square.keys()
        for name, value in expected.mean_square.items():
            np.testing.assert_allclose(found.mean_square[name], value, rtol=1e-12, err_msg=name)
            np.testing.assert_allclose(found.gram[name], expected.gram[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_block_is_gone_through_in_the_same_bits_whether_it_is_looked_into_or_not() -> None:
    model = model_of("qwen2")
    weights = Tracked(model)
    looked, blind = Walk(model, WINDOWS, threads=1), Walk(model, WINDOWS, threads=1)
    *first, last = looked.blocks
    for block in first:
        looked.through(block, weights, BOTH)
        blind.through(block, weights)
    assert_same(blind.through(last, weights, BOTH), looked.through(last, weights, BOTH))


@pytest.fixture
def known_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if someone had given the op a function there and nothing in the executor."""
    functions = {**NUMPY._functions, Unknown: lambda op, step, x: x * step.read(op.weight.name)}
    monkeypatch.setattr(NUMPY, "_functions", functions)


@pytest.mark.usefixtures("known_in_numpy")
def test_a_block_with_an_op_that_the_native_plan_does_not_know_goes_through_numpy_and_says_so() -> None:
    model = odd_model()
    (note,) = slow_blocks(model)
    assert note.startswith("1 of 5 blocks were calibrated in numpy, as the native engine does not run them: ")
    assert note.endswith("(Unknown): is not an operation of the executor")
    weights = Tracked(model)
    found = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)
    inputs = in_numpy(model, weights, WINDOWS)
    assert found.mean_square.keys() == inputs.keys()
    for name, x in inputs.items():
        np.testing.assert_allclose(found.mean_square[name], np.mean(np.square(x), axis=0), rtol=1e-3, err_msg=name)


def of_experts(family: str) -> dict[str, Encoded]:
    checkpoint = golden(family).checkpoint
    return {name: checkpoint.weight(name) for name in read_model(checkpoint.config).weights()}


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "granitemoe"])
def test_experts_that_few_rows_go_to_are_named_and_shown_others(family: str) -> None:
    checkpoint = golden(family).checkpoint
    model = read_model(checkpoint.config)
    windows = np.random.default_rng(5).integers(0, 97, (2, 20)).tolist()
    with pytest.warns(HonedWarning, match=r"weights of experts saw fewer than 64 tokens.*calibrate on more text"):
        found = observe(model, of_experts(family), windows, {"mean_square"}, threads=1)
    experts = {name for name in model.weights() if ".experts." in name}
    assert experts <= found.mean_square.keys()
    assert found.few.keys() == experts  # 40 tokens
    assert all(np.all(found.mean_square[name] > 0) for name in experts)


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "granitemoe"])
def test_what_is_shown_to_experts_changes_nothing_else(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = golden(family).checkpoint
    model = read_model(checkpoint.config)
    windows = np.random.default_rng(6).integers(0, 97, (2, 30)).tolist()

    def others(few: int) -> dict[str, NDArray[np.float64]]:
        monkeypatch.setattr(sys.modules[_route.__module__], "FEW_ROWS", few)
        squares = observe(model, of_experts(family), windows, {"mean_square"}, threads=1).mean_square
        return {name: square for name, square in squares.items() if ".experts." not in name}

    with pytest.warns(HonedWarning):
        shown = others(64)
    plain = others(0)
    assert shown.keys() == plain.keys()
    for name, square in plain.items():
        np.testing.assert_allclose(shown[name], square, rtol=1e-4)
