"""By weight times gradient of the whole model as it is; how gradients are found is tested with `gradients.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.compress.gradients import weight_gradients
from honed.compress.linears import HEAD
from honed.compress.needs import GradientMean
from honed.errors import ParameterError
from sparse_models import TABLE, WINDOWS, Source, compressed, decoder, zeros

UP = "model.layers.0.mlp.up_proj.weight"


def pruned(source: Source, *before: dict[str, Any], **settings: Any) -> dict[str, Any]:
    state = compressed(decoder(), source, *before, {"pass": "taylor", **settings}).state
    return {name: state.weights[name] for name in state.weights}


@pytest.mark.parametrize("mean", ["rms", "plain"])
def test_the_least_weights_times_gradients_of_each_layer_or_row(mean: GradientMean) -> None:
    source = Source(decoder())
    values = source.weights[UP].decode()
    scores = np.abs(values * weight_gradients(decoder(), source.weights, WINDOWS, {UP}, mean, threads=1)[UP])
    border = np.sort(scores.ravel())[values.size * 2 // 5]
    np.testing.assert_array_equal(
        pruned(source, share=0.4, gradients=mean)[UP].decode(), np.where(scores < border, 0, values)
    )
    borders = np.sort(scores, axis=1)[:, values.shape[1] // 4, None]
    np.testing.assert_array_equal(
        pruned(source, share=0.25, gradients=mean, among="row")[UP].decode(), np.where(scores < borders, 0, values)
    )


def test_two_of_four_and_the_head_by_the_gradient_of_its_table() -> None:
    source = Source(decoder())
    found = pruned(source, pattern="2:4", overrides=[{"modules": "lm_head", "share": 0.5}])
    assert np.count_nonzero(found[HEAD].decode().reshape(-1, 4), axis=1).max() == 2
    assert zeros(found[UP]) == zeros(found[HEAD]) == 0.5
    assert zeros(found[TABLE]) == 0


def test_gradients_are_those_of_the_model_that_it_is_given() -> None:
    source = Source(decoder())
    alone, behind = pruned(source), pruned(source, {"pass": "magnitude", "share": 0.3})
    assert not np.array_equal(alone[UP].decode(), behind[UP].decode())
    smoothed = pruned(source, {"pass": "smooth"})
    # Powers of two go from weights into gradients, so what is zero is the same.
    assert ((alone[UP].decode() == 0) == (smoothed[UP].decode() == 0)).mean() > 0.999


def test_planning_reads_nothing_and_mistakes_are_named() -> None:
    source = Source(decoder())
    pruned(source)
    assert source.decoded == []
    with pytest.raises(ParameterError, match="among row: the pattern 2:4 chooses within each run"):
        pruned(source, pattern="2:4", among="row")
    with pytest.raises(ParameterError, match="taylor needs tokens"):
        compressed(decoder(), source, {"pass": "taylor"}, windows=[])
