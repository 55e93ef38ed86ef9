"""What `compress` will do and what it takes, known before it begins: sizes, encodings, memory, disk, time.

What cannot work is refused here, before minutes of calibrating. Sizes are exact; memory is an upper bound; time is that
of two blocks on few tokens, extrapolated. Not here: doing it (`compress.py`)."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.backends.free_memory import free_memory
from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.staging import MARGIN
from honed.checkpoints.artifact.target import place_of
from honed.checkpoints.artifact.trial import try_to_write
from honed.encodings.scheme import DenseScheme, Scheme
from honed.errors import MachineError, UnsupportedError
from honed.models.base import Model
from honed.models.recorded import main_graph

if TYPE_CHECKING:
    from honed.compress.memory_needed import MemoryNeeded
    from honed.compress.recipe import Recipe

_MB = 1_000_000
TRIED_TOKENS = (256, 1024)
"""Of the two trials whose difference is what a token takes."""


@dataclass(frozen=True)
class LayerKind:
    """Weights of one part of the model, of one shape and encoding."""

    part: str
    count: int
    shape: tuple[int, ...]
    encoding: str
    bytes: int
    """Of all of them."""


@dataclass(frozen=True)
class CompressPlan:
    """What would be done. seconds: without the text that the model writes to be calibrated on; None where that was not
    tried. tokens: to calibrate on. disk: what must be free, with what is kept to go on with."""

    source: str
    path: Path
    recipe: Mapping[str, Any]
    source_bytes: int
    bytes: int
    bits_per_weight: float
    layers: tuple[LayerKind, ...]
    tokens: int
    calibration: str | None
    disk_bytes: int
    free_disk_bytes: int
    memory_bytes: int
    memory: Mapping[str, int]
    free_memory_bytes: int
    seconds: float | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "path": str(self.path)}


def layer_kinds(schemes: Mapping[str, Scheme], shapes: Mapping[str, tuple[int, ...]]) -> tuple[LayerKind, ...]:
    """The weights by what they are called without the number of their layer, in the order of the model."""
    counts = Counter((_part(name), shapes[name], str(scheme)) for name, scheme in schemes.items())
    sizes: Counter[tuple[str, tuple[int, ...], str]] = Counter()
    for name, scheme in schemes.items():
        sizes[_part(name), shapes[name], str(scheme)] += scheme.nbytes(shapes[name])
    return tuple(LayerKind(kind[0], counts[kind], kind[1], kind[2], sizes[kind]) for kind in counts)


def bits_per_weight(nbytes: int, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Of all bytes of the weight files."""
    return 8 * nbytes / sum(math.prod(shape) for shape in shapes.values())


def kept_bytes(recipe: Recipe, schemes: Mapping[str, Scheme], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Bytes that passes block by block keep on the disk until the artifact is complete, at most."""
    from honed.compress.registry import make_pass

    steps = [make_pass(settings).needs for settings in recipe.passes]
    last = len(steps) - 1
    encodes = recipe.encoding is not None
    total = 0
    for number, needs in enumerate(steps):
        if needs.order != "blocks":
            continue
        # One that keeps full precision keeps float32 of what the last one encodes, or of all layers.
        for name, scheme in schemes.items():
            dense = isinstance(scheme, DenseScheme)
            if len(shapes[name]) > 1 and not (encodes and dense):
                total += scheme.nbytes(shapes[name]) if number == last and not dense else 4 * math.prod(shapes[name])
    return total


def check_encodes(recipe: Recipe, schemes: Mapping[str, Scheme], source: Path) -> None:
    """UnsupportedError where a recipe that encodes finds nothing to encode: it would give what it was given."""
    if recipe.encoding is None or recipe.encoding.overrides:
        return
    if all(isinstance(scheme, DenseScheme) for scheme in schemes.values()):
        raise UnsupportedError(f"{source}: the recipe encodes no weight of this model, so nothing would get smaller")


def check_resources(
    needed: MemoryNeeded, disk: int, target: Path, replaces: Replaces, notes: Callable[[str], None]
) -> None:
    """MachineError where memory or disk do not suffice, with what is needed and what is there; ArtifactError where the
    output cannot be written, which is tried. notes: as of `try_to_write`."""
    free = free_memory()
    if needed.total > free:
        parts = ", ".join(f"{name} {size / _MB:.0f}" for name, size in dataclasses.asdict(needed).items() if size)
        raise MachineError(
            f"compressing takes up to {needed.total / _MB:.0f} MB of memory ({parts}), and {free / _MB:.0f} MB are "
            "free; calibrate on fewer tokens, or free memory"
        )
    try_to_write(target, needed=disk, replaces=replaces, notes=notes)


def free_disk(target: Path) -> int:
    existing = next(folder for folder in place_of(target).parents if folder.exists())
    return max(shutil.disk_usage(existing).free - MARGIN, 0)


def seconds_of(
    model: Model, recipe: Recipe, names: Sequence[str], tokens: int, make: Callable[[int], Callable[[str], object]]
) -> float:
    """How long making all weights takes, from two trials over the first two blocks.

    names: of all weights. make: gives, for a number of tokens, a function that makes a weight. What a trial takes is a
    part that grows with the weights and one that grows with the tokens; where passes go by blocks, the latter is that
    of the blocks that were gone through.
    """
    from honed.compress.blocks import find_blocks
    from honed.compress.registry import make_pass

    weights, blocks = model.weights(), find_blocks(main_graph(model))
    # What a block looks up is the table, which may be a tied head: making it would go through the whole model.
    first = frozenset[str]().union(*(block.linears for block in blocks[:2]))
    tried = [name for name in names if name in first]
    size = sum(math.prod(weights[name].shape) for name in tried)
    whole = sum(math.prod(weights[name].shape) for name in names if name in weights)
    if not size:
        return 0.0
    times = []
    for count in TRIED_TOKENS if tokens else TRIED_TOKENS[:1]:
        weight = make(count)
        started = time.perf_counter()
        for name in tried:
            weight(name)
        times.append(time.perf_counter() - started)
    if not tokens:
        return times[0] * whole / size
    each = max(times[1] - times[0], 0.0) / (TRIED_TOKENS[1] - TRIED_TOKENS[0])
    by_block = any(make_pass(settings).needs.order == "blocks" for settings in recipe.passes)
    blocks_of = len(blocks) / min(len(blocks), 2) if by_block else 1.0
    return max(times[0] - each * TRIED_TOKENS[0], 0.0) * whole / size + each * tokens * blocks_of


def _part(name: str) -> str:
    """model.layers.3.mlp.up_proj.weight: layers.*.mlp.up_proj"""
    pieces = name.removesuffix(".weight").removeprefix("model.").split(".")
    return ".".join("*" if piece.isdigit() else piece for piece in pieces)
