"""Special tokens, chat templates and begin tokens of Hugging Face directories; malformed tokenizer files."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from honed.checkpoints.huggingface.checkpoint import Directory
from honed.checkpoints.huggingface.tokenizer import build_fast, read_tokenizer
from honed.errors import FormatError, UnsupportedError
from honed.text.tokenizer import Tokenizer


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_llama, tmp_path / "model")


def read(model: Path, settings: dict[str, Any] | None = None, **files: Any) -> Tokenizer:
    """The tokenizer after tokenizer_config.json and other JSON files (by stem) were replaced."""
    if settings is not None:
        files["tokenizer_config"] = settings
    for stem, value in files.items():
        (model / f"{stem}.json").write_text(json.dumps(value))
    return read_tokenizer(Directory(model))


def test_as_transformers_reads_it(model: Path) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(model)
    tokenizer = read(model)
    text = "the of and unknown hot"
    assert tokenizer.encode(text) == reference(text)["input_ids"]
    assert tokenizer.end_tokens == {reference.eos_token_id}
    assert tokenizer.begin_token == reference.bos_token_id
    assert tokenizer.size == len(reference)


def test_special_tokens_as_text_or_object(model: Path) -> None:
    tokenizer = read(model, {"bos_token": {"content": "<s>", "lstrip": False}, "eos_token": "of", "unk_token": None})
    assert tokenizer.special_tokens == {"bos_token": "<s>", "eos_token": "of"}
    of = tokenizer.fast.token_to_id("of")
    assert tokenizer.end_tokens == {2, of}  # 2 is the eos of config.json


def test_special_tokens_map_where_the_settings_have_none(model: Path) -> None:
    tokenizer = read(model, {}, special_tokens_map={"bos_token": "the", "eos_token": {"content": "to"}})
    assert tokenizer.special_tokens == {"bos_token": "the", "eos_token": "to"}


def test_end_tokens_of_every_file(model: Path) -> None:
    (model / "generation_config.json").unlink()
    assert read(model, {}, generation_config={"eos_token_id": [5, 7, -1, 10**9]}).end_tokens == {2, 5, 7}
    config = json.loads((model / "config.json").read_text())
    assert read(model, {}, config=config | {"eos_token_id": [9, 3]}).end_tokens == {9, 3, 5, 7}
    assert read(model, {}, config=config | {"eos_token_id": None}).end_tokens == {5, 7}


@pytest.mark.parametrize("value", ["</s>", 2.0, True, [1, "2"], {"id": 2}])
def test_end_token_that_is_no_id(model: Path, value: Any) -> None:
    with pytest.raises(FormatError, match=r"generation_config.json: eos_token_id: .* must be an id"):
        read(model, generation_config={"eos_token_id": value})


def test_begin_token(model: Path) -> None:
    special = {"bos_token": "<s>"}
    assert not read(model, special).adds_begin_token
    assert read(model, special | {"add_bos_token": True}).encode("the")[0] == 1
    fast = FastTokenizer.from_file(str(model / "tokenizer.json"))
    fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast.save(str(model / "tokenizer.json"))
    tokenizer = read(model, special)
    assert tokenizer.adds_begin_token
    assert tokenizer.encode("the of") == tokenizer.fast.encode("the of", add_special_tokens=True).ids
    assert not read(model, special | {"add_bos_token": False}).adds_begin_token
    assert not read(model, {}).adds_begin_token


def test_chat_template(model: Path) -> None:
    assert read(model, {}).chat_template is None
    assert read(model, {"chat_template": "{{ a }}"}).chat_template == "{{ a }}"
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    assert read(model, {"chat_template": named}).chat_template == "d"
    assert read(model, {"chat_template": named[:1]}).chat_template is None
    (model / "chat_template.jinja").write_text("{{ file }}")
    assert read(model, {"chat_template": "{{ a }}"}).chat_template == "{{ file }}"
    (model / "chat_template.jinja").write_text("x" * ((1 << 20) + 1))
    with pytest.raises(FormatError, match=r"chat_template.jinja: size"):
        read(model)


@pytest.mark.parametrize("value", [5, {"default": "x"}, [{"name": "default", "template": 5}], "x" * (1 << 21)])
def test_chat_template_that_is_none(model: Path, value: Any) -> None:
    with pytest.raises(FormatError, match="chat_template: must be a text"):
        read(model, {"chat_template": value})


def test_no_tokenizer_json(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "vocab.json").write_text("{}")
    with pytest.raises(UnsupportedError, match=r"has no tokenizer.json; write one with transformers"):
        read(model)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"model":{"type":"BPE"}}', "{" * 100_000])
def test_malformed_tokenizer_json(model: Path, text: str) -> None:
    (model / "tokenizer.json").write_text(text)
    with pytest.raises(FormatError, match=r"tokenizer.json: tokenizer: "):
        read(model)


def tokenizer_json() -> str:
    fast = FastTokenizer(
        models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "<unk>": 3}, merges=[("a", "b")], unk_token="<unk>")
    )
    fast.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", "_")])
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel()])
    fast.post_processor = processors.TemplateProcessing(single="<unk> $A", special_tokens=[("<unk>", 3)])
    fast.add_special_tokens(["<s>"])
    text: str = fast.to_str()
    return text


def test_template_of_a_missing_token_is_an_error_and_no_panic(capfd: pytest.CaptureFixture[str]) -> None:
    broken = tokenizer_json().replace('"SpecialToken":{"id":"<unk>"', '"SpecialToken":{"id":"<gone>"')
    assert broken != tokenizer_json()
    with pytest.raises(FormatError, match=r"tokenizer.json: tokenizer: "):
        build_fast(broken, "tokenizer.json")
    capfd.readouterr()  # the library writes its panic to stderr itself


def test_mutated_tokenizer_json(capfd: pytest.CaptureFixture[str]) -> None:
    """Spliced and scratched files: an error of ours, or a tokenizer that encodes."""
    text = tokenizer_json().encode()
    rng = random.Random(5)
    built = 0
    for _ in range(3000):
        raw = bytearray(text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(raw))
            match rng.randrange(3):
                case 0:
                    raw[at] = rng.choice(b'0123456789{}[],":abnulltrue-')
                case 1:
                    del raw[at : at + rng.randint(1, 20)]
                case _:
                    start = rng.randrange(len(raw))
                    raw[at:at] = raw[start : start + rng.randint(1, 30)]
        try:
            fast = build_fast(raw.decode("utf-8", "replace"), "tokenizer.json")
        except FormatError:
            continue
        built += 1
        fast.encode("ab a 12 b<s> zé")
    assert 20 < built < 2000
    capfd.readouterr()
