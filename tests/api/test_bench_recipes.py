"""Recipes measured on a tiny model: rows with every figure, kept as they come, and what failed said in its row."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from divisible_models import save_llama
from honed.api import bench_recipes as bench
from honed.api.bench_recipes import RecipeBench, summary
from honed.api.recipes import Measured
from honed.bench.recipe_rows import LLAMA, OWN, SOURCE, RecipeResults, read_results
from honed.bench.workload import Workload
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.open import open_checkpoint
from honed.errors import MachineError, ParameterError

TEXT = (
    "the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot " * 30
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("bench") / "llama")


def asked(llama: Path, folder: Path, **changes: Any) -> RecipeBench:
    settings: dict[str, Any] = {
        "model": str(llama),
        "recipes": ["int8", "int4"],
        "files": [],
        "workload": Workload(8, 3, 1, 2),
        "folder": folder,
        "results": folder / "recipes.json",
        "tokens": 256,
    }
    return RecipeBench(**{**settings, **changes})


def quietly(what: str, done: int, total: int) -> None:
    pass


@pytest.mark.slow
def test_every_figure_is_there_and_what_is_known_is_not_measured_again(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tiny vocabulary has few words of the reference topics.
    monkeypatch.setattr("honed.api.evaluate.python_topics", Corpus)
    found = bench.bench_recipes(asked(llama, tmp_path), quietly)
    assert [(row.system, row.name) for row in found.rows] == [(SOURCE, "original"), (OWN, "int8"), (OWN, "int4")]
    assert read_results(tmp_path / "recipes.json") == RecipeResults(found.about, found.rows)
    for row in found.rows:
        assert row.failed is None
        assert row.quality is not None
        assert row.speed is not None
        assert row.quality.kl[1] <= row.quality.kl[0] <= row.quality.kl[2]
        assert row.speed.decode_tok_s > 0
        assert row.speed.runs == 2
    original, eight, four = found.rows
    assert eight.bytes == sum(path.stat().st_size for path in (tmp_path / "int8").rglob("*.safetensors"))
    assert eight.made_s is not None
    assert eight.made_peak_bytes is not None
    assert eight.made_peak_bytes > 10_000_000
    assert original.quality is not None
    assert eight.quality is not None
    assert four.quality is not None
    assert original.quality.kl[0] < eight.quality.kl[0] < four.quality.kl[0]
    assert eight.speed is not None
    assert (eight.speed.decode_of_int8, eight.speed.prefill_of_int8) == (1.0, 1.0)
    assert Measured(**summary(found)["int4"]).kl == four.quality.kl[0]
    assert Artifact(tmp_path / "int4").manifest["recipe"]["passes"][-1]["weights"]["bits"] == 4

    with monkeypatch.context() as patch:
        for name in ("call_isolated", "evaluate", "benchmark"):
            patch.setattr(bench, name, lambda *_, **__: pytest.fail("measured again"))
        assert bench.bench_recipes(asked(llama, tmp_path), quietly) == found

    def failing(*_: Any, **__: Any) -> None:
        raise MachineError("the disk is too full")

    monkeypatch.setattr(bench, "call_isolated", failing)
    after = bench.bench_recipes(asked(llama, tmp_path, recipes=["nf4", "int4"]), quietly)
    nf4 = after.find(OWN, "nf4")
    assert nf4 is not None
    assert nf4.failed == "the disk is too full"
    assert after.find(OWN, "int4") == four
    assert "nf4" not in summary(after)


def test_settings_and_recipes_decide_what_is_known(llama: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(llama))

    def key(system: str, name: str, **changes: Any) -> str:
        return bench._Bench(asked(llama, tmp_path, **changes), checkpoint, quietly).depends_on(system, name)

    same = key(OWN, "int8")
    assert key(OWN, "int8", recipes=["int8"]) == same
    others = {key(OWN, "int4"), key(OWN, "int8", tokens=128), key(OWN, "int8", workload=Workload(8, 4, 1, 2))}
    assert len({same, *others, key(LLAMA, "Q4_0"), key(LLAMA, "Q6_K"), key(SOURCE, "original")}) == 7
    # How long the text is that recipes learn from says nothing about one that does not.
    assert key(OWN, "int8", calibration_tokens=640) == same
    assert key(OWN, "int4-gptq", calibration_tokens=640) != key(OWN, "int4-gptq")
    assert key(LLAMA, "Q4_0", calibration_tokens=640) != key(LLAMA, "Q4_0")


@pytest.mark.parametrize(("changes", "message"), [({"recipes": ["int5"]}, "recipe"), ({"files": ["Q9"]}, "file")])
def test_names_are_checked_first(llama: Path, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=f"{message} = .*must be one of"):
        asked(llama, tmp_path, **changes)


def test_a_worker_goes_on_with_an_unfinished_job_or_discards_one_of_something_else(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.api.compress_job import CompressJob

    save = CompressJob.save

    def failing(self: CompressJob, number: int, name: str, weight: Any) -> None:
        save(self, number, name, weight)
        raise MachineError("stop")

    job = {"model": str(llama), "recipe": "int4-gptq", "out": str(tmp_path / "a"), "threads": 1}
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="resume"):
        patch.setattr(CompressJob, "save", failing)
        with pytest.raises(MachineError, match="stop"):
            bench.compress_in_worker({**job, "calibration_tokens": 256}, 0.0)
    made = bench.compress_in_worker({**job, "calibration_tokens": 512}, 0.0)
    assert made["bytes"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text of words that the tiny model knows."""

    name: str = "words"
    text: str = TEXT
    sha256: str = "0" * 64
