"""Which tensor of an artifact lies in which file, decided from names, schemes and shapes alone.

Other tools read the weights of `model.safetensors` (or its shards) and find the embedding and the head dense there.
The encoded head of this project is `honed/head.safetensors`: in a folder, so that no other tool takes it for a
shard. With it lie weights that fit this head only, as the norm before one that was smoothed; this project reads a
tensor there in place of the shards' tensor of its name. `honed/minimums.safetensors` beside it has the int4 minimums,
for which the format of the shards has no place. The head is stored and not derived from the embedding at load because
encoding takes longer than reading, and because the embedding has been rounded to 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from honed.checkpoints.artifact.manifest import WeightRecord
from honed.checkpoints.compressed_tensors.format import TensorSpec, minimum_spec, tensor_specs
from honed.encodings.scheme import DenseScheme, Int4Scheme
from honed.records import dataclass

HEAD_FILE = "honed/head.safetensors"
MINIMUMS_FILE = "honed/minimums.safetensors"
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
        from honed.checkpoints.safetensors.writer import file_size  # whoever only reads does without

        return file_size(self.specs, METADATA)


@dataclass(frozen=True)
class Layout:
    """`shards` are what every tool reads. `head` and `minimums` are ours, None where nothing would be in them."""

    shards: tuple[WeightFile, ...]
    head: WeightFile | None
    minimums: WeightFile | None

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return self.shards + tuple(file for file in (self.head, self.minimums) if file is not None)

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
    apart: Mapping[str, DenseScheme | None],
    shard_bytes: int = SHARD_BYTES,
) -> Layout:
    """Shards in the order of `weights`, each under `shard_bytes` where one weight allows it.

    `apart` are the weights of `HEAD_FILE`, and how each lies among the shards as well: None where it does not, as a
    tied head.
    """
    shards: list[list[TensorSpec]] = [[]]
    filled = 0
    for name, record in weights.items():
        scheme = apart.get(name, record.scheme)
        if scheme is None:
            continue
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
    head = tuple(spec for name in apart for spec in tensor_specs(name, weights[name].scheme, weights[name].shape))
    minimums = minimum_specs(weights)
    return Layout(
        files,
        WeightFile(HEAD_FILE, head) if head else None,
        WeightFile(MINIMUMS_FILE, minimums) if minimums else None,
    )


def minimum_specs(weights: Mapping[str, WeightRecord]) -> tuple[TensorSpec, ...]:
    """The tensors of `MINIMUMS_FILE`."""
    return tuple(
        minimum_spec(name, record.scheme, record.shape)
        for name, record in weights.items()
        if isinstance(record.scheme, Int4Scheme) and record.scheme.offset == "minimum"
    )
