"""Runs an encoder on texts for training: the rows that its head is made of, and what the head makes of them.

The two are apart, so that a head alone is trained on rows that were computed once. Not here: decoders (`runner.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from honed.compress.training.meanings import TRAINED, Texts, text_step
from honed.errors import UnsupportedError
from honed.models.base import Model
from honed.models.programs import CLASSES, ENCODE, HIDDEN, TAGS
from honed.models.recorded import recorded
from honed.ops.graph import Graph
from honed.ops.table import Pool
from honed.ops.values import Pooling


def pooling_of(model: Model) -> Pooling | None:
    """Which row of a text the head of a model is made of; None: it is made of those of tokens. Errors as of
    `EncoderRunner`."""
    return EncoderRunner(model, torch.float32).pooling


class EncoderRunner:
    """A model without its weights, whose head gives classes or tags. UnsupportedError for another one; PlanError for an
    op without a meaning in training."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        given = recorded(model, ENCODE) if ENCODE in model.programs() else None
        result = next((name for name in (CLASSES, TAGS) if given is not None and name in given.outputs), None)
        if given is None or result is None:
            raise UnsupportedError(f"{type(model).__name__}: has no head of classes or tags to be trained")
        self.result, self._dtype = result, dtype
        body = given.giving(HIDDEN)
        inside = {one.number for one in body}
        behind = [one for one in given.giving(result) if one.number not in inside]
        pools = [one for one in behind if isinstance(one.operation, Pool)]
        if len(pools) > 1:
            raise UnsupportedError(
                f"{type(model).__name__}: its head is made of {len(pools)} rows of a text, not of one"
            )
        self._pool = pools[0] if pools else None
        self._rows = given.outputs[HIDDEN]
        self._entry = self._rows if self._pool is None else self._pool.number
        self._body = Graph((*body.statements, *pools), {"entry": self._entry})
        statements = tuple(one for one in behind if one not in pools)
        self._head = Graph(statements, {result: given.outputs[result]})
        TRAINED.check(self._body)
        TRAINED.check(self._head)
        self.labels = given.output(result).value.width
        self.head_weights = frozenset(self._head.weights())

    @property
    def pooling(self) -> Pooling | None:
        """Which row of a text the head is made of; None: it is made of those of tokens."""
        return None if self._pool is None else cast("Pool", self._pool.operation).pooling

    def entering(self, weights: Mapping[str, Tensor], texts: Texts) -> Tensor:
        """The rows that enter the head: one a text, or those of the tokens that are selected. [rows, width]"""
        step = text_step(weights, texts, self._dtype)
        values: dict[int, Tensor] = {}
        TRAINED.advance(self._body, self._body.statements, step, values)
        rows = values[self._entry]
        return rows if self._pool is not None else rows[texts.selected]

    def logits(self, weights: Mapping[str, Tensor], entering: Tensor) -> Tensor:
        """Of such rows: float32 [rows, labels]."""
        count, device = len(entering), entering.device
        if not count:  # of tokens none of which has a label
            return entering.new_zeros(0, self.labels)
        none = torch.zeros(count, dtype=torch.long, device=device)
        step = text_step(weights, Texts(none, none, (1,) * count, none), self._dtype)
        values = {self._entry: entering}
        TRAINED.advance(self._head, self._head.statements, step, values)
        return values[self._head.outputs[self.result]].float()
