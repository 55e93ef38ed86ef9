from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honed.cli.main import main, make_app
from honed.evaluate.certificate import ESTIMATES
from tiny_encoders import with_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(" ".join(random.Random(1).choices(["the", "a", "of", "was", "hot"], k=300)))
    return path


def run(*arguments: object) -> str:
    done = CliRunner().invoke(make_app(), ["eval", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json_has_every_value_with_its_interval(tiny_llama: Path, text: Path) -> None:
    arguments = (tiny_llama, "--reference", tiny_llama, "--text", text, "--dtype", "bfloat16", "--json")
    value = json.loads(run(*arguments))
    for name in ("perplexity", "reference_perplexity", "kl_mean", "kl_p99", "top1_agreement"):
        assert isinstance(value[name], float)
    assert value["kl_mean"] > 0
    assert value["tokens"] == 256
    assert set(value["intervals"]) == set(ESTIMATES)
    assert value["settings"]["windows"] == 1
    assert value["cached"] is False
    assert json.loads(run(*arguments)) == {**value, "cached": True}


def test_table_names_values_intervals_and_text(tiny_llama: Path, text: Path) -> None:
    arguments = (tiny_llama, "--text", text, "--windows", 2, "--window-tokens", 100)
    output = run(*arguments)
    assert "top-1 agreement" in output
    assert "100.00% to 100.00%" in output
    assert "200 tokens of text.txt in 2 windows of 100" in output
    assert "cached" not in output
    assert "cached" in run(*arguments)


def test_error_is_one_line_and_no_traceback(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.txt").write_text("the a of")
    monkeypatch.setattr("sys.argv", ["honed", "eval", str(tiny_llama), "--text", str(tmp_path / "short.txt")])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error == (
        "honed: text = '3 tokens': must have at least 257 for a window of 256; give a longer text, or fewer windows\n"
    )


def test_an_encoder_has_cosines(tmp_path: Path, text: Path) -> None:
    encoder = with_tokenizer("bert", tmp_path / "encoder")
    value = json.loads(run(encoder, "--text", text, "--windows", 4, "--window-tokens", 20, "--json"))
    assert value["cosine_mean"] == pytest.approx(1)
    assert (value["pooling"], value["settings"]["windows"], value["nearest_agreement"]) == ("mean", 4, 1.0)
    table = run(encoder, "--text", text, "--windows", 4, "--window-tokens", 20)
    assert "same nearest text" in table
    assert "4 texts of 22 tokens of text.txt, pooled by mean" in table
