"""A block of a model as something that can be run by itself: its graph, and the rows that enter it.

For a pass that asks for `block_rows`: it learns weights by what the whole block gives, where Gram matrices tell of one
linear layer at a time. Not here: who finds the rows (`by_block.py`), and what runs the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.ops.graph import Graph

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BlockRows:
    """`graph` has the statements of the block, reads what enters it by name, and gives what leaves it with a row for
    each token; it gives nothing where the block ends the model, as that of the head does.

    source: what enters, [windows * tokens, features] by name, in the model as it was before the pass. changed: the
    same where the blocks before this one are changed already. tokens: the ids of all windows, int64 [windows, tokens].
    """

    graph: Graph
    source: Mapping[str, Floats]
    changed: Mapping[str, Floats]
    tokens: NDArray[np.int64]
