"""What a plan says is what then happens, and what cannot work is refused before the first token is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from divisible_models import save_llama
from honed.api.compress import compress, plan_compress
from honed.api.compress_plan import check_encodes, kept_bytes, layer_kinds
from honed.compress.recipe import read_recipe
from honed.encodings.scheme import DenseScheme, Int8Scheme, Scheme
from honed.errors import ArtifactError, MachineError, ParameterError, UnsupportedError

GPTQ: dict[str, Any] = {
    "passes": [{"pass": "gptq", "weights": {"bits": 4, "group": 32}}],
    "calibration": {"tokens": 128, "window": 32, "text": "built-in"},
}
UP, DOWN = (f"model.layers.{{}}.mlp.{name}_proj.weight" for name in ("up", "down"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("plan") / "llama")


@pytest.mark.parametrize("recipe", ["int8", "int4-zero-point", GPTQ], ids=["int8", "zero-point", "gptq"])
def test_sizes_and_encodings_are_those_of_the_artifact(llama: Path, tmp_path: Path, recipe: Any) -> None:
    plan = plan_compress(llama, recipe, out=tmp_path / "out", threads=1)
    assert not any(tmp_path.iterdir())
    report = compress(llama, recipe, out=tmp_path / "out", threads=1)
    assert plan.bytes == report.bytes == sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.safetensors"))
    assert plan.disk_bytes > plan.bytes
    assert plan.notes == report.notes
    (up,) = (kind for kind in plan.layers if kind.part == "layers.*.mlp.up_proj")
    assert (up.count, up.shape) == (2, (160, 64))
    made = next(tensor for tensor in report.tensors if "up_proj" in tensor.name)
    assert (up.encoding, up.bytes) == (made.encoding, 2 * made.bytes_after)
    assert plan.seconds is not None
    assert 0 < plan.seconds < 600
    assert sum(kind.count for kind in plan.layers) == 2 * 9 + 2
    assert 4 < plan.bits_per_weight < 40


def test_what_is_learned_from_is_said(llama: Path, tmp_path: Path) -> None:
    def plan(recipe: Any, **given: Any) -> tuple[int, str | None]:
        found = plan_compress(llama, recipe, out=tmp_path / "out", timed=False, **given)
        assert found.seconds is None
        return found.tokens, found.calibration

    assert plan("int4-zero-point") == (0, None)
    assert plan("int8") == (1024, "built-in")
    assert plan("int4-gptq") == (65536, "sampled")
    assert plan("int4-gptq", calibration_tokens=2048) == (2048, "sampled")


@pytest.mark.parametrize("length", [{"minutes": 10}, {"steps": 3}])
def test_training_takes_the_time_that_it_is_given_and_is_not_tried(
    llama: Path, tmp_path: Path, length: dict[str, Any]
) -> None:
    passes = [{"pass": "prune_neurons", "share": 0.4}, {"pass": "distill", **length}]
    recipe = {"passes": passes, "calibration": {"text": "built-in", "tokens": 256, "window": 32}}
    found = plan_compress(llama, recipe, out=tmp_path / "out", threads=1)
    assert found.memory["training"] > 0
    if "minutes" in length:
        assert found.seconds is not None
        assert 600 < found.seconds < 700
    else:
        assert found.seconds is None


@pytest.mark.parametrize("run", [compress, plan_compress])
def test_too_little_memory_or_disk_is_an_error_with_figures(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    monkeypatch.setattr("honed.api.calibration.built_in_windows", lambda *_: pytest.fail("went on"))
    with monkeypatch.context() as patch:
        patch.setattr("honed.api.compress_plan.free_memory", lambda: 1_000_000)
        with pytest.raises(MachineError, match=r"takes up to \d+ MB of memory \(.*\), and 1 MB are free"):
            run(llama, GPTQ, out=tmp_path / "out", threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(
            "honed.checkpoints.artifact.staging.shutil.disk_usage", lambda path: type("Free", (), {"free": 9})
        )
        with pytest.raises(MachineError, match="bytes needed, 9 bytes free"):
            run(llama, GPTQ, out=tmp_path / "out", threads=1)
    assert not any(tmp_path.iterdir())


def test_a_plan_refuses_what_compress_refuses(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="recipe"):
        plan_compress(llama, "int5", out=tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(ArtifactError, match="exists already"):
        plan_compress(llama, "int8", out=tmp_path / "out")


def test_a_recipe_that_encodes_nothing_though_it_should_is_refused() -> None:
    recipe = read_recipe("int4-zero-point").model_copy(update={"passes": read_recipe("int8").passes})
    dense = {UP.format(0): DenseScheme("bfloat16")}
    with pytest.raises(UnsupportedError, match="encodes no weight of this model"):
        check_encodes(recipe, dense, Path("model"))
    check_encodes(recipe, {**dense, DOWN.format(0): Int8Scheme(32, 32)}, Path("model"))
    check_encodes(read_recipe({"passes": [{"pass": "smooth"}]}), dense, Path("model"))


def test_what_is_kept_is_what_passes_by_block_make() -> None:
    shapes: dict[str, tuple[int, ...]] = {
        UP.format(0): (160, 64),
        "model.norm.weight": (64,),
        "model.embed_tokens.weight": (35, 64),
    }
    schemes: dict[str, Scheme] = {
        UP.format(0): Int8Scheme(32, 32),
        "model.norm.weight": DenseScheme("float32"),
        "model.embed_tokens.weight": DenseScheme("bfloat16"),
    }
    assert kept_bytes(read_recipe("int4-gptq"), schemes, shapes) == Int8Scheme(32, 32).nbytes((160, 64))
    assert kept_bytes(read_recipe("int8"), schemes, shapes) == 0


def test_layers_are_counted_by_part_shape_and_encoding() -> None:
    shapes: dict[str, tuple[int, ...]] = {UP.format(0): (8, 64), UP.format(1): (8, 64), UP.format(2): (4, 64)}
    schemes = {name: Int8Scheme(None, None) for name in shapes}
    first, second = layer_kinds(schemes, shapes)
    assert (first.part, first.count, first.shape) == ("layers.*.mlp.up_proj", 2, (8, 64))
    assert (second.count, second.shape) == (1, (4, 64))
    assert first.bytes == 2 * Int8Scheme(None, None).nbytes((8, 64))
