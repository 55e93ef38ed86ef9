from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.runtime.masks import MaskMaker


class Recording:
    """Implements the part of Constraint that is used here."""

    def __init__(self) -> None:
        self.thread = ""

    def masks(self, proposal: list[int]) -> NDArray[np.uint32]:
        self.thread = threading.current_thread().name
        if proposal == [7]:
            raise ValueError("no mask")
        return np.ones((len(proposal) + 1, 2), dtype=np.uint32)


def test_masks_are_made_on_other_threads() -> None:
    constraint = Recording()
    made = MaskMaker().start(constraint, [1, 2])  # type: ignore[arg-type]
    assert made.result(timeout=10).shape == (3, 2)
    assert constraint.thread.startswith("honed-masks")


def test_an_exception_comes_with_the_result() -> None:
    made = MaskMaker().start(Recording(), [7])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no mask"):
        made.result(timeout=10)
