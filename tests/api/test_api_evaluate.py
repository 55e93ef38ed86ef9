"""The verb from names to certificate, on a tiny model: against transformers, through the cache, and its refusals."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path

import pytest

from honed.api import evaluate as module
from honed.api.compress import compress
from honed.api.evaluate import evaluate, evaluate_or_find
from honed.errors import ArtifactError, ParameterError, SourceError, UnsupportedError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path: Path, tiny_llama: Path) -> Path:
    words = [
        word for word in json.loads((tiny_llama / "tokenizer.json").read_text())["model"]["vocab"] if word[0] != "<"
    ]
    path = tmp_path / "text.txt"
    path.write_text(" ".join(random.Random(0).choices(words, k=700)))
    return path


@pytest.fixture(scope="module")
def int8(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifacts") / "int8"
    compress(str(tiny_llama), "int8", out=path)
    return path


def test_float32_is_exactly_its_own_reference(tiny_llama: Path, text: Path) -> None:
    certificate = evaluate(tiny_llama, text=text, windows=2, window_tokens=100)
    assert certificate.kl_mean.value == certificate.kl_p99.value == 0.0
    assert certificate.top1_agreement.value == 1.0
    assert certificate.perplexity == certificate.reference_perplexity
    assert certificate.perplexity_ratio.value == 1.0
    assert certificate.tokens == 200
    assert certificate.settings.text == "text.txt"


def test_perplexity_is_that_of_transformers(tiny_llama: Path, text: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(tiny_llama)(text.read_text(), return_tensors="pt")["input_ids"][0]
    assert len(ids) == 700
    losses = []
    for start in (0, 299, 599):
        with torch.no_grad():
            logits = model(ids[None, start : start + 100]).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits.double(), ids[start + 1 : start + 101]))
    expected = math.exp(torch.stack(losses).mean())
    certificate = evaluate(tiny_llama, text=text, windows=3, window_tokens=100)
    assert certificate.reference_perplexity.value == pytest.approx(expected, rel=1e-5)


def test_artifact_is_close_to_what_it_was_made_from(
    int8: Path, tiny_llama: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_llama.parent)
    certificate = evaluate(int8, text=text, windows=3, window_tokens=100)
    assert 0 < certificate.kl_mean.value < 0.01
    assert certificate.kl_mean.low < certificate.kl_mean.value < certificate.kl_mean.high
    assert certificate.top1_agreement.value > 0.8
    assert certificate.candidate.name == str(int8)
    explicit = evaluate(int8, tiny_llama, text=text, windows=3, window_tokens=100)
    assert explicit.kl_mean == certificate.kl_mean


def test_the_same_question_is_answered_once(tiny_llama: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate_or_find(tiny_llama, text=text, windows=1, window_tokens=64)
    assert not first.cached

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("must not load")

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_language_model", refuse)
        again = evaluate_or_find(tiny_llama, text=text, windows=1, window_tokens=64)
    assert again.cached
    assert again.certificate == first.certificate
    assert not evaluate_or_find(tiny_llama, text=text, windows=1, window_tokens=64, fresh=True).cached


def test_any_change_asks_a_new_question(tiny_llama: Path, text: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)

    def cached(windows: int = 1, window_tokens: int = 64, seed: int = 0) -> bool:
        return evaluate_or_find(model, text=text, windows=windows, window_tokens=window_tokens, seed=seed).cached

    assert not cached()
    assert cached()
    assert not cached(window_tokens=65)
    assert not cached(windows=2)
    assert not cached(seed=1)
    text.write_text(text.read_text() + " the")
    assert not cached()
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert not cached()
    assert cached()
    assert not cached(windows=2)


def test_cached_certificate_carries_the_names_asked_for(tiny_llama: Path, text: Path, tmp_path: Path) -> None:
    evaluate(tiny_llama, text=text, windows=1, window_tokens=64)
    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny_llama, copy)
    again = evaluate_or_find(copy, text=text, windows=1, window_tokens=64)
    assert again.cached
    assert again.certificate.candidate.name == str(copy)


def test_record_writes_beside_the_weights_and_the_artifact_still_loads(
    int8: Path, tiny_llama: Path, text: Path
) -> None:
    certificate = evaluate(int8, tiny_llama, text=text, windows=1, window_tokens=64, record=True)
    assert json.loads((int8 / "certificate.json").read_text()) == certificate.to_json()
    assert evaluate_or_find(int8, tiny_llama, text=text, windows=1, window_tokens=64).cached


def test_progress_names_its_stages(tiny_llama: Path, text: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    evaluate(tiny_llama, text=text, windows=2, window_tokens=64, progress=lambda *call: calls.append(call))
    assert calls[0] == (f"loading {tiny_llama} (float32)", 0, 128)
    assert calls[-1] == ("resampling", 128, 128)
    assert ("comparing", 64, 128) in calls


def test_default_window_fits_the_context(tiny_llama: Path, text: Path) -> None:
    certificate = evaluate(tiny_llama, text=text)
    assert (certificate.settings.windows, certificate.settings.window_tokens) == (2, 256)


def test_refusals_name_what_is_wrong(tiny_llama: Path, int8: Path, text: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"window_tokens = 257: must be at most 256"):
        evaluate(tiny_llama, text=text, window_tokens=257)
    with pytest.raises(ParameterError, match=r"text = '700 tokens': must have at least 701"):
        evaluate(tiny_llama, text=text, windows=7, window_tokens=100)
    with pytest.raises(UnsupportedError, match="is quantized and cannot run in float32"):
        evaluate(tiny_llama, int8, text=text)
    with pytest.raises(SourceError, match=r"the source of .* cannot be found, so pass a reference"):
        evaluate(int8, text=text)
    with pytest.raises(SourceError, match=r"missing\.txt"):
        evaluate(tiny_llama, text=tmp_path / "missing.txt")


def test_changed_source_is_not_taken_for_the_original(
    int8: Path, tiny_llama: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_llama, tmp_path / tiny_llama.name)
    weights = tmp_path / tiny_llama.name / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: has changed since"):
        evaluate(int8, text=text)


def test_other_tokenizer_is_refused(tiny_llama: Path, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["the"], vocabulary["a"] = vocabulary["a"], vocabulary["the"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UnsupportedError, match="cut the text into different tokens"):
        evaluate(other, tiny_llama, text=text)
