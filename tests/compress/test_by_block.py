"""A pass that goes block by block is told of what enters each when all before it are changed, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from honed.compress.base import ModelState
from honed.compress.block_rows import BlockRows
from honed.compress.by_block import apply_by_block
from honed.compress.linears import HEAD
from honed.compress.needs import InputStatistics, Needs, Observed
from honed.compress.observe import Walk, observe
from honed.compress.progress_store import MadeProgress
from honed.compress.settings import PassSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.base import Model
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.values import TOKENS
from tiny_models import SIZES

WINDOWS = [[3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]]
TABLE = "model.embed_tokens.weight"
UP, DOWN = (f"model.layers.0.mlp.{name}_proj.weight" for name in ("up", "down"))
LAST = "model.layers.1.mlp.down_proj.weight"


@dataclass(frozen=True)
class Nudged:
    """Adds to each linear layer something that depends on what enters it."""

    told: list[tuple[Observed, InputStatistics]] = field(default_factory=list)
    settings: ClassVar[PassSettings] = PassSettings.model_validate({"pass": "nudged"})
    needs: ClassVar[Needs] = Needs(frozenset({"mean_square", "gram"}), "blocks")

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        def make(name: str) -> Encoded:
            inputs = observed.inputs()
            if not self.told or self.told[-1][0] is not observed:
                self.told.append((observed, inputs))
            gram = inputs.gram[TABLE if name == HEAD else name]
            added = 0.1 * np.cos(np.diag(gram)) + 0.01 * gram[0]
            return Dense(state.weights[name].decode() + added.astype(np.float32), "float32")

        names = {HEAD if name == TABLE else name for name in observed.linears}
        return replace(state, weights=ChangedWeights(state.weights, make, frozenset(names)))


class Source(Mapping[str, Encoded]):
    """Random weights that remember which of them were looked up."""

    def __init__(self, model: Model) -> None:
        random = np.random.default_rng(4)
        self.of_source: dict[str, Encoded] = {
            name: Dense((random.standard_normal(weight.shape) / 4).astype(np.float32), "float32")
            for name, weight in model.weights().items()
        }
        self.of_source[HEAD] = self.of_source[TABLE]
        self.read: list[str] = []

    def __getitem__(self, name: str) -> Encoded:
        self.read.append(name)
        return self.of_source[name]

    def __contains__(self, name: object) -> bool:
        return name in self.of_source

    def __iter__(self) -> Iterator[str]:
        return iter(self.of_source)

    def __len__(self) -> int:
        return len(self.of_source)


def changed() -> tuple[Nudged, Source, ModelState]:
    model = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": True})
    step, source = Nudged(), Source(model)
    return step, source, apply_by_block(step, ModelState({}, model, source), WINDOWS, threads=1)


def test_nothing_is_read_before_a_weight_is_asked_for_and_no_more_than_leads_there() -> None:
    _, source, state = changed()
    assert source.read == []
    assert state.weights[UP].kind == "dense"
    assert not any(".layers.1." in name for name in source.read)


@pytest.mark.parametrize("last_first", [False, True])
def test_each_block_is_told_of_what_those_before_it_have_become(last_first: bool) -> None:
    step, source, state = changed()
    names = list(state.weights)
    found = {name: state.weights[name] for name in (reversed(names) if last_first else names)}
    blocks = [observed.linears for observed, _ in step.told]
    assert len(blocks) == 2 * 2 + 1
    assert len(set().union(*blocks)) == sum(map(len, blocks)) == 2 * 7 + 1
    now = observe(state.model, found, WINDOWS, {"mean_square"}, threads=1)
    before = observe(state.model, source.of_source, WINDOWS, {"mean_square"}, threads=1)
    for (observed, inputs), number in zip(step.told, range(5), strict=True):
        entered = next(name for name in now.mean_square if name in observed.linears)  # the first of its layers
        np.testing.assert_array_equal(inputs.mean_square[entered], now.mean_square[entered])
        assert np.array_equal(inputs.mean_square[entered], before.mean_square[entered]) is (number == 0)
        assert inputs.mean_square.keys() == inputs.gram.keys() == observed.linears
    # Within a block nothing is changed yet: `down` is told of what `up` gave before.
    _, of_mlp = next(told for told in step.told if DOWN in told[0].linears)
    assert not np.array_equal(of_mlp.mean_square[DOWN], now.mean_square[DOWN])


def test_the_order_in_which_weights_are_asked_for_changes_nothing_and_each_is_made_once() -> None:
    (_, first, there), (_, _, back) = changed(), changed()
    names = list(there.weights)
    expected = {name: there.weights[name].decode() for name in names}
    reads = len(first.read)
    for name in reversed(names):
        np.testing.assert_array_equal(back.weights[name].decode(), expected[name], err_msg=name)
        np.testing.assert_array_equal(there.weights[name].decode(), expected[name], err_msg=name)
    assert len(first.read) == reads


def test_one_block_is_observed_at_a_time() -> None:
    step, source, state = changed()
    assert state.weights[LAST].kind == "dense"
    order = [name for name in source.read if ".layers." in name]
    blocks = [(name.split(".")[2], "mlp" in name or "post" in name) for name in order]
    assert blocks == sorted(blocks)
    assert len({id(inputs) for _, inputs in step.told}) == len(step.told) == 4


def test_a_block_that_was_left_behind_is_not_observed_again() -> None:
    step, _, state = changed()
    assert state.weights[LAST].kind == "dense"
    with pytest.raises(RuntimeError, match="block 0 was left behind"):
        step.told[0][0].inputs()


def test_the_table_stays_what_the_head_comes_apart_from() -> None:
    _, source, state = changed()
    np.testing.assert_array_equal(state.weights[TABLE].decode(), source.of_source[TABLE].decode())
    assert not np.array_equal(state.weights[HEAD].decode(), source.of_source[TABLE].decode())


class Kept:
    """A store in memory that remembers what was asked of it."""

    def __init__(self, weights: Mapping[str, Encoded]) -> None:
        self.weights = dict(weights)
        self.saved: list[str] = []

    def load(self, name: str) -> Encoded | None:
        return self.weights.get(name)

    def save(self, name: str, weight: Encoded) -> None:
        self.saved.append(name)
        self.weights[name] = weight

    def directory(self) -> Path:
        return Path("of this pass")


def go_on(kept: Kept, progress: MadeProgress | None = None) -> tuple[Nudged, ModelState]:
    model = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": True})
    step, given = Nudged(), ModelState({}, model, Source(model))
    return step, apply_by_block(step, given, WINDOWS, threads=1, store=kept, progress=progress)


def test_what_the_pass_changes_is_kept_and_nothing_else() -> None:
    kept = Kept({})
    step, state = go_on(kept)
    for name in state.weights:
        assert state.weights[name].kind == "dense"
    assert len(kept.saved) == len(set(kept.saved)) == 2 * 7 + 1
    assert set(kept.saved) == {HEAD, *(name for name in state.weights if "_proj" in name)}
    directory = step.told[0][0].directory
    assert directory is not None
    assert directory() == Path("of this pass")


@pytest.mark.parametrize("count", range(16))
def test_a_run_goes_on_from_any_weight_with_the_same_bits_and_observes_no_finished_block(count: int) -> None:
    whole = Kept({})
    _, expected = go_on(whole)
    bits = {name: expected.weights[name].decode().tobytes() for name in expected.weights}
    kept = Kept({name: whole.weights[name] for name in whole.saved[:count]})
    reported: list[tuple[str, int, int]] = []
    step, state = go_on(kept, lambda *made: reported.append(made))
    assert {name: state.weights[name].decode().tobytes() for name in state.weights} == bits
    assert kept.saved == whole.saved[count:]
    layers = [told.linears for told, _ in step.told if TABLE not in told.linears]
    assert not any(linears <= set(whole.saved[:count]) for linears in layers)
    assert reported == [("nudged", number, 15) for number in range(1, 16)]


@dataclass(frozen=True)
class Later(Nudged):
    """The same, with values that are found when they are asked for."""

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        after = super().apply(state, observed, threads=threads)
        names = {HEAD if name == TABLE else name for name in observed.linears}
        weights = ChangedWeights.deferred(state.weights, after.weights.__getitem__, frozenset(names))
        return replace(after, weights=weights)


def test_values_that_are_found_later_are_kept_when_they_are_found() -> None:
    model = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": True})
    _, expected = go_on(Kept({}))
    kept, source = Kept({}), Source(model)
    state = apply_by_block(Later(), ModelState({}, model, source), WINDOWS, threads=1, store=kept)
    assert state.weights[LAST].shape == source.of_source[LAST].shape
    assert kept.saved == []
    np.testing.assert_array_equal(state.weights[LAST].decode(), expected.weights[LAST].decode())
    assert LAST in kept.saved


class Rowed(Nudged):
    """Takes the rows of each block too."""

    needs: ClassVar[Needs] = Needs(frozenset({"block_rows", "gram", "mean_square"}), "blocks")

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        after = super().apply(state, observed, threads=threads)
        assert observed.rows is not None
        rows = observed.rows

        def make(name: str) -> Encoded:
            found = after.weights[name]
            self.seen.setdefault(len(self.told), rows())
            return found

        names = {HEAD if name == TABLE else name for name in observed.linears}
        return replace(state, weights=ChangedWeights(state.weights, make, frozenset(names)))

    seen: ClassVar[dict[int, BlockRows]] = {}


def test_rows_of_a_block_enter_as_they_were_and_as_they_are_and_the_block_runs_by_itself() -> None:
    model = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": True})
    source, step = Source(model), Rowed()
    step.seen.clear()
    state = apply_by_block(step, ModelState({}, model, source), WINDOWS, threads=1)
    made = {name: state.weights[name] for name in reversed(list(state.weights))}
    blocks = [step.seen[number] for number in sorted(step.seen)]
    assert len(blocks) == 5
    assert blocks[0].source == blocks[0].changed == {}  # it begins with tokens
    assert not blocks[-1].graph.outputs  # and the head gives nothing for each of them
    weights = {name: torch.from_numpy(each.decode()) for name, each in source.of_source.items()}
    walks = {name: Walk(model, WINDOWS, threads=1) for name in ("source", "changed")}
    for number, own in enumerate(blocks):
        for which, given in (("source", source.of_source), ("changed", made)):
            entered = list(walks[which].entering(walks[which].blocks[number]).values())
            for found, expected in zip(getattr(own, which).values(), entered, strict=True):
                np.testing.assert_array_equal(found, expected)
            walks[which].through(walks[which].blocks[number], given)
        if not own.graph.outputs:
            continue
        inputs = {TOKENS: torch.from_numpy(own.tokens).flatten()}
        inputs |= {name: torch.from_numpy(rows) for name, rows in own.source.items()}
        (left,) = run(own.graph, Step(weights, Rows.whole(inputs, [6, 6]), GrowingStore())).values()
        (expected,) = walks["source"].entering(walks["source"].blocks[number + 1]).values()
        np.testing.assert_allclose(left.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_who_did_not_ask_for_rows_has_none() -> None:
    told: list[Observed] = []

    class Asking(Nudged):
        def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
            told.append(observed)
            return super().apply(state, observed, threads=threads)

    model = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": True})
    apply_by_block(Asking(), ModelState({}, model, Source(model)), WINDOWS, threads=1)
    assert all(one.rows is None for one in told)
