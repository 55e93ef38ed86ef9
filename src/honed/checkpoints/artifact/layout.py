"""Which tensor of an artifact lies in which file, decided from names, schemes and shapes alone.

Every weight lies once, in `model.safetensors` or its shards. A portable artifact has there what other tools read, the
embedding and the head dense, and two files of ours beside it, in a folder, so that no other tool takes them for shards:
`honed/head.safetensors` with the encoded head and what fits this head only, as the norm before one that was smoothed,
and `honed/minimums.safetensors` with the int4 minimums, for which others have nearest zero points. This project reads
a tensor there in place of that of its name in the shards, so both kinds are the same model to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from honed.checkpoints.artifact.manifest import WeightRecord
from honed.checkpoints.compressed_tensors.declare import foreign_scheme, unsaid
from honed.checkpoints.compressed_tensors.format import tensor_specs
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.encodings.scheme import DenseScheme
from honed.encodings.tied_table import factors_part
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
    """`shards`, and of a portable artifact our own `head` and `minimums`, None where nothing would be in them."""

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
    dense_forms: Mapping[str, DenseScheme],
    *,
    portable: bool,
    shard_bytes: int = SHARD_BYTES,
) -> Layout:
    """Shards in the order of `weights`, each under `shard_bytes` where one weight allows it.

    `dense_forms`: of a portable artifact, what lies in the shards of those weights that are themselves in `HEAD_FILE`.
    """
    shards: list[list[TensorSpec]] = [[]]
    filled = 0
    for name, record in weights.items():
        specs = own_specs(name, record)
        if name in dense_forms:
            specs = tensor_specs(name, dense_forms[name], record.shape)
        elif portable:
            specs = foreign_specs(name, record)
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
    if not portable:
        return Layout(files, None, None)
    minimums = tuple(spec for name, record in weights.items() for spec in minimum_specs(name, record))
    head = [spec for name in dense_forms for spec in own_specs(name, weights[name]) if spec not in minimums]
    return Layout(
        files,
        WeightFile(HEAD_FILE, tuple(head)) if head else None,
        WeightFile(MINIMUMS_FILE, minimums) if minimums else None,
    )


def own_specs(name: str, record: WeightRecord) -> tuple[TensorSpec, ...]:
    """The tensors that this project reads of a weight."""
    factors = (TensorSpec.of(name, factors_part(record.shape)),) if record.tied_table else ()
    return (*tensor_specs(name, record.scheme, record.shape), *factors)


def foreign_specs(name: str, record: WeightRecord) -> tuple[TensorSpec, ...]:
    """The tensors that other tools read of a weight that is not dense for them."""
    return tensor_specs(name, foreign_scheme(record.scheme), record.shape)


def minimum_specs(name: str, record: WeightRecord) -> tuple[TensorSpec, ...]:
    """The tensors of a weight that are in `MINIMUMS_FILE` if the artifact is portable."""
    parts = record.scheme.tensors(record.shape)
    return tuple(TensorSpec.of(name, part) for part in parts if part.suffix in unsaid(record.scheme))
