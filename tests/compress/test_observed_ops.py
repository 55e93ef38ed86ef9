"""The ops in numpy against those in torch; what enters linear layers of decoders is held against transformers."""

from __future__ import annotations

import numpy as np
import torch

from honed.compress.observed_ops import NUMPY, Step
from honed.models.recorded import recorded
from honed.ops import reference
from honed.ops.reference import run
from tiny_encoder import RandomWeights, TinyEncoder


def test_an_encoder_gives_what_it_gives_in_torch() -> None:
    model = TinyEncoder()
    weights = RandomWeights(model).weights
    tokens = np.arange(20).reshape(2, 10)
    inputs = {"tokens": torch.from_numpy(tokens.flatten()), "token_types": torch.zeros(20, dtype=torch.long)}
    tensors = {name: torch.from_numpy(weight.decode()) for name, weight in weights.items()}
    graph = recorded(model, "encode")
    expected = run(graph, reference.Step(tensors, reference.Rows.whole(inputs, [10, 10]), reference.GrowingStore()))
    found = NUMPY.run(graph, Step(tokens, lambda name: weights[name].decode(), lambda name, x: None, frozenset()))
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        np.testing.assert_allclose(found[name].reshape(rows.shape), rows.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)
