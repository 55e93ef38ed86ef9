"""The torch reference as what runs an encoder: float32 whatever the encoding, no speed to speak of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.backends.encoder import Output, TextBatch
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.finite_weights import check_finite
from honed.models.base import EncoderModel
from honed.models.recorded import encoding
from honed.models.registry import read_encoder
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.table import Embedding
from honed.ops.values import TOKEN_TYPES, TOKENS

LEAST_STEP_TOKENS = 2048


@dataclass(frozen=True)
class PyTorchEncoder:
    """Implements `honed.backends.encoder.EncoderBackend`. Make one with `load`."""

    model: EncoderModel
    weights: dict[str, Tensor]

    name = "pytorch"

    @staticmethod
    def configure(options: RunOptions) -> None:
        """It has no settings."""

    @staticmethod
    def load(
        checkpoint: Checkpoint, config: None = None, meanwhile: Callable[[], None] | None = None
    ) -> PyTorchEncoder:
        """Decodes every weight to float32. FormatError for NaN or Inf, naming the weight."""
        if meanwhile is not None:
            meanwhile()
        model = read_encoder(checkpoint.config, checkpoint.path)
        weights = {}
        for name in model.weights():
            encoded = checkpoint.weight(name)
            check_finite(checkpoint.path, name, encoded)
            weights[name] = torch.from_numpy(np.array(encoded.decode(), dtype=np.float32))
        return PyTorchEncoder(model, weights)

    @property
    def width(self) -> int:
        return self.model.width

    @property
    def context(self) -> int:
        return self.model.dimensions.context

    @property
    def types(self) -> int:
        return self.model.types

    @property
    def step_tokens(self) -> int:
        return max(self.context, LEAST_STEP_TOKENS)

    def encode(self, batch: TextBatch, output: Output) -> NDArray[np.float32]:
        graph = encoding(self.model, output)
        inputs = {TOKENS: batch.tokens, TOKEN_TYPES: batch.types}
        ids = {name: torch.from_numpy(values).long() for name, values in inputs.items()}
        rows = Rows.whole(ids, batch.lengths.tolist(), torch.from_numpy(batch.selected_rows).long())
        with torch.inference_mode():
            found: NDArray[np.float32] = run(graph, Step(self.weights, rows, GrowingStore()))[output].numpy()
        return found

    def gradient_times_input(
        self, tokens: Sequence[int], types: Sequence[int], output: Output, column: int
    ) -> NDArray[np.float32]:
        """Of one text what each token's embedding has to do with one number of an output with a row a text: the
        gradient times the embedding, summed over its features, [tokens]."""
        graph = encoding(self.model, output)
        table = next(op.table.name for op in graph.operations(Embedding) if op.ids == TOKENS)
        # Each token has a row of its own, so that a token that stands there twice has two gradients.
        own = self.weights[table][torch.tensor(tokens)].detach().requires_grad_()
        ids = {TOKENS: torch.arange(len(tokens)), TOKEN_TYPES: torch.tensor(types)}
        step = Step(self.weights, Rows.whole(ids, [len(tokens)]), GrowingStore(), {table: own})
        with torch.enable_grad():
            value = run(graph, step)[output][0, column]
            (gradient,) = torch.autograd.grad(value, own)
        found: NDArray[np.float32] = (gradient * own).sum(dim=1).detach().numpy()
        return found
