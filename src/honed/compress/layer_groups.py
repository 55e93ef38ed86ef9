"""The linear layers of a model in groups that share an input: q, k and v of a layer; gate and up.

The engine multiplies with all weights of a group at once where they are stored alike, and an error in one of them is
seen by the same rows as one in another. So whoever chooses how layers are stored chooses for groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from honed.compress.blocks import find_blocks
from honed.compress.linears import HEAD, find_linears
from honed.errors import UnsupportedError
from honed.models.base import Model
from honed.models.recorded import main_graph


@dataclass(frozen=True)
class LayerGroup:
    """`names` of weights as a recipe says them, a tied head under that of a head; `block` is the number of theirs.
    `shape` is (out features of all of them, in features); those of experts count once each."""

    names: tuple[str, ...]
    block: int
    shape: tuple[int, int]

    @property
    def weights(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def label(self) -> str:
        """Names of the modules, what they have in common once: model.layers.0.mlp.gate_proj,up_proj."""
        modules = [name.removesuffix(".weight") for name in self.names]
        parents = {module.rpartition(".")[0] for module in modules}
        if len(modules) == 1 or len(parents) > 1:
            return ",".join(modules)
        return f"{parents.pop()}.{','.join(module.rpartition('.')[2] for module in modules)}"


@lru_cache(maxsize=8)
def find_layer_groups(model: Model) -> tuple[LayerGroup, ...]:
    """Of the linear layers and the head, in the order of the model. Takes no memory for weights.

    UnsupportedError where two blocks multiply with one weight: it could not be judged by either alone.
    """
    linears = find_linears(model)
    wanted = {weight.name for weight in linears.layers}
    if linears.head is not None:
        wanted.add(linears.head.name)
    groups: list[LayerGroup] = []
    taken: dict[str, int] = {}
    for number, block in enumerate(find_blocks(main_graph(model))):
        by_input: dict[tuple[int, ...], dict[str, tuple[int, ...]]] = {}
        for statement in block.statements:
            for weight in statement.operation.multiplied:
                if weight.name not in wanted:
                    continue
                if taken.setdefault(weight.name, number) != number:
                    raise UnsupportedError(
                        f"{weight.name}: is multiplied with in two blocks, and is no layer of either"
                    )
                by_input.setdefault(statement.operation.inputs, {})[weight.name] = weight.shape
        for found in by_input.values():
            names = tuple(HEAD if linears.tied and name == linears.embedding.name else name for name in found)
            width = next(iter(found.values()))[1]
            groups.append(LayerGroup(names, number, (sum(shape[0] for shape in found.values()), width)))
    return tuple(groups)
