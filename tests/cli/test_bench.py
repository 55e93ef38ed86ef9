from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honed.bench import session
from honed.bench.contender import Contender
from honed.bench.isolate import WorkerError
from honed.bench.measure import Sample
from honed.bench.table import HEADER
from honed.cli.bench import numbers
from honed.cli.main import main, make_app

SMALL = ("--prompt-tokens", "8", "--new-tokens", "3", "--threads", "1", "--runs", "1")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(make_app(), ["bench", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json_report(tiny_llama: Path, tmp_path: Path) -> None:
    value = json.loads(run(str(tiny_llama), *SMALL, "--isa", "portable", "--json", "--out", str(tmp_path / "r.json")))
    (row,) = value["rows"]
    assert row["batch"] == 1
    assert (row["system"], row["model"], row["threads"], row["isa"]) == ("honed", str(tiny_llama), 1, "portable")
    for name in ("prefill_tok_s", "decode_tok_s"):
        assert 0 < row[name]["min"] <= row[name]["median"] <= row[name]["max"]
    for name in ("ttft_s", "load_s", "start_to_first_token_s", "decode_limit_fraction", "prefill_limit_fraction"):
        assert row[name] > 0
    assert row["peak_rss_bytes"] > 10 << 20
    assert row["file_bytes"] == (tiny_llama / "model.safetensors").stat().st_size
    assert len(row["raw"]["decode_s"]) == 1
    assert all(len(values) == 1 and values[0] > 0 for values in value["probes"].values())
    assert value["machine"]["features"]
    assert json.loads((tmp_path / "r.json").read_text()) == value


def test_table_and_markdown(tiny_llama: Path) -> None:
    lines = run(str(tiny_llama), *SMALL, "--dtype", "bfloat16", "--markdown").splitlines()
    assert lines[0] == "| " + " | ".join(HEADER) + " |"
    assert lines[2].startswith(f"| honed | {tiny_llama} | bfloat16 |")
    plain = run(str(tiny_llama), *SMALL)
    assert "8 prompt and 3 new tokens, 1 sequence, 1 thread, 1 run: median" in plain
    assert "float32" in plain
    assert "peak memory" in plain


def test_lists_make_a_table_for_each_combination(tiny_llama: Path, tmp_path: Path) -> None:
    page, plot = tmp_path / "r.md", tmp_path / "r.svg"
    arguments = ("--prompt-tokens", "6,8", "--batch", "1,2", "--new-tokens", "5", "--threads", "1", "--runs", "1")
    run(str(tiny_llama), *arguments, "--page", str(page), "--plot", str(plot))
    headings = [line for line in page.read_text().splitlines() if line.startswith("## ")]
    assert headings == [
        f"## {prompt} prompt and 5 new tokens, {sequences}, 1 thread, 1 run: median (range)"
        for prompt in (6, 8)
        for sequences in ("1 sequence", "2 sequences together")
    ]
    assert "](r.svg)" in page.read_text()
    assert plot.read_text().startswith("<svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.md", "r.svg"]


def test_each_kind_of_kv_cache_is_a_row(tiny_llama: Path) -> None:
    value = json.loads(run(str(tiny_llama), *SMALL, "--kv", "auto,int8", "--json"))
    own, small = value["rows"]
    assert (own["model"], small["model"]) == (str(tiny_llama), f"{tiny_llama}, int8 KV")
    assert small["memory_allowance_bytes"] < own["memory_allowance_bytes"]


def test_busy_cpus_are_measured_beside_none(tiny_llama: Path) -> None:
    value = json.loads(run(str(tiny_llama), *SMALL, "--busy", "1", "--json"))
    alone, beside = value["rows"]
    assert (alone["busy"], beside["busy"]) == (0, 1)
    assert alone["speed_against_alone"] is None
    for name in ("prefill", "decode"):
        ratio = beside["runs"][f"{name}_tok_s"][0] / alone["runs"][f"{name}_tok_s"][0]
        assert beside["speed_against_alone"][name]["median"] == ratio
    assert [workload["busy"] for workload in value["workloads"]] == [0, 1]


@pytest.mark.parametrize("as_json", [False, True])
def test_failure_of_one_workload_is_told_after_the_results_of_the_others(
    tiny_llama: Path, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = session.measure_once

    def measure_once(contender: Contender) -> Sample:
        if contender.workload.batch == 2:
            raise WorkerError("it broke")
        return real(contender)

    monkeypatch.setattr(session, "measure_once", measure_once)
    arguments = [*SMALL, "--batch", "2,1", *(["--json"] if as_json else [])]
    monkeypatch.setattr("sys.argv", ["honed", "bench", str(tiny_llama), *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    out, error = capsys.readouterr()
    sequences = "8 prompt and 3 new tokens, 2 sequences together, 1 thread"
    assert f"honed: not measured: {tiny_llama}: {sequences}: it broke\n" in error
    if as_json:
        failed, measured = json.loads(out)["rows"]
        assert (failed["batch"], failed["skipped"]) == (2, "it broke")
        assert measured["batch"] == 1
        assert measured["decode_tok_s"]["median"] > 0
    else:
        assert "skipped: it broke" in out
        assert f"{tiny_llama} (float32): peak memory" in out


def test_numbers_of_a_list() -> None:
    assert numbers("batch", "16,1, 8,1") == [16, 1, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "pytorch,nothing"), "against = 'nothing': must be one of: "),
        (("--batch", "0"), "batch = 0: must be at least 1"),
        (("--batch", "1;2"), "batch = '1;2': must be a whole number, or several with commas between"),
        (("--plot", "/nowhere/at/all.svg"), "there is no directory '/nowhere/at'"),
        (("--runs", "0"), "runs = 0: must be at least 1"),
        (("--threads", "0"), "threads = 0: must be at least 1"),
        (("--busy", "1,100000"), "busy = 100000: must be from 0 to "),
        (("--busy", "-1"), "busy = -1: must be at least 0"),
        (("--dtype", "int3"), "dtype = 'int3': must be one of auto, float32, bfloat16"),
        (("--kv", "auto,int4"), "kv = 'int4': did you mean int8? must be one of auto, float32, bfloat16, int8"),
        (("--prompt-tokens", "4000"), "must be at most 256"),
        (("--out", "/dev/full"), "--out '/dev/full': is there and is no file; give the name of a file"),
        (("--page", "/"), "--page '/': is there and is no file"),
        (("--plot", f"/tmp/{'n' * 300}.svg"), "File name too long; give the name of a file"),
        (("--out", "/tmp/same", "--page", "/tmp/same"), "--page '/tmp/same': --out writes the same file"),
        (("--check-peers", "--plot", "/tmp/x.svg"), "plot = '/tmp/x.svg': is for measuring honed, which"),
        (("--check-peers", "--busy", "1"), "busy = '1': is for measuring honed, which --check-peers does not"),
        (("--check-peers", "--against", "nothing"), "against = 'nothing': must be one of: "),
        (("--out", "/nowhere/at/all.json"), "there is no directory '/nowhere/at'"),
    ],
)
def test_bad_arguments_are_told_before_anything_is_measured(
    tiny_llama: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["honed", "bench", str(tiny_llama), *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code
    error = capsys.readouterr().err
    assert error.startswith("honed: ")
    assert message in error
    assert error.count("\n") == 1
