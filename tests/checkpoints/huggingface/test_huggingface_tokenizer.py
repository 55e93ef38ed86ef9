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

from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.fast_tokenizer import build_fast
from honed.checkpoints.huggingface.tokenizer import read_tokenizer
from honed.checkpoints.huggingface.tokenizer_document import DocumentError, check_document
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
    unnamed = read(model, {})  # only the post-processor knows of it
    assert unnamed.encode("the of") == unnamed.fast.encode("the of", add_special_tokens=True).ids
    assert unnamed.special_tokens == {}


def test_chat_template(model: Path) -> None:
    assert read(model, {}).chat_template is None
    assert read(model, {"chat_template": "{{ a }}"}).chat_template == "{{ a }}"
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    assert read(model, {"chat_template": named}).chat_template == "d"
    assert read(model, {"chat_template": named[:1]}).chat_template == "t"
    (model / "chat_template.jinja").write_text("{{ file }}")
    assert read(model, {"chat_template": "{{ a }}"}).chat_template == "{{ file }}"
    (model / "chat_template.jinja").write_text("x" * ((1 << 20) + 1))
    with pytest.raises(FormatError, match=r"chat_template.jinja: size"):
        read(model)


@pytest.mark.parametrize("value", [5, {}, {"default": 3}, [], [{"name": "default", "template": 5}], "x" * (1 << 21)])
def test_chat_template_that_is_none(model: Path, value: Any) -> None:
    with pytest.raises(FormatError, match="chat_template: must be a text"):
        read(model, {"chat_template": value})


def test_no_tokenizer_json(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "vocab.json").write_text("{}")
    with pytest.raises(UnsupportedError, match=r"has no tokenizer.json; write one with transformers"):
        read(model)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"model":{"type":"BPE"}}', "[" * 100_000, '{"a":1,"a":2}', '{"a":NaN}', "\ud800"]
)
def test_malformed_tokenizer_json(model: Path, text: str) -> None:
    (model / "tokenizer.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FormatError, match=r"tokenizer.json: (tokenizer|document|model|model.vocab): "):
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
            check_document(json.loads(raw.decode("utf-8", "replace")))
            fast = build_fast(raw.decode("utf-8", "replace"), Path("tokenizer.json"))
        except (FormatError, DocumentError, ValueError, RecursionError):
            continue
        built += 1
        try:
            fast.encode("ab a 12 b<s> zé", add_special_tokens=True)
        except Exception as error:  # what the fence tries: a missing unknown token, and no panic
            assert "unk" in str(error).lower()
    assert 20 < built < 2000
    capfd.readouterr()


TEMPLATES_OF_TOKENS = {
    "begin": processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]),
    "both": processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]),
    "end": processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)]),
    "two": processors.TemplateProcessing(single="<s> the $A of", special_tokens=[("<s>", 1), ("the", 3), ("of", 5)]),
    "roberta": processors.RobertaProcessing(("</s>", 2), ("<s>", 1)),
    "bert": processors.BertProcessing(("</s>", 2), ("<s>", 1)),
    "byte-level": processors.ByteLevel(trim_offsets=False),
    "in sequence": processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]),
        ]
    ),
}


@pytest.mark.parametrize("name", TEMPLATES_OF_TOKENS)
@pytest.mark.parametrize("named", [{}, {"bos_token": "<s>", "eos_token": "</s>"}, {"bos_token": "the"}], ids=len)
def test_what_the_post_processor_adds_is_what_transformers_adds(model: Path, name: str, named: dict[str, Any]) -> None:
    from transformers import AutoTokenizer

    fast = FastTokenizer.from_file(str(model / "tokenizer.json"))
    fast.post_processor = TEMPLATES_OF_TOKENS[name]
    fast.save(str(model / "tokenizer.json"))
    tokenizer = read(model, {"tokenizer_class": "PreTrainedTokenizerFast", **named})
    reference = AutoTokenizer.from_pretrained(model)
    for text in ("of and hot", "", "hot"):
        assert tokenizer.encode(text) == reference(text)["input_ids"]
        assert tokenizer.encode(text, add_special=False) == reference(text, add_special_tokens=False)["input_ids"]


