"""honed's own side of a measurement of encoders: loads as a user would, and encodes texts that are tokens already.

Runs in the measured process, so it imports what that needs and nothing of the reporting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from honed.api.embed import TextEncoder
from honed.api.load import load_encoder
from honed.backends.encoder import Output
from honed.backends.options import RunOptions
from honed.bench.encoders.contender import Asked, EncodeRunner, Vectors
from honed.plan.formats import DensePolicy
from honed.tasks.embeddings import Embedder, batch_of, steps
from honed.text.encoder_input import EncoderInput


def open_runner(arguments: Mapping[str, Any]) -> EncodeRunner:
    """Loads as `honed.load` does. arguments: model, asked, and options, which is JSON of `RunOptions`."""
    options = RunOptions.from_json(arguments["options"])
    return OwnEncodeRunner(load_encoder(arguments["model"], options), options.dtype, arguments["asked"])


class OwnEncodeRunner:
    """The embeddings of `honed.tasks`, or logits of a head, from token ids on."""

    def __init__(self, model: TextEncoder, dtype: DensePolicy, asked: Asked = "vectors") -> None:
        """`dtype`: of its unquantized weights, as it was loaded."""
        self._model = model
        self._dtype = dtype
        self._asked = asked
        self._embedder = Embedder(model.backend, model.tokenizer, model.settings, model.name)

    @property
    def isa(self) -> str | None:
        return getattr(self._model.backend, "isa", None)

    @property
    def dtype(self) -> str:
        """Of the plan, which is made again after the measurement: a backend does not show its own."""
        from honed.bench.footprint import weights_label
        from honed.checkpoints.open import open_checkpoint
        from honed.models.programs import HIDDEN
        from honed.models.recorded import encoding
        from honed.models.registry import read_encoder
        from honed.plan.build import plan_graph

        checkpoint = open_checkpoint(self._model.name)
        graph = encoding(read_encoder(checkpoint.config, checkpoint.path), HIDDEN)
        return weights_label(plan_graph(graph, checkpoint, self._dtype).plan)

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        inputs = [EncoderInput.of_tokens(text) for text in texts]
        return self._embedder.vectors(inputs) if self._asked == "vectors" else self._logits(inputs, self._asked)

    def numbers(self, vectors: Any) -> Vectors:
        return [vector.tolist() for vector in vectors]

    def _logits(self, inputs: Sequence[EncoderInput], output: Output) -> list[Any]:
        backend = self._model.backend
        found: list[Any] = [None] * len(inputs)
        for chosen in steps([len(one.tokens) for one in inputs], backend.step_tokens):
            batch = batch_of([inputs[index] for index in chosen])
            rows = backend.encode(batch, output)
            ends = np.cumsum(batch.lengths)[:-1] if output == "tags" else np.arange(1, len(chosen))
            for index, part in zip(chosen, np.split(rows, ends), strict=True):
                found[index] = part.reshape(-1)
        return found
