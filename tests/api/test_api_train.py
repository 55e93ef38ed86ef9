"""`honed.train` from a file to a directory: what is learned, that transformers and honed read it, and that a training
that was interrupted goes on to the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import honed
from chatty_model import with_template
from honed.api.train_options import TrainOptions
from honed.backends.encoder import TextBatch
from honed.backends.native_config import NativeConfig
from honed.backends.native_encoder import NativeEncoder
from honed.checkpoints.huggingface.labels import read_labels
from honed.checkpoints.open import open_checkpoint
from honed.compress.training.loop import Moment
from honed.errors import ArtifactError, HonedError, ParameterError, UnsupportedError
from tiny_encoders import WORDS, with_tokenizer

LIST = WORDS.split()
TURNS = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
TEMPLATE = TURNS + "{% if add_generation_prompt %}assistant {% endif %}"
FAST: dict[str, Any] = {"epochs": 4.0, "batch": 8, "rate": 2e-3}


def sentences(path: Path, count: int, seed: int, label: Any) -> Path:
    random = np.random.default_rng(seed)
    with path.open("w") as file:
        for _ in range(count):
            words = [LIST[place] for place in random.integers(0, len(LIST), random.integers(3, 12))]
            file.write(json.dumps({"text": " ".join(words), "label": label(words)}) + "\n")
    return path


def says_the(words: list[str]) -> str:
    """To be learned from a single word."""
    return "yes" if "the" in words else "no"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    return sentences(folder / "train.jsonl", 160, 0, says_the), sentences(folder / "dev.jsonl", 60, 1, says_the)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tokenizer("minilm", tmp_path_factory.mktemp("source") / "minilm")


def logits_of(directory: Path, tokens: list[int]) -> Any:
    checkpoint = open_checkpoint(str(directory))
    labels = read_labels(checkpoint)
    assert labels is not None
    ids = np.array(tokens, np.int32)
    batch = TextBatch(ids, np.zeros_like(ids), np.array([len(ids)], np.int32))
    backend = NativeEncoder.load(checkpoint, NativeConfig(threads=1, keep_packed=False))
    return backend.encode(batch, "classes" if labels.kind == "classes" else "tags")


@pytest.mark.parametrize("method", ["head", "lora", "full"])
def test_classes_are_learned(method: Any, source: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    options = TrainOptions(method=method, **(FAST | ({"rate": 1e-2} if method != "full" else {})))
    told: list[Moment] = []
    report = honed.train(
        source, "text-classification", *data, tmp_path / "out", options=options, threads=1, progress=told.append
    )
    assert report.found["accuracy"] > (0.7 if method == "head" else 0.85)
    assert (report.labels, report.examples, report.held_out, report.steps) == (("no", "yes"), 160, 60, 80)
    judged = [moment.found["accuracy"] for moment in told if moment.judged]
    assert max(judged) == report.found["accuracy"]
    assert len(judged) == 5  # before the first step, and behind each epoch
    model, said = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not said["missing_keys"] and not said["unexpected_keys"]
    assert model.config.id2label == {0: "no", 1: "yes"}
    tokens = [2, 4, 9, 11, 3]
    with torch.inference_mode():
        expected = model.eval()(torch.tensor([tokens])).logits.numpy()
    np.testing.assert_allclose(logits_of(tmp_path / "out", tokens), expected, atol=1e-4)
    before, after = (open_checkpoint(str(folder)) for folder in (source, tmp_path / "out"))
    name = "encoder.layer.1.output.dense.weight"
    same = np.array_equal(before.weight(name).decode(), after.weight(name).decode())
    assert same is (method == "head")
    document = json.loads((tmp_path / "out/training.json").read_text())
    assert document["found"] == dict(report.found)
    assert set(document["data"]) == {"train.jsonl", "dev.jsonl"}


@pytest.mark.parametrize("family", ["distilbert", "roberta", "modernbert"])
def test_every_family_is_trained(family: str, data: tuple[Path, Path], tmp_path: Path) -> None:
    model = with_tokenizer(family, tmp_path / "source")
    options = TrainOptions(method="lora", epochs=0.2, batch=16)
    honed.train(model, "text-classification", *data, tmp_path / "out", options=options, threads=1)
    cls = transformers.AutoModelForSequenceClassification
    _, said = cls.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not said["missing_keys"] and not said["unexpected_keys"]


def test_tags_are_learned(source: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tagged = {"the": "B-x", "and": "I-x"}
    for name, count in (("train.conll", 120), ("dev.conll", 40)):
        with (tmp_path / name).open("w") as file:
            for _ in range(count):
                words = [LIST[place] for place in random.integers(0, len(LIST), random.integers(3, 12))]
                file.write("".join(f"{word}\t{tagged.get(word, 'O')}\n" for word in words) + "\n")
    files = (tmp_path / "train.conll", tmp_path / "dev.conll")
    options = TrainOptions(**FAST)
    report = honed.train(source, "token-classification", *files, tmp_path / "out", options=options, threads=1)
    assert report.labels == ("O", "B-x", "I-x")
    assert report.found["F1"] > 0.9
    model = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "out")
    with torch.inference_mode():
        expected = model.eval()(torch.tensor([[2, 4, 9, 3]])).logits[0].numpy()
    np.testing.assert_allclose(logits_of(tmp_path / "out", [2, 4, 9, 3]), expected, atol=1e-4)


def test_several_labels(source: Path, tmp_path: Path) -> None:
    def labels(words: list[str]) -> list[str]:
        return [word for word in ("the", "of", "is") if word in words]

    data = [sentences(tmp_path / f"{name}.jsonl", count, count, labels) for name, count in (("a", 160), ("b", 60))]
    options = TrainOptions(**FAST)
    told: list[Moment] = []
    report = honed.train(
        source,
        "text-classification",
        data[0],
        data[1],
        tmp_path / "out",
        options=options,
        threads=1,
        progress=told.append,
    )
    assert report.found["micro F1"] > max(0.6, told[0].found["micro F1"] + 0.1)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"


class StoppedError(Exception):
    """In the middle of a training."""


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_goes_on_to_the_same_bits(
    method: Any, source: Path, data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.compress.training.settings import FittingSettings

    monkeypatch.setattr(FittingSettings.model_fields["keep"], "default", 3)
    FittingSettings.model_rebuild(force=True)
    options = TrainOptions(method=method, epochs=1.0, batch=16, evaluate=4)

    def run(out: Path, stop: int | None = None, **more: Any) -> None:
        def told(moment: Moment) -> None:
            if moment.step == stop and not moment.judged:
                raise StoppedError

        honed.train(source, "text-classification", *data, out, options=options, threads=1, progress=told, **more)

    run(tmp_path / "whole")
    with pytest.raises(StoppedError):
        run(tmp_path / "parted", stop=5)
    assert not (tmp_path / "parted").exists()
    with pytest.raises(ParameterError, match="a training was interrupted there"):
        run(tmp_path / "parted")
    run(tmp_path / "parted", resume=True)
    one, other = (open_checkpoint(str(tmp_path / name)) for name in ("whole", "parted"))
    for name in one.names:
        np.testing.assert_array_equal(one.weight(name).decode(), other.weight(name).decode(), err_msg=name)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parted.training/log.jsonl").read_text().splitlines()]
    assert max(steps) == 10
    assert not (tmp_path / "parted.training/state.pt").exists()


@pytest.fixture(scope="module")
def trained(source: Path, data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A classifier, and its accuracy."""
    out = tmp_path_factory.mktemp("trained") / "out"
    report = honed.train(source, "text-classification", *data, out, options=TrainOptions(**FAST), threads=1)
    return out, report.found["accuracy"]