def test_truncation_padding_and_dropout_are_not_for_prompts(model: Path) -> None:
    from transformers import AutoTokenizer

    fast = FastTokenizer(
        models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "</s>": 3, "abab": 4}, merges=[("a", "b"), ("ab", "ab")])
    )
    fast.save(str(model / "tokenizer.json"))
    text = "ab" * 40
    expected = read(model, {}).encode(text)
    assert expected == AutoTokenizer.from_pretrained(model)(text)["input_ids"]
    fast.model.dropout = 0.5
    fast.enable_truncation(3)
    fast.enable_padding(length=200, pad_id=3, pad_token="</s>")
    fast.save(str(model / "tokenizer.json"))
    tokenizer = read(model)
    assert [tokenizer.encode(text) for _ in range(5)] == [expected] * 5


def test_ids_with_gaps(model: Path) -> None:
    """The count of tokens is no bound for ids; the rows of the embedding and the vocabulary are."""
    fast = FastTokenizer(models.WordLevel({"a": 0, "b": 1, "<eos>": 40, "<unk>": 33}, unk_token="<unk>"))
    fast.save(str(model / "tokenizer.json"))
    config = json.loads((model / "config.json").read_text())
    rows = config["vocab_size"]
    found = read(
        model,
        {"eos_token": {"content": "<eos>", "special": True}},
        generation_config={"eos_token_id": [rows - 1, rows, 10**12]},
    )
    assert found.end_tokens == {40, 2, rows - 1}
    nested = {**config, "eos_token_id": None, "text_config": {"eos_token_id": 7}}
    del nested["eos_token_id"]
    assert read(model, {}, config=nested, generation_config={}).end_tokens == {7}


def test_named_special_tokens_are_found_in_text_and_hidden(model: Path) -> None:
    """transformers makes them added tokens, wherever the vocabulary has them."""
    from transformers import AutoTokenizer

    document = json.loads(tokenizer_json())
    document["model"]["vocab"]["<|end|>"] = 4
    document["added_tokens"] = [{**token, "id": 5} for token in document["added_tokens"]]
    document["post_processor"] = None
    (model / "tokenizer.json").write_text(json.dumps(document))
    more = {"id": 6, "content": "<tool>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",
        "unk_token": "<unk>",
        "added_tokens_decoder": {"6": {**more, "special": False}, "99": {**more, "content": "<gap>", "special": False}},
    }
    tokenizer = read(model, settings)
    assert tokenizer.end_tokens >= {4}
    for text in ("ab<|end|>a", "a<tool>b", "<s>a"):
        ids = tokenizer.encode(text)
        assert ids == AutoTokenizer.from_pretrained(model)(text)["input_ids"]
    assert 4 in tokenizer.decoding.special
    assert 99 not in tokenizer.added


@pytest.mark.parametrize("field", ["bos_token", "eos_token"])
def test_half_a_surrogate_pair_is_named(model: Path, field: str) -> None:
    with pytest.raises(FormatError, match=r"tokenizer_config\.json"):
        read(model, {field: "\ud800"})


def test_a_name_that_is_given_twice_is_noted(model: Path) -> None:
    from honed.notes import HonedWarning

    (model / "tokenizer_config.json").write_text('{"bos_token": "the", "bos_token": "<s>"}')
    with pytest.warns(HonedWarning, match=r"tokenizer_config.json: .*'bos_token' appears twice"):
        assert read(model).special_tokens["bos_token"] == "<s>"


def test_named_templates_without_a_default(model: Path) -> None:
    """Loading goes well; what is missing is said when a chat is asked for."""
    from honed.api.prompt import PromptEncoder
    from honed.errors import TemplateError

    named = [{"name": name, "template": name} for name in ("tool_use", "rag")]
    tokenizer = read(model, {"chat_template": named})
    assert tokenizer.chat_template is None
    with pytest.raises(
        TemplateError, match=r"has 'tool_use', 'rag' and none that is named default.*chat_template.jinja"
    ):
        PromptEncoder(tokenizer).encode([{"role": "user", "content": "hi"}])


def test_template_files_of_other_layouts(model: Path) -> None:
    (model / "chat_template.json").write_text(json.dumps({"chat_template": "old"}))
    assert read(model, {"chat_template": "settings"}).chat_template == "old"
    (model / "chat_template.jinja").write_text("new")
    assert read(model).chat_template == "new"
    for name in ("chat_template.json", "chat_template.jinja"):
        (model / name).unlink()
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    assert read(model, {}).chat_template == "tools"
