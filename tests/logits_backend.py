"""Logits of the test's own making, chosen from by the native executor: a plan that hands its float rows on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.base import Choice, RowChoice
from honed.backends.native_choices import told
from honed.native import extension


class LogitsBackend:
    """Chooses like a `ChoosingBackend`, of rows [R, vocabulary] in place of a model's."""

    def __init__(self, vocabulary: int, threads: int = 1, isa: str | None = None, rows: int = 64) -> None:
        slots = [
            extension.Slot("f32", "tokens", vocabulary, 0, 0),
            extension.Slot("f32", "selected", vocabulary, 0, 1),
        ]
        ops: list[tuple[str, dict[str, Any]]] = [
            ("float_rows", {"rows": 0, "output": 0, "width": vocabulary}),
            ("select", {"input": 0, "output": 1, "width": vocabulary}),
        ]
        inputs = [extension.Input.floats("rows", vocabulary)]
        plan = extension.Plan(ops, slots, [], inputs, [("logits", 1)], [])
        self._vocabulary = vocabulary
        self._executor = extension.Executor(plan, None, rows, rows, threads, isa)

    def compute(self, logits: NDArray[np.float32]) -> None:
        places = np.arange(len(logits), dtype=np.int32)
        self._executor.compute({"rows": logits}, places, np.zeros_like(places), None, places)

    def choose(self, rows: Sequence[RowChoice]) -> list[Choice]:
        tokens, others = self._executor.choose(rows)
        return [
            told(token, others[row], self._vocabulary) if row in others else Choice(token)
            for row, token in enumerate(tokens)
        ]
