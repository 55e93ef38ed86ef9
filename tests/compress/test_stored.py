"""What an artifact is given: every weight once, and a line on each that was encoded."""

from __future__ import annotations

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.linears import HEAD
from honed.compress.pipeline import run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.stored import StoredWeights, relative_error
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme, scheme_of
from honed.encodings.tied_table import TiedTable
from honed.models.registry import read_model
from tiny_models import SIZES

TABLE = "model.embed_tokens.weight"
WINDOWS = [[3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]]


def stored(*, tied: bool, head_encoded: bool = True) -> StoredWeights:
    model = read_model({**SIZES, "model_type": "llama", "hidden_size": 64, "tie_word_embeddings": tied})
    random = np.random.default_rng(2)
    values: dict[str, Encoded] = {
        name: Dense(random.standard_normal(weight.shape).astype(np.float32), "float32")
        for name, weight in model.weights().items()
    }
    recipe = read_recipe("int4")
    if not head_encoded:
        (*first, last), dense = recipe.as_json()["passes"], [{"modules": "lm_head", "setting": "dense"}]
        recipe = read_recipe({"passes": [*first, {**last, "overrides": dense}]})
    source = SourceWeights(model, values.__getitem__, head_apart=head_encoded)
    return StoredWeights(run_recipe(ModelState({}, model, source), recipe, threads=1, calibration=WINDOWS))


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_is_stored_once(tied: bool) -> None:
    found = stored(tied=tied)
    assert (found.head, found.tied_table) == ((TABLE, TABLE) if tied else (HEAD, None))
    assert (HEAD in found.schemes) is not tied
    assert found.schemes[TABLE] == (Int8Scheme(32, 32) if tied else DenseScheme("bfloat16"))
    table = found.weight(TABLE)
    assert isinstance(table, TiedTable) is tied
    assert [line.name for line in found.reports()] == ([HEAD] if tied else [])


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_stays_dense_is_none(tied: bool) -> None:
    found = stored(tied=tied, head_encoded=False)
    assert (found.head, found.tied_table) == (None, None)
    assert found.schemes[TABLE] == DenseScheme("bfloat16")


def test_weights_are_what_was_announced_and_those_that_are_encoded_have_a_line() -> None:
    found = stored(tied=True)
    assert found.reports() == ()
    for name, scheme in found.schemes.items():
        assert found.error(name) is None
        weight = found.weight(name)
        assert scheme_of(weight) == scheme
        if isinstance(scheme, DenseScheme):
            assert found.error(name) is None
        else:
            line = found.reports()[-1]
            assert (line.name, line.encoding) == (HEAD if name == TABLE else name, str(scheme))
            assert 0 < line.relative_error < 0.1
            assert found.error(name) == line.relative_error
    assert any(isinstance(scheme, Int4Scheme) for scheme in found.schemes.values())


def test_the_relative_error_is_that_of_the_whole_matrix() -> None:
    values = np.random.default_rng(0).standard_normal((3000, 100)).astype(np.float32)
    source = Dense(values, "float32")
    encoded = encode_int8(source, name="w")
    expected = np.linalg.norm(encoded.decode() - values) / np.linalg.norm(values)
    assert relative_error(source, encoded) == pytest.approx(expected, rel=1e-4)
    zero = Dense(np.zeros((2, 32), np.float32), "float32")
    assert relative_error(zero, encode_int8(zero, name="w")) == 0
