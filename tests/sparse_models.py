"""A tiny decoder of random weights, and a recipe of one pass over it, for tests of passes that prune."""

from __future__ import annotations

from typing import Any

import numpy as np

from honed.compress.base import ModelState
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.base import DecoderModel
from honed.models.registry import read_model

WINDOWS = [[int(token) for token in row] for row in np.random.default_rng(9).integers(3, 40, (12, 16))]
TABLE = "model.embed_tokens.weight"


def decoder(*, tied: bool = True) -> DecoderModel:
    return read_model(
        {
            "model_type": "llama",
            "vocab_size": 40,
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 64,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": tied,
        }
    )


class Source:
    """Random weights; `decoded` has the names of those of which a value was looked at."""

    def __init__(self, of: DecoderModel) -> None:
        random = np.random.default_rng(2)
        self.decoded: list[str] = []
        self.weights: dict[str, Encoded] = {
            name: _Watched(name, (random.standard_normal(weight.shape) / 8).astype(np.float32), self.decoded)
            for name, weight in of.weights().items()
        }

    def __call__(self, name: str) -> Encoded:
        return self.weights[name]


class _Watched(Dense):
    def __init__(self, name: str, values: Any, decoded: list[str]) -> None:
        super().__init__(values, "float32")
        self.__dict__.update(name=name, decoded=decoded)

    def decode(self, rows: slice = slice(None)) -> Any:
        self.__dict__["decoded"].append(self.__dict__["name"])
        return super().decode(rows)


def compressed(
    of: DecoderModel,
    read: Source,
    *passes: dict[str, Any],
    windows: list[list[int]] = WINDOWS,
    head_apart: bool = True,
) -> Compressed:
    source = SourceWeights(of, read, head_apart=head_apart)
    return run_recipe(ModelState({}, of, source), read_recipe({"passes": passes}), threads=1, calibration=windows)


def zeros(weight: Encoded) -> float:
    return float((weight.decode() == 0).mean())
