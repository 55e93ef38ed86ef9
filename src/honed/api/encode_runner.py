"""honed's own side of a measurement of encoders: loads as a user would, and encodes texts that are tokens already.

Runs in the measured process, so it imports what that needs and nothing of the reporting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.load import load_encoder
from honed.backends.options import RunOptions
from honed.bench.encoders.contender import EncodeRunner, Vectors
from honed.plan.formats import DensePolicy
from honed.tasks.embeddings import Embedder
from honed.text.encoder_input import EncoderInput


def open_runner(arguments: Mapping[str, Any]) -> EncodeRunner:
    """Loads as `honed.load` does. arguments: model, and options, which is JSON of `RunOptions`."""
    options = RunOptions.from_json(arguments["options"])
    return OwnEncodeRunner(load_encoder(arguments["model"], options), options.dtype)


class OwnEncodeRunner:
    """The embeddings of `honed.tasks`, from token ids on."""

    def __init__(self, model: TextEncoder, dtype: DensePolicy) -> None:
        """`dtype`: of its unquantized weights, as it was loaded."""
        self._model = model
        self._dtype = dtype
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
        return self._embedder.vectors([EncoderInput.of_tokens(text) for text in texts])

    def numbers(self, vectors: Any) -> Vectors:
        found: Vectors = vectors.tolist()
        return found
