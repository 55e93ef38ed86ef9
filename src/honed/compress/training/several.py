"""A method for the weights of an encoder, and the weights of its head themselves."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from honed.compress.training.base import Tensors, Trained


class WithHead:
    """See `base.Trained`. body: for all but the weights `head`; None where nothing else is trained."""

    def __init__(self, body: Trained | None, weights: Tensors, head: Iterable[str]) -> None:
        self._body, self._before = body, weights
        self._head: Tensors = {name: weights[name].clone().requires_grad_() for name in head}
        self.parameters: Tensors = {**({} if body is None else body.parameters), **self._head}

    def weights(self) -> dict[str, Tensor]:
        return {**(self._before if self._body is None else self._body.weights()), **self._head}

    def penalty(self) -> Tensor | None:
        return None if self._body is None else self._body.penalty()

    def after_backward(self, progress: float) -> None:
        if self._body is not None:
            self._body.after_backward(progress)

    def after_step(self) -> None:
        if self._body is not None:
            self._body.after_step()

    def state(self) -> dict[str, Tensor]:
        return {} if self._body is None else self._body.state()

    def restore(self, state: Tensors) -> None:
        if self._body is not None:
            self._body.restore(state)
