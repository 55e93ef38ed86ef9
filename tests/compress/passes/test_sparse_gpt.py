"""The pass gives each weight the Gram matrix of its own inputs, measured where all blocks before it are pruned; how a
matrix is pruned then is tested with `sparse_feedback.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.compress.error_feedback import feedback
from honed.compress.linears import HEAD
from honed.compress.observe import observe
from honed.compress.sparse_feedback import prune_with_feedback
from honed.encodings.base import Encoded
from honed.errors import ParameterError
from sparse_models import TABLE, WINDOWS, Source, compressed, decoder, zeros

FIRST, SECOND = (f"model.layers.{layer}.mlp.gate_proj.weight" for layer in (0, 1))
INT8 = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}}


def pruned(source: Source, *behind: dict[str, Any], **settings: Any) -> dict[str, Encoded]:
    state = compressed(decoder(), source, {"pass": "sparse_gpt", **settings}, *behind).state
    return {name: state.weights[name] for name in state.weights}


@pytest.mark.parametrize(
    ("settings", "order"), [({}, False), ({"pattern": "2:4"}, False), ({"order": "activation"}, True)]
)
def test_each_weight_is_pruned_for_what_enters_it_when_those_before_it_are(
    settings: dict[str, Any], order: bool
) -> None:
    model, source = decoder(), Source(decoder())
    made = pruned(source, **settings)
    for weight in made.values():
        weight.decode()
    before, now = (observe(model, weights, WINDOWS, {"gram"}, threads=1) for weights in (source.weights, made))
    run = (2, 4) if settings.get("pattern") else None
    for name in (FIRST, SECOND):
        values, found = source.weights[name].decode(), feedback(now.gram[name], damping=0.01, by_activation=order)
        expected, mask = prune_with_feedback(values, found, share=0.5, run=run)
        np.testing.assert_array_equal(made[name].decode(), expected)
        assert mask.mean() == 0.5
        earlier = feedback(before.gram[name], damping=0.01, by_activation=order)
        assert not np.array_equal(expected, prune_with_feedback(values, earlier, share=0.5, run=run)[0])


def test_the_head_by_an_override_and_rounding_keeps_what_is_zero() -> None:
    source = Source(decoder())
    overrides = [{"modules": "lm_head", "share": 0.75}]
    made, rounded = (pruned(source, *behind, overrides=overrides) for behind in ((), (INT8,)))
    assert zeros(made[HEAD]) == 0.75
    assert zeros(made[TABLE]) == 0
    for name in (FIRST, SECOND, HEAD):
        assert rounded[name].kind == "int8"
        assert (rounded[name].decode()[made[name].decode() == 0] == 0).all()


def test_gptq_keeps_what_is_zero_where_it_is_asked_to() -> None:
    source = Source(decoder())
    made = pruned(source)
    four = {"pass": "gptq", "weights": {"bits": 4, "group": 32, "offset": "zero_point"}}
    kept, moved = (pruned(source, {**four, "zeros": zeros}) for zeros in ("kept", "moved"))
    for name in (FIRST, SECOND):
        pruned_away = made[name].decode() == 0
        assert (kept[name].decode()[pruned_away] == 0).all()
        assert (moved[name].decode()[pruned_away] != 0).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pattern": "2:4", "order": "activation"}, "pattern 2:4 needs order: stored"),
        ({"damping": 0}, "damping"),
        ({"dampening": 0.1}, "did you mean 'damping'"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        pruned(Source(decoder()), **settings)


def test_without_tokens_nothing_can_be_made_up_for() -> None:
    with pytest.raises(ParameterError, match="sparse_gpt needs tokens"):
        compressed(decoder(), Source(decoder()), {"pass": "sparse_gpt"}, windows=[])
