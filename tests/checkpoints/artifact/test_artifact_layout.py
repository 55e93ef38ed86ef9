"""Where tensors lie: every weight once, and of a portable artifact what other tools read beside it."""

from __future__ import annotations

from honed.checkpoints.artifact.layout import HEAD_FILE, MINIMUMS_FILE, plan_layout
from honed.checkpoints.artifact.manifest import WeightRecord
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme

LAYERS = {f"layers.{i}.weight": WeightRecord(Int8Scheme(32, 32), (64, 64)) for i in range(5)}
HEAD = {"lm_head.weight": WeightRecord(Int8Scheme(32, 32), (100, 64))}


def test_a_small_model_is_one_file_without_an_index() -> None:
    layout = plan_layout(LAYERS, {}, portable=False)
    assert [shard.name for shard in layout.shards] == ["model.safetensors"]
    assert layout.index() is None
    assert layout.files == layout.shards


def test_a_large_one_is_split_between_weights_and_indexed() -> None:
    layout = plan_layout(LAYERS, {}, portable=False, shard_bytes=10_000)
    assert [shard.name for shard in layout.shards] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = layout.index()
    assert index is not None
    weight_map = index["weight_map"]
    assert isinstance(weight_map, dict)
    assert {weight_map[f"layers.0.weight_{part}"] for part in ("packed", "scale", "shape")} == {layout.shards[0].name}
    assert set(weight_map) == {spec.name for shard in layout.shards for spec in shard.specs}
    assert all(sum(spec.nbytes for spec in shard.specs) <= 10_000 for shard in layout.shards)


def test_a_weight_over_the_limit_gets_a_shard_of_its_own() -> None:
    assert len(plan_layout(LAYERS, {}, portable=False, shard_bytes=1).shards) == 5


def test_a_head_lies_with_the_rest_unless_others_shall_read_it() -> None:
    once = plan_layout({**LAYERS, **HEAD}, {}, portable=False)
    assert once.files == once.shards
    assert {spec.name for spec in once.shards[0].specs} >= {"lm_head.weight_packed", "lm_head.weight_scale"}
    twice = plan_layout({**LAYERS, **HEAD}, {"lm_head.weight": DenseScheme("bfloat16")}, portable=True)
    (dense,) = [spec for spec in twice.shards[0].specs if "lm_head" in spec.name]
    assert (dense.name, dense.dtype, dense.shape) == ("lm_head.weight", "BF16", (100, 64))
    assert twice.head is not None
    assert twice.head.name == HEAD_FILE
    assert twice.nbytes > once.nbytes + 2 * 100 * 64


def test_a_tied_table_has_factors_wherever_it_lies() -> None:
    table = {"embed.weight": WeightRecord(Int8Scheme(32, 32), (100, 64), tied_table=True)}
    once = plan_layout({**table, **LAYERS}, {}, portable=False)
    assert "embed.weight_lookup_factors" in {spec.name for spec in once.shards[0].specs}
    twice = plan_layout({**table, **LAYERS}, {"embed.weight": DenseScheme("bfloat16")}, portable=True)
    assert twice.head is not None
    assert "embed.weight_lookup_factors" in {spec.name for spec in twice.head.specs}
    assert [spec.name for spec in twice.shards[0].specs if "embed" in spec.name] == ["embed.weight"]


def test_a_norm_that_fits_the_head_only_lies_with_it_and_as_it_was_in_the_shards() -> None:
    norm = {"norm.weight": WeightRecord(DenseScheme("float32"), (64,))}
    forms = {"lm_head.weight": DenseScheme("bfloat16"), "norm.weight": DenseScheme("bfloat16")}
    layout = plan_layout({**LAYERS, **norm, **HEAD}, forms, portable=True)
    assert layout.head is not None
    assert [spec.dtype for spec in layout.head.specs if spec.name == "norm.weight"] == ["F32"]
    assert [spec.dtype for spec in layout.shards[0].specs if spec.name == "norm.weight"] == ["BF16"]


def test_minimums_lie_beside_their_codes_or_beside_zero_points_for_others() -> None:
    weights = {
        "a.weight": WeightRecord(Int4Scheme(32, "minimum"), (64, 64)),
        "lm_head.weight": WeightRecord(Int4Scheme(32, "minimum"), (64, 64)),
    }
    once = plan_layout(weights, {}, portable=False)
    assert once.files == once.shards
    assert not any(spec.name.endswith("zero_point") for spec in once.shards[0].specs)
    twice = plan_layout(weights, {"lm_head.weight": DenseScheme("bfloat16")}, portable=True)
    assert twice.minimums is not None
    assert twice.minimums.name == MINIMUMS_FILE
    assert [spec.name for spec in twice.minimums.specs] == ["a.weight_minimum", "lm_head.weight_minimum"]
    assert {spec.name for spec in twice.shards[0].specs} >= {"a.weight_zero_point", "lm_head.weight"}
    assert twice.head is not None
    assert not any(spec.name.endswith(("minimum", "zero_point")) for spec in twice.head.specs)
