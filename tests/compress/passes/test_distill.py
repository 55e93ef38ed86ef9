"""The pass in recipes: what it learns, from whom, and when."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.passes import distill
from honed.compress.passes.distill import Distill
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.scheme import DenseScheme
from honed.errors import MachineError, ParameterError
from training_models import Distance, disturbed, some_windows, tiny_state, wide_state

SMALL = {
    "pass": "distill",
    "steps": 30,
    "batch": 4,
    "together": 4,
    "held_out": 4,
    "evaluate": 10,
    "precision": "float32",
    "optimizer": {"rate": 1e-3},
}
INT4 = {"bits": 4, "group": 32}
ROUNDED = {"pass": "round_to_nearest", "weights": INT4, "activations": {"group": None}}
WINDOWS = some_windows(64)


def state_of(*, apart: bool = False) -> ModelState:
    return tiny_state("smollm2", head_apart=apart)


def run(
    *passes: dict[str, Any],
    apart: bool = False,
    given: ModelState | None = None,
    text: list[list[int]] = WINDOWS,
) -> Compressed:
    recipe = read_recipe({"passes": list(passes)})
    return run_recipe(given or state_of(apart=apart), recipe, threads=1, calibration=text)


def decoded(state: ModelState) -> ModelState:
    return replace(state, weights={name: Dense(weight.decode(), "float32") for name, weight in state.weights.items()})


def test_what_is_pruned_learns_from_the_model_before() -> None:
    """Both are told of text by the pipeline; only what is learned from is all of it."""
    source, text = wide_state(), some_windows(256, vocabulary=8)
    pruning = {"pass": "prune_neurons", "share": 0.4, "score": "magnitude", "repair": False}
    done = run(pruning, {**SMALL, "steps": 40, "batch": 8}, given=source, text=text)
    assert done.state.model.weights()["model.layers.0.mlp.up_proj.weight"].shape == (96, 64)
    judged = Distance(source, some_windows(8, seed=77, vocabulary=8))
    assert judged.of(decoded(done.state)) < 0.7 * judged.of(decoded(done.states[1]))


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_rounded_in_training_is_better_once_it_is_stored(apart: bool) -> None:
    """Of a tied head that is encoded, the table is rounded with it."""
    source = wide_state(head_apart=apart)
    rounded = {**ROUNDED, "overrides": [] if apart else [{"modules": "lm_head", "setting": "dense"}]}
    quantized = {name: value for name, value in rounded.items() if name != "pass"}
    plain = run(rounded, given=source)
    longer = {**SMALL, "steps": 60, "optimizer": {"rate": 3e-4}}
    text = some_windows(256)
    aware = run({**longer, "quantized": {**quantized, "refresh": 5}}, rounded, given=source, text=text)
    unaware = run({**SMALL, "steps": 5}, rounded, given=source)
    assert aware.state.schemes == plain.state.schemes
    judged = Distance(source, some_windows(8, seed=77))
    before, after, without = (judged.of(as_stored(done)) for done in (plain, aware, unaware))
    assert after < 0.85 * before
    assert without == pytest.approx(before, rel=0.05)  # nothing is lost before it is rounded, so nothing is learned


def as_stored(done: Compressed) -> ModelState:
    """With the head's values in the table where it has its own."""
    found = decoded(done.state)
    head = found.weights.get("lm_head.weight")
    table = {} if head is None or "lm_head.weight" not in done.state.schemes else {"model.embed_tokens.weight": head}
    return replace(found, weights={**found.weights, **table})


def test_head_and_table_stay_one_weight() -> None:
    done = run({**SMALL, "steps": 2, "evaluate": 1}, apart=True, given=disturbed(state_of(apart=True), 0.0)).state
    head, table = (done.weights[name].decode() for name in ("lm_head.weight", "model.embed_tokens.weight"))
    assert np.array_equal(head, table)


class Counted(dict[str, Encoded]):
    reads = 0

    def __getitem__(self, name: str) -> Encoded:
        Counted.reads += 1
        return super().__getitem__(name)


def test_nothing_is_read_or_trained_before_a_value_is_asked_for() -> None:
    Counted.reads = 0
    source = state_of()
    given = replace(source, weights=Counted(source.weights))
    done = run({**SMALL, "steps": 1}, given=given)
    assert all(done.state.weights[name].shape == weight.shape for name, weight in source.model.weights().items())
    assert set(done.state.weights) == set(source.weights)
    shapes_only = Counted.reads
    done.state.weights["model.norm.weight"].decode()
    trained = Counted.reads
    assert trained > shapes_only
    done.state.weights["model.layers.0.mlp.up_proj.weight"].decode()
    assert Counted.reads - trained <= 1  # the shape, and no second training


def test_minutes_say_that_they_come_out_otherwise_each_time() -> None:
    timed = {**SMALL, "steps": None, "minutes": 0.01}
    assert "may not come to the same weights" in run(timed).state.notes[-1]
    assert run(SMALL).state.notes == ()


def test_what_comes_too_late_for_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    smoothed = {"pass": "smooth", "strength": 0.5, "junctions": "head"}
    with pytest.raises(ParameterError, match="has come apart from its table before this pass"):
        run(smoothed, SMALL, apart=True)
    encoded = replace(state_of(), schemes={"model.layers.0.mlp.up_proj.weight": DenseScheme("float32")})
    with pytest.raises(ParameterError, match="is encoded already; distill comes before that"):
        run(SMALL, given=encoded)
    monkeypatch.setattr(distill, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"needs torch.*pip install 'honed\[train\]'"):
        run(SMALL)


def test_a_recipe_with_it_asks_for_tokens() -> None:
    recipe = read_recipe({"passes": [SMALL]})
    assert recipe.calibrates and recipe.calibrates_in_detail
    with pytest.raises(ParameterError, match="the pass distill needs tokens"):
        run_recipe(state_of(), recipe, threads=1)
    with pytest.raises(ParameterError, match="did you mean 'temperature'"):
        read_recipe({"passes": [{**SMALL, "logits": {"temperatur": 2.0}}]})
    assert Distill.needs.teacher


def test_a_recipe_with_it_is_read_without_torch() -> None:
    program = """
import sys
sys.modules["torch"] = None
from honed.compress.recipe import read_recipe
print([step.kind for step in read_recipe("prune-25-heal").passes])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("['prune_neurons', 'prune_heads', 'distill', 'smooth'"), done.stderr
