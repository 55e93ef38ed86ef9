"""The pass solves for each weight the problem of its own inputs, measured where all blocks before it are pruned; how it
is solved is tested with `lasso.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.lasso import refit, scaled, solve
from honed.compress.observe import observe
from honed.encodings.base import Encoded
from honed.errors import ParameterError
from sparse_models import WINDOWS, Source, compressed, decoder, zeros

Q, SECOND = "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.gate_proj.weight"


def pruned(source: Source, **settings: Any) -> dict[str, Encoded]:
    state = compressed(decoder(), source, {"pass": "l1", **settings}).state
    made = {name: state.weights[name] for name in state.weights}
    for weight in made.values():
        weight.decode()
    return made


def change(before: NDArray[np.float32], after: NDArray[np.float32], gram: NDArray[np.float64]) -> float:
    difference = before.astype(np.float64) - after
    return float(np.einsum("ri,ij,rj->", difference, gram, difference))


def test_each_weight_for_what_enters_it_when_those_before_it_are_pruned() -> None:
    model, source = decoder(), Source(decoder())
    made = pruned(source, share=0.4)
    gram = observe(model, made, WINDOWS, {"gram"}, threads=1).gram[SECOND]
    values, inputs = source.weights[SECOND].decode(), scaled(gram, damping=0.01)
    found = solve(values, inputs, inputs.size, share=0.4, steps=60)
    fitted = refit(values, inputs, found.values, found.pruned, steps=60)
    np.testing.assert_array_equal(made[SECOND].decode(), np.where(found.pruned, 0, fitted))
    assert zeros(made[SECOND]) == pytest.approx(0.4, abs=1e-4)


def test_settings_reach_the_solution() -> None:
    model, source = decoder(), Source(decoder())
    gram = observe(model, source.weights, WINDOWS, {"gram"}, threads=1).gram[Q]
    values = source.weights[Q].decode()
    ways: tuple[dict[str, Any], ...]
    ways = ({}, {"penalty": "weight"}, {"refit": False}, {"steps": 5}, {"damping": 0.5}, {"pattern": "2:4"})
    found = [pruned(source, **settings)[Q].decode() for settings in ways]
    assert len({one.tobytes() for one in found}) == len(ways)
    plain, _, shrunk, *_, runs = found
    assert change(values, plain, gram) < change(values, shrunk, gram)
    # Zeroing the same weights and changing no other costs more.
    assert change(values, plain, gram) < change(values, np.where(plain == 0, 0, values), gram)
    assert np.count_nonzero(runs.reshape(-1, 4), axis=1).max() == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"steps": 0}, "steps = 0"), ({"penalty": "l2"}, "penalty"), ({"lamda": 0.1}, "unknown key")],
)
def test_a_mistake_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        pruned(Source(decoder()), **settings)
