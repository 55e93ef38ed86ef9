"""The demo on a tiny model: everything is made once, and made again only where something changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatty_model import with_template
from honed.api.demo import RECIPES, is_current, run_demo
from honed.bench import session
from honed.bench.contender import Contender
from honed.bench.isolate import WorkerError
from honed.bench.measure import Sample
from honed.bench.workload import Workload
from honed.checkpoints.artifact.manifest import MANIFEST


@pytest.mark.slow
def test_two_runs(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = str(with_template(tiny_llama, tmp_path / "model"))
    out = tmp_path / "out"
    workload = Workload(prompt_tokens=8, new_tokens=4, threads=1, runs=1)
    stages: list[str] = []

    def progress(stage: str, done: int, total: int) -> None:
        stages.append(stage)

    first = run_demo(model, out, workload, fresh=False, progress=progress)
    assert [row.speed.model for row in first.rows] == [model, str(out / "int8"), str(out / "int4")]
    assert not any(row.quality.cached for row in first.rows)
    assert any("compressing" in stage for stage in stages)
    document = json.loads(json.dumps(first.to_json()))
    assert [row["quality"]["tokens"] for row in document["rows"]] == [first.rows[0].quality.certificate.tokens] * 3
    assert document["answer"] == first.answer

    stages.clear()
    second = run_demo(model, out, workload, fresh=False, progress=progress)
    assert all(row.quality.cached for row in second.rows)
    assert not any("compressing" in stage for stage in stages)
    assert second.answer == first.answer

    manifest = out / RECIPES[0] / MANIFEST
    manifest.write_text(manifest.read_text().replace('"honed-artifact"', '"something"'))
    assert not is_current(out / RECIPES[0], model, RECIPES[0])
    assert is_current(out / RECIPES[1], model, RECIPES[1])


@pytest.mark.slow
def test_speed_that_cannot_be_measured_is_an_error(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(contender: Contender) -> Sample:
        raise WorkerError("it broke")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "measure_once", fail)
    model = str(with_template(tiny_llama, tmp_path / "model"))
    workload = Workload(prompt_tokens=8, new_tokens=4, threads=1, runs=1)
    with pytest.raises(WorkerError, match=f"{model}: it broke"):
        run_demo(model, tmp_path / "out", workload, fresh=False, progress=lambda stage, done, total: None)
