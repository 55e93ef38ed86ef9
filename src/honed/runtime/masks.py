"""Which tokens the constraints of a step allow, made on a few threads while the model computes.

Not here: constraints themselves, which are asked for it (`constraint.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from honed.runtime.constraint import Constraint

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import numpy as np
    from numpy.typing import NDArray

_THREADS = 2
"""Those of the model are busy meanwhile: more would take its time."""


class MaskMaker:
    """Asks constraints for their masks. Its threads are started by the first one, and end with it."""

    def start(self, constraint: Constraint, proposal: Sequence[int]) -> Future[NDArray[np.uint32]]:
        """The masks, as of `Constraint.masks`, once they are made. Nothing else may use the constraint until then."""
        return self._pool.submit(constraint.masks, proposal)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # Imported where a constraint is first used: a plain start gets by without.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(_THREADS, thread_name_prefix="honed-masks")
