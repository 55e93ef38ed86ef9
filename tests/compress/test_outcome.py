"""A weight that is not what was asked is refused by name: its shape, its encoding, its size, its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.by_block import apply_by_block
from honed.compress.needs import Needs, Observed
from honed.compress.outcome import OutcomeError, check_not_lost, check_outcome
from honed.compress.pipeline import Compressed
from honed.compress.settings import PassSettings
from honed.compress.stored import StoredWeights
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int8 import Int8Scheme
from honed.encodings.scheme import DenseScheme, Group
from honed.models.registry import read_model
from tiny_models import SIZES

SCHEME = Int8Scheme(32, 32)
UP = "model.layers.0.mlp.up_proj.weight"


def dense(values: Any) -> Dense:
    return Dense(np.asarray(values, np.float32), "float32")


def int8(rows: int = 4, group: Group | None = 32, scale: float = 1.0) -> Encoded:
    values = scale * np.random.default_rng(0).standard_normal((rows, 64)).astype(np.float32)
    return encode(dense(values), Int8Scheme(group, group), name="w", threads=1)


def test_what_was_asked_passes() -> None:
    check_outcome("gptq", "w", int8(), (4, 64), SCHEME)
    check_outcome("wanda", "w", dense([[1.0, 0.0]]), (1, 2), None)
    check_not_lost("gptq", "w", int8(), int8())
    check_not_lost("gptq", "w", dense([[0.0]]), dense([[0.0]]))


@pytest.mark.parametrize(
    ("made", "scheme", "problem"),
    [
        (int8(rows=3), SCHEME, r"shape \(3, 64\) and not \(4, 64\)"),
        (dense(np.ones((4, 64))), SCHEME, "became dense float32 and not int8"),
        (int8(group=None), SCHEME, "became int8.* and not int8"),
        (dense(np.full((4, 64), np.inf)), DenseScheme("float32"), "value 0 of row 0 is NaN or infinite"),
    ],
)
def test_what_was_not_is_named_with_the_pass(made: Encoded, scheme: Any, problem: str) -> None:
    with pytest.raises(OutcomeError, match=rf"w: .*{problem}.*the pass gptq failed"):
        check_outcome("gptq", "w", made, (4, 64), scheme)


def test_more_bytes_than_the_scheme_says_are_not_smaller() -> None:
    class Padded:
        scheme, shape, kind, nbytes = SCHEME, (4, 64), "int8", 10_000
        decode = int8().decode

        def parts(self) -> dict[str, Any]:
            return {}

    with pytest.raises(OutcomeError, match=f"takes 10000 bytes and not {SCHEME.nbytes((4, 64))}"):
        check_outcome("gptq", "w", Padded(), (4, 64), SCHEME)


def test_zeros_are_lost_only_where_there_was_something() -> None:
    with pytest.raises(OutcomeError, match="w: became zero throughout as dense"):
        check_not_lost("gptq", "w", dense(np.zeros((3, 5))), dense(np.eye(3, 5)))


@dataclass(frozen=True)
class Spoiling:
    """Gives one layer what `spoil` makes of it."""

    spoil: Callable[[Encoded], Encoded]
    order: str = "any"
    settings: ClassVar[PassSettings] = PassSettings.model_validate({"pass": "spoiling"})

    @property
    def needs(self) -> Needs:
        return Needs(frozenset({"mean_square"}), "blocks") if self.order == "blocks" else Needs()

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        names = frozenset({UP}) & observed.linears

        def make(name: str) -> Encoded:
            return self.spoil(state.weights[name])

        schemes = {**state.schemes, **dict.fromkeys(names, Int8Scheme(32, 32))}
        return replace(state, weights=ChangedWeights(state.weights, make, names), schemes=schemes)


def state() -> ModelState:
    model = read_model({**SIZES, "model_type": "llama", "hidden_size": 64, "tie_word_embeddings": False})
    random = np.random.default_rng(1)
    weights = {name: dense(random.standard_normal(it.shape) / 8) for name, it in model.weights().items()}
    return ModelState({}, model, weights)


def quantized(weight: Encoded, factor: float = 1.0) -> Encoded:
    return encode(dense(factor * weight.decode()), SCHEME, name="w", threads=1)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda weight: quantized(weight, 0.0), "became zero throughout as int8"),
        (lambda weight: encode(weight, Int8Scheme(None, None), name="w", threads=1), "which was asked for"),
        (lambda weight: weight, "became dense float32 and not int8"),
    ],
)
def test_a_pass_that_spoils_a_weight_fails_when_it_is_written(spoil: Any, problem: str) -> None:
    before, step = state(), Spoiling(spoil)
    names = frozenset({UP})
    after = step.apply(before, Observed(names, lambda: pytest.fail("nothing is asked for")), threads=1)
    stored = StoredWeights(Compressed((before, after), ("spoiling",)))
    with pytest.raises(OutcomeError, match=rf"mlp.up_proj.weight: .*{problem}.*spoiling"):
        stored.weight(UP)
    assert stored.weight("model.norm.weight").kind == "dense"


def test_a_pass_that_goes_by_blocks_fails_before_the_next_block() -> None:
    after = apply_by_block(Spoiling(lambda weight: weight, "blocks"), state(), [[3, 4, 5, 6]], threads=1)
    with pytest.raises(OutcomeError, match=r"up_proj.weight: became dense float32 and not int8"):
        after.weights[UP]
