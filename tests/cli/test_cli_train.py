"""`honed train` on the command line: what it prints, and what is said of what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from honed.cli.main import main
from tiny_encoders import with_tokenizer

ROWS = [("the of", "a"), ("to in", "b"), ("the is", "a"), ("and it", "b")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("train")
    with_tokenizer("bert", made / "model")
    (made / "data.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS))
    return made


def words(folder: Path, out: str, *more: str) -> list[str]:
    data = str(folder / "data.tsv")
    given = ["--task", "text-classification", "--data", data, "--validation", data, "-o", str(folder / out)]
    return ["honed", "train", str(folder / "model"), *given, "--epochs", "1", "--batch", "2", "--threads", "1", *more]


def test_a_report(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", words(folder, "one", "--train", "head", "--json"))
    main()
    found = capsys.readouterr()
    report = json.loads(found.out)
    assert report["labels"] == ["a", "b"]
    assert (report["method"], report["examples"], report["steps"]) == ("head", 4, 2)
    assert found.err.count("accuracy") == 2  # before and behind the epoch
    assert (folder / "one/model.safetensors").exists()


def test_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", words(folder, "two", "--label-names", "a, b"))
    main()
    found = capsys.readouterr().out
    assert "text-classification, full" in found
    assert "2: a, b" in found
    assert "macro F1" in found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--train", "all"], "train = 'all': must be one of head, lora, full"),
        (["--task", "ranking"], "task = 'ranking': must be one of text-classification"),
        (["--text", "body"], "text = 'body': must be a field, and row 1"),
        (["--teacher", "MODEL"], "must give classes a, b, and has no head"),
    ],
)
def test_errors_are_sentences(
    more: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(folder / "model") if word == "MODEL" else word for word in more]
    monkeypatch.setattr("sys.argv", words(folder, "no", *given))
    with pytest.raises(SystemExit):
        main()
    found = capsys.readouterr()
    assert message in found.err
    assert found.err.startswith("honed: ")
    assert not (folder / "no").exists()
