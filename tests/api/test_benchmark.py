"""Names to a report on tiny models: processes, engine and peer are real. No speed is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fake_peer
from honed.api import benchmark as module
from honed.api.benchmark import BenchModel, benchmark
from honed.api.compress import compress
from honed.backends.options import RunOptions
from honed.bench.contender import Contender, Skipped
from honed.bench.peers import PEERS
from honed.bench.report import Row
from honed.bench.session import Measured
from honed.bench.workload import Workload
from honed.errors import ParameterError

WORKLOAD = Workload(prompt_tokens=12, new_tokens=4, threads=1, runs=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def planned(monkeypatch: pytest.MonkeyPatch) -> list[Contender]:
    """Catches what would be measured."""
    caught: list[Contender] = []

    def catch(contenders: list[Contender], progress: object, *, until: object) -> list[Measured]:
        caught.extend(contenders)
        return []

    monkeypatch.setattr(module, "measure_all", catch)
    return caught


@pytest.mark.slow
def test_engine_and_peer_are_measured_in_one_run(tiny_llama: Path) -> None:
    report = benchmark([BenchModel(str(tiny_llama), RunOptions(dtype="bfloat16"))], WORKLOAD, against=["pytorch"])
    own, peer = report.rows
    assert isinstance(own, Row)
    assert isinstance(peer, Row)
    assert (own.system, own.dtype, peer.system, peer.dtype) == ("honed", "bfloat16", "pytorch", "bfloat16")
    assert own.file_bytes == peer.file_bytes == (tiny_llama / "model.safetensors").stat().st_size
    assert own.limits.prefill_tok_s is not None
    assert peer.limits.prefill_tok_s is None
    value = json.loads(json.dumps(report.to_json()))
    for row in value["rows"]:
        assert row["decode_limit_fraction"] > 0
        assert row["start_to_first_token_s"] > row["load_s"] > 0
        assert row["peak_rss_bytes"] > 10 << 20
    assert set(value["rows"][0]["speed_against"]) == {"pytorch"}
    assert value["machine"]["versions"]["torch"]


def test_peer_runs_the_source_of_artifacts_once(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe in ("int8", "int4"):
        compress(str(tiny_llama), recipe, out=tmp_path / recipe)
    monkeypatch.chdir(tiny_llama.parent)
    caught = planned(monkeypatch)
    models = [BenchModel(str(tiny_llama)), BenchModel(str(tmp_path / "int8")), BenchModel(str(tmp_path / "int4"))]
    benchmark(models, WORKLOAD, against=["pytorch"])
    assert [contender.system for contender in caught] == ["honed", "honed", "honed", "pytorch"]
    assert Path(caught[3].arguments["directory"]) == tiny_llama
    assert len({contender.prompts for contender in caught}) == 1
    assert [len(prompt) for prompt in caught[0].prompts] == [12]


def test_peer_runs_the_decoded_artifact_where_its_source_is_gone(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress(str(tiny_llama), "int8", out=tmp_path / "int8")
    monkeypatch.chdir(tmp_path)
    caught = planned(monkeypatch)
    benchmark([BenchModel("int8")], WORKLOAD, against=["pytorch"])
    directory = Path(caught[1].arguments["directory"])
    assert directory.is_relative_to(tmp_path / "cache")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert AutoTokenizer.from_pretrained(directory)("the a of")["input_ids"] == [3, 4, 5]
    # Smoothing scales features of single weights, so it is the whole model that must agree.
    ids = torch.tensor([[3, 9, 4, 20, 7, 11]])
    copied, original = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)(ids).logits for path in (directory, tiny_llama)
    )
    difference = (copied - original).abs().max() / original.abs().max()
    assert 0 < difference < 0.02


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Other systems of every kind of luck, in an environment where nothing is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    monkeypatch.setattr(fake_peer, "interpreter", str(tmp_path / "v" / "bin" / "python"))
    monkeypatch.setenv("PYTHONPATH", str(Path(fake_peer.__file__).parent))
    kinds = ("good", "single", "failing", "absent", "uninstallable")
    for kind in kinds:
        monkeypatch.setitem(PEERS, kind, ("fake_peer:FakePeer", kind))
    return ",".join(kinds)


def test_other_systems_run_in_their_environment_and_fail_in_rows(tiny_llama: Path, fakes: str) -> None:
    told: list[str] = []
    batch = Workload(prompt_tokens=12, new_tokens=4, threads=1, runs=1, batch=3)
    report = benchmark(
        [BenchModel(str(tiny_llama))],
        [WORKLOAD, batch],
        against=[fakes],
        progress=lambda done, total, label: told.append(label),
    )
    assert "preparing fake" in told
    reasons = {(row.system, row.workload): row.reason for row in report.rows if isinstance(row, Skipped)}
    assert reasons == {
        ("single", batch): "fake: decodes one sequence at a time",
        ("failing", WORKLOAD): "it broke",
        ("failing", batch): "it broke",
        ("absent", None): "not on this machine",
        ("uninstallable", None): "fake cannot be installed: ERROR: no such thing",
    }
    assert [(row.system, row.workload.batch, row.variant) for row in report.measured()] == [
        ("honed", 1, ""),
        ("good", 1, "quick"),
        ("single", 1, "quick"),
        ("honed", 3, ""),
        ("good", 3, "quick"),
    ]
    good, wide = (row for row in report.measured() if row.system == "good")
    # Steps of two milliseconds and hardly anything else; three sequences a step.
    assert 50 < good.decode_tok_s.median <= 500
    assert 150 < wide.decode_tok_s.median <= 1500


def test_batch_has_room_for_what_the_first_sequence_is_ahead(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The context is 256. Eight prompts of 200 tokens take four steps: the first is three tokens ahead of the last."""
    caught = planned(monkeypatch)
    workloads = [Workload(prompt_tokens=200, new_tokens=count, batch=8) for count in (2, 40, 53, 56)]
    benchmark([BenchModel(str(tiny_llama))], workloads)
    assert [contender.timed_tokens for contender in caught] == [2, 40, 53, 53], "56 leave no room for the three"
    assert [contender.arguments["options"]["context"] for contender in caught] == [205, 243, 256, 256]


