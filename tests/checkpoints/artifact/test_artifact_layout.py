"""Where tensors lie: one file or shards, and the head in a folder of its own."""

from __future__ import annotations

from honed.checkpoints.artifact.layout import HEAD_FILE, plan_layout
from honed.checkpoints.artifact.manifest import WeightRecord
from honed.encodings.scheme import DenseScheme, Int8Scheme

LAYERS = {f"layers.{i}.weight": WeightRecord(Int8Scheme(32, 32), (64, 64)) for i in range(5)}
HEAD = {"lm_head.weight": WeightRecord(Int8Scheme(32, 32), (100, 64))}


def test_a_small_model_is_one_file_without_an_index() -> None:
    layout = plan_layout(LAYERS, {})
    assert [shard.name for shard in layout.shards] == ["model.safetensors"]
    assert layout.index() is None
    assert layout.files == layout.shards


def test_a_large_one_is_split_between_weights_and_indexed() -> None:
    layout = plan_layout(LAYERS, {}, shard_bytes=10_000)
    assert [shard.name for shard in layout.shards] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = layout.index()
    assert index is not None
    weight_map = index["weight_map"]
    assert isinstance(weight_map, dict)
    assert {weight_map[f"layers.0.weight_{part}"] for part in ("packed", "scale", "shape")} == {layout.shards[0].name}
    assert set(weight_map) == {spec.name for shard in layout.shards for spec in shard.specs}
    assert all(sum(spec.nbytes for spec in shard.specs) <= 10_000 for shard in layout.shards)


def test_a_weight_over_the_limit_gets_a_shard_of_its_own() -> None:
    assert len(plan_layout(LAYERS, {}, shard_bytes=1).shards) == 5


def test_a_tied_head_lies_in_its_own_file_only_and_an_untied_one_in_both() -> None:
    tied = plan_layout({**LAYERS, **HEAD}, {"lm_head.weight": None})
    assert tied.head is not None
    assert tied.head.name == HEAD_FILE
    assert not any("lm_head" in spec.name for spec in tied.shards[0].specs)
    untied = plan_layout({**LAYERS, **HEAD}, {"lm_head.weight": DenseScheme("bfloat16")})
    (dense,) = [spec for spec in untied.shards[0].specs if "lm_head" in spec.name]
    assert (dense.name, dense.dtype, dense.shape) == ("lm_head.weight", "BF16", (100, 64))
    assert untied.head == tied.head
    assert untied.nbytes > tied.nbytes


def test_a_norm_that_fits_the_head_only_lies_with_it_and_as_it_was_in_the_shards() -> None:
    norm = {"norm.weight": WeightRecord(DenseScheme("float32"), (64,))}
    apart = {"lm_head.weight": None, "norm.weight": DenseScheme("bfloat16")}
    layout = plan_layout({**LAYERS, **norm, **HEAD}, apart)
    assert layout.head is not None
    assert [spec.dtype for spec in layout.head.specs if spec.name == "norm.weight"] == ["F32"]
    assert [spec.dtype for spec in layout.shards[0].specs if spec.name == "norm.weight"] == ["BF16"]
    assert not any("lm_head" in spec.name for spec in layout.shards[0].specs)
