"""The torch backend: transformers' logits over pages in any order, several sequences at once."""

from __future__ import annotations

import numpy as np
import pytest

from honed.backends.base import Batch
from honed.backends.pytorch import PyTorchBackend, PyTorchConfig
from honed.encodings.dense import Dense
from honed.encodings.int8_encoder import encode_int8
from honed.errors import FormatError, ParameterError
from tiny_models import FAMILIES, TOKENS, MemoryCheckpoint, golden, whole

CONFIG = PyTorchConfig(kv_tokens=256)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers_whole_and_by_steps(family: str) -> None:
    made = golden(family)
    backend = PyTorchBackend.load(made.checkpoint, CONFIG)
    assert made.agrees(backend.forward(whole(made.tokens, pages=(6, 2))))
    steps = [backend.forward(whole(made.tokens[t : t + 1], first=t)) for t in range(TOKENS)]
    assert made.agrees(np.concatenate(steps))


def test_two_sequences_in_one_batch() -> None:
    made = golden("mistral")
    backend = PyTorchBackend.load(made.checkpoint, CONFIG)
    backend.forward(whole(made.tokens[:40], pages=(1, 4)))
    logits = backend.forward(
        Batch(
            tokens=np.concatenate([made.tokens[40:], made.tokens[:20]]),
            positions=np.concatenate([[40], np.arange(20)]).astype(np.int32),
            sequences=np.array([0] + [1] * 20, dtype=np.int32),
            page_tables=np.array([[1, 4], [7, 0]], dtype=np.int32),
            selected=np.array([0, 20], dtype=np.int32),
        )
    )
    np.testing.assert_allclose(logits, made.logits[[40, 19]], atol=1e-4 * float(np.ptp(made.logits)))


def test_a_tied_head_encoded_apart_is_used_for_the_logits_only() -> None:
    source = golden("smollm2").checkpoint
    table = source.weight("model.embed_tokens.weight")
    head = encode_int8(table, name="head")
    weights = {name: source.weight(name) for name in source.names}
    untied = dict(source.config) | {"tie_word_embeddings": False}
    explicit = MemoryCheckpoint(untied, weights | {"lm_head.weight": head})
    batch = whole(golden("smollm2").tokens)
    logits = PyTorchBackend.load(MemoryCheckpoint(source.config, weights, head), CONFIG).forward(batch)
    np.testing.assert_array_equal(logits, PyTorchBackend.load(explicit, CONFIG).forward(batch))
    assert not golden("smollm2").agrees(logits)


def test_a_tied_table_is_what_its_head_decodes_to() -> None:
    tied = MemoryCheckpoint.tying(golden("smollm2").checkpoint, lambda name, weight: encode_int8(weight, name=name))
    batch = whole(golden("smollm2").tokens)
    logits = PyTorchBackend.load(tied, CONFIG).forward(batch)
    np.testing.assert_array_equal(logits, PyTorchBackend.load(tied.untying(), CONFIG).forward(batch))


def test_a_weight_that_is_not_finite_is_named() -> None:
    source = golden("llama2").checkpoint
    values = np.array(source.weight("model.norm.weight").decode())
    values[7] = np.inf
    weights = {name: source.weight(name) for name in source.names} | {"model.norm.weight": Dense(values, "float32")}
    with pytest.raises(FormatError, match=r"model\.norm\.weight"):
        PyTorchBackend.load(MemoryCheckpoint(source.config, weights), CONFIG)


def test_sizes() -> None:
    backend = PyTorchBackend.load(golden("qwen3").checkpoint, PyTorchConfig(kv_tokens=33, step_tokens=7))
    assert (backend.name, backend.vocabulary, backend.context) == ("pytorch", 97, 256)
    assert (backend.pages, backend.step_tokens) == (2, 7)
    with pytest.raises(ParameterError, match="step_tokens"):
        PyTorchConfig(step_tokens=-1)