def test_batch_that_cannot_decode_together_is_told_what_would_be_right(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = planned(monkeypatch)
    batch = Workload(prompt_tokens=230, new_tokens=20, batch=32)
    expected = r"prompt_tokens = 230: must be at most (\d+): the context of .*, 256, ends before 32 sequences"
    with pytest.raises(ParameterError, match=expected) as raised:
        benchmark([BenchModel(str(tiny_llama))], [WORKLOAD, batch])
    assert not caught
    most = int(str(raised.value).split("at most ")[1].split(":")[0])
    benchmark([BenchModel(str(tiny_llama))], replace(batch, prompt_tokens=most))
    assert caught[-1].timed_tokens >= module.LEAST_TOGETHER
    with pytest.raises(ParameterError, match=f"must be at most {most}"):
        benchmark([BenchModel(str(tiny_llama))], replace(batch, prompt_tokens=most + 1))
    with pytest.raises(ParameterError, match="batch = 513: must be at most 512"):
        benchmark([BenchModel(str(tiny_llama))], Workload(prompt_tokens=8, new_tokens=4, batch=513))


def test_new_tokens_may_be_fewer_than_the_first_sequence_is_ahead(tiny_llama: Path) -> None:
    workload = Workload(prompt_tokens=200, new_tokens=2, threads=1, runs=1, batch=12)
    (row,) = benchmark([BenchModel(str(tiny_llama))], workload).measured()
    assert (row.samples[0].decoded, row.timed_tokens) == (12, 2)


def test_refusals(tiny_llama: Path) -> None:
    with pytest.raises(ParameterError, match=r"must be at most 256, the context of"):
        benchmark([BenchModel(str(tiny_llama))], Workload(prompt_tokens=200, new_tokens=57))
    with pytest.raises(ParameterError, match="at least one BenchModel"):
        benchmark([], WORKLOAD)
    with pytest.raises(ParameterError, match="against = 'x'"):
        benchmark([BenchModel(str(tiny_llama))], WORKLOAD, against=["x"])
    with pytest.raises(ParameterError, match="minutes = 0: must be over 0"):
        benchmark([BenchModel(str(tiny_llama))], WORKLOAD, minutes=0)
    model = str(tiny_llama)
    with pytest.raises(ParameterError, match=r"models = 'x': must be a BenchModel"):
        benchmark(["x"], WORKLOAD)  # type: ignore[list-item]
    with pytest.raises(ParameterError, match=r"isa = 'sse': this machine has .*portable"):
        benchmark([BenchModel(model, RunOptions(isa="sse"))], WORKLOAD)
    for options, says in (
        (RunOptions(threads=2), "threads = 2: is that of the workload"),
        (RunOptions(context=64, sequences=2), "context = 64: is that of the workload"),
        (RunOptions(backend="pytorch"), "backend = 'pytorch': is native for a benchmark"),
    ):
        with pytest.raises(ParameterError, match=says):
            BenchModel(model, options)
