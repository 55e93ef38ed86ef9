"""A pruned vocabulary: the rows of the tokens that are left, in embedding, head and config, and the text renumbered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from honed.compress.linears import find_linears
from honed.compress.pipeline import run_recipe
from honed.compress.recipe import read_recipe
from honed.errors import ParameterError, UnsupportedError
from honed.models.recorded import main_graph
from honed.ops.reference import GrowingStore, Rows, Step, run
from pruned_models import CONFIGS, WINDOWS, random_state, results, tensors_of

PASS = {"pass": "prune_vocabulary"}


@dataclass(frozen=True)
class Along:
    """Tokens 0 and 50 stay along with any."""

    def needed(self, ids: Collection[int]) -> list[int]:
        return sorted({0, 50, *ids})


@pytest.mark.parametrize("name", ["llama-0", "llama-1", "gpt2-0", "opt-0", "gemma3_text-0", "phi3-0", "bert-0"])
def test_logits_are_those_of_the_tokens_that_are_left(name: str) -> None:
    before = replace(random_state({**CONFIGS[name], "eos_token_id": [2, 90]}, head_apart=True), vocabulary=Along())
    after = run_recipe(before, read_recipe({"passes": [PASS]}), threads=1, calibration=WINDOWS).state
    kept = sorted({0, 50, 2, 90, *([1] if before.config["bos_token_id"] else []), *np.unique(WINDOWS)})
    assert after.kept_ids == tuple(kept)
    assert after.config["vocab_size"] == len(kept) < 50
    assert after.config["eos_token_id"] == [kept.index(2), kept.index(90)]
    assert after.weights[find_linears(after.model).embedding.name].shape[0] == len(kept)
    tokens = torch.tensor([kept.index(token) for token in WINDOWS[0]])
    step = Step(
        tensors_of(after), Rows.whole({"tokens": tokens, "token_types": 0 * tokens}, [len(tokens)]), GrowingStore()
    )
    step = replace(step, rows=replace(step.rows, selected=torch.arange(len(tokens))))
    expected = results(before)
    for result, found in run(main_graph(after.model), step).items():
        wanted = expected[result][:, kept] if result == "logits" else expected[result]
        assert float((found - wanted).abs().max()) <= 1e-6 * float(wanted.max() - wanted.min())


def test_passes_behind_it_are_told_of_the_same_text() -> None:
    before = replace(random_state(CONFIGS["llama-0"]), vocabulary=Along())
    recipes = ([PASS, {"pass": "prune_neurons", "share": 0.4}], [{"pass": "prune_neurons", "share": 0.4}])
    first, second = (
        run_recipe(before, read_recipe({"passes": passes}), threads=1, calibration=WINDOWS).state for passes in recipes
    )
    name = "model.layers.1.mlp.down_proj.weight"
    np.testing.assert_array_equal(first.weights[name].decode(), second.weights[name].decode())
    assert first.notes[0].startswith(f"{len(first.kept_ids or ())} of 97 tokens are left")


def test_what_cannot_be_taken_out_is_refused() -> None:
    state = random_state(CONFIGS["llama-0"])
    recipe = read_recipe({"passes": [PASS]})
    with pytest.raises(UnsupportedError, match="prune_vocabulary: needs the tokenizer of the model"):
        run_recipe(state, recipe, threads=1, calibration=WINDOWS)
    known = replace(state, vocabulary=Along())
    with pytest.raises(ParameterError, match="all tokens are used or needed"):
        run_recipe(known, recipe, threads=1, calibration=[list(range(97))])
    with pytest.raises(ParameterError, match="the tokens of a model are taken out once"):
        run_recipe(known, read_recipe({"passes": [PASS, PASS]}), threads=1, calibration=WINDOWS)
    with pytest.raises(ParameterError, match="the pass prune_vocabulary needs tokens"):
        run_recipe(known, recipe, threads=1)