def test_a_student_learns_from_a_teacher(
    trained: tuple[Path, float], source: Path, data: tuple[Path, Path], tmp_path: Path
) -> None:
    teacher, _ = trained
    honed.compress(teacher, {"passes": [{"pass": "prune_layers", "layers": [1]}]}, out=tmp_path / "small")
    report = honed.train(
        tmp_path / "small",
        "text-classification",
        *data,
        tmp_path / "student",
        options=TrainOptions(epochs=2.0, batch=8, rate=2e-3, teacher_share=0.8),
        teacher=teacher,
        threads=1,
    )
    assert report.found["accuracy"] > 0.8
    assert not [name for name in open_checkpoint(str(tmp_path / "student")).names if ".layer.1." in name]
    with pytest.raises(ParameterError, match=r"teacher = .*: must give classes no, yes, and has no head"):
        honed.train(source, "text-classification", *data, tmp_path / "no", teacher=source, threads=1)


def test_a_head_of_these_labels_is_gone_on_with(
    trained: tuple[Path, float], data: tuple[Path, Path], tmp_path: Path
) -> None:
    told: list[Moment] = []
    honed.train(
        trained[0],
        "text-classification",
        *data,
        tmp_path / "second",
        options=TrainOptions(epochs=0.1),
        threads=1,
        progress=told.append,
    )
    assert told[0].found["accuracy"] == pytest.approx(trained[1], abs=0.02)


def test_dialogues_are_learned(tiny_llama: Path, tmp_path: Path) -> None:
    model = with_template(tiny_llama, tmp_path / "source")
    (model / "chat_template.jinja").write_text(TEMPLATE)
    turns = [{"role": "user", "content": "the of"}, {"role": "assistant", "content": "is it"}]
    for name in ("train.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text((json.dumps({"messages": turns}) + "\n") * 8)
    files = (tmp_path / "train.jsonl", tmp_path / "dev.jsonl")
    told: list[Moment] = []
    report = honed.train(
        model,
        "text-generation",
        *files,
        tmp_path / "out",
        options=TrainOptions(epochs=12.0, batch=4, rate=1e-2),
        threads=1,
        progress=told.append,
    )
    assert report.found["perplexity"] < told[0].found["perplexity"] / 2
    assert report.labels == ()
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("text-generation", {}, "is an encoder; text-generation takes"),
        ("token-classification", {}, "must be a list of words"),
        ("text-classification", {"text": "body"}, "text = 'body': must be a field"),
        ("text-classification", {"label_names": ["a", "b"]}, "the data has 'no' too"),
    ],
)
def test_what_cannot_be_trained(task: Any, change: dict[str, Any], message: str, source: Path, tmp_path: Path) -> None:
    data = [sentences(tmp_path / name, 4, 0, says_the) for name in ("train.jsonl", "dev.jsonl")]
    if task == "token-classification":
        change = {"text": "text", "label": "label"}
    with pytest.raises(HonedError, match=message):
        honed.train(source, task, data[0], data[1], tmp_path / "out", options=TrainOptions(**change), threads=1)
    assert not (tmp_path / "out").exists()


def test_rounded_weights_are_not_trained(source: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    honed.compress(source, "int8", out=tmp_path / "int8")
    with pytest.raises(UnsupportedError, match="is int8, and rounded weights of an artifact are not trained"):
        honed.train(tmp_path / "int8", "text-classification", *data, tmp_path / "out", threads=1)


def test_what_is_there_is_left_alone(source: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(ArtifactError):
        honed.train(source, "text-classification", *data, tmp_path / "out", threads=1)
