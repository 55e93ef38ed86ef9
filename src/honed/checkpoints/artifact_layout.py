"""Which tensor of an artifact lies in which file, decided from names, schemes and shapes alone.

Other tools read the weights of `model.safetensors` (or its shards) and find the embedding and the head dense there.
The encoded head of this project is `honed/head.safetensors`: in a folder, so that no other tool takes it for a
shard. It is stored and not derived from the embedding at load because encoding takes longer than reading, and
because the embedding has been rounded to 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from honed.checkpoints.compressed_tensors import TensorSpec, tensor_specs
from honed.checkpoints.manifest import WeightRecord
from honed.checkpoints.safetensors_writer import file_size
from honed.encodings.scheme import DenseScheme

HEAD_FILE = "honed/head.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SHARD_BYTES = 2_000_000_000
METADATA = {"format": "pt"}


@dataclass(frozen=True)
class WeightFile:
    """One safetensors file and its tensors."""

    name: str
    specs: tuple[TensorSpec, ...]

    @property
    def nbytes(self) -> int:
        return file_size(self.specs, METADATA)


@dataclass(frozen=True)
class Layout:
    """`shards` are what every tool reads; `head` is ours, None where the head is dense."""

    shards: tuple[WeightFile, ...]
    head: WeightFile | None

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return self.shards if self.head is None else (*self.shards, self.head)

    @property
    def nbytes(self) -> int:
        return sum(file.nbytes for file in self.files)

    def index(self) -> dict[str, object] | None:
        """The index of a sharded model; None for a single file."""
        if len(self.shards) == 1:
            return None
        total = sum(spec.nbytes for shard in self.shards for spec in shard.specs)
        weight_map = {spec.name: shard.name for shard in self.shards for spec in shard.specs}
        return {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}


def plan_layout(
    weights: Mapping[str, WeightRecord],
    head: str | None,
    dense_head: DenseScheme | None,
    shard_bytes: int = SHARD_BYTES,
) -> Layout:
    """Shards in the order of `weights`, each under `shard_bytes` where one weight allows it.

    `head` is the encoded head; `dense_head` says how it lies among the shards as well, None where it is tied.
    """
    shards: list[list[TensorSpec]] = [[]]
    filled = 0
    for name, record in weights.items():
        if name == head and dense_head is None:
            continue
        scheme = dense_head if name == head and dense_head is not None else record.scheme
        specs = tensor_specs(name, scheme, record.shape)
        size = sum(spec.nbytes for spec in specs)
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].extend(specs)
        filled += size
    count = len(shards)
    names = (
        ["model.safetensors"]
        if count == 1
        else [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    )
    files = tuple(WeightFile(name, tuple(specs)) for name, specs in zip(names, shards, strict=True))
    if head is None:
        return Layout(files, None)
    record = weights[head]
    return Layout(files, WeightFile(HEAD_FILE, tensor_specs(head, record.scheme, record.shape)))
