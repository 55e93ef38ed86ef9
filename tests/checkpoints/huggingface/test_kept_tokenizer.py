"""Kept tokenizers against those that are parsed, and everything that must not be read back."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints import synthetic
from honed.checkpoints.huggingface import kept_tokenizer as module
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.kept_tokenizer import (
    KeptTokenizer,
    digest_of,
    kept_form,
    prompts_only,
    same_tokenizer,
)
from honed.checkpoints.huggingface.tokenizer import read_tokenizer

TEXTS = ["the rain in the other town", "", "<s>then</s> an on", "naïve \U0001f9c5\n\tat 12 345", "<filler-290>"]
PREPEND = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "\u2581"}]}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
}


def added(token_id: int, content: str, **changes: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    return {"id": token_id, "content": content, **plain, **changes}


def variants() -> dict[str, dict[str, Any]]:
    """Changes of a byte-level tokenizer.json, each of the top level or of `model.`."""
    specials = [added(0, "<s>", special=True, normalized=False), added(1, "</s>", special=True, normalized=False)]
    return {
        "plain": {},
        "normalizer": {"normalizer": PREPEND},
        "template": {"post_processor": TEMPLATE},
        "no decoder": {"decoder": None},
        "more tokens": {
            "added_tokens": [*specials, added(300, "one more", lstrip=True), added(301, "Two", rstrip=True)]
        },
        "unordered": {"added_tokens": [added(300, "x y", single_word=True), *reversed(specials)]},
        "options": {"model.unk_token": "<s>", "model.fuse_unk": True, "model.ignore_merges": True},
        "fallback": {"model.byte_fallback": True},
        "affixes": {"model.continuing_subword_prefix": "", "model.end_of_word_suffix": "</w>"},
        "merges as texts": {"model.merges": ["t h", "i n", "\u0120 th"]},
    }


def source_of(changes: dict[str, Any]) -> bytes:
    document = synthetic.tokenizer(300)
    for name, value in changes.items():
        place, field = (document["model"], name.removeprefix("model.")) if "." in name else (document, name)
        place[field] = value
        if name == "model.merges":
            place["vocab"] |= {"th": 290, "in": 291, "\u0120th": 292}
    vocabulary = document["model"]["vocab"]
    document["model"]["vocab"] = {token: number for number, token in enumerate(vocabulary)}
    return json.dumps(document).encode()


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "cache_directory", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "SMALL", 0)
    return tmp_path / "cache" / "tokenizers"


def keep(source: bytes) -> FastTokenizer:
    parsed = prompts_only(FastTokenizer.from_str(source.decode()))
    form = kept_form(json.loads(source))
    KeptTokenizer(source).keep(b"" if same_tokenizer(form, digest_of(parsed)) is None else form)
    return parsed


@pytest.mark.parametrize("name", variants())
def test_what_is_kept_is_the_same_tokenizer(name: str) -> None:
    source = source_of(variants()[name])
    parsed = keep(source)
    kept = KeptTokenizer(source).read()
    assert kept is not None
    assert kept.to_str() == parsed.to_str()
    for text in TEXTS:
        for special in (False, True):
            left, right = (made.encode(text, add_special_tokens=special) for made in (kept, parsed))
            assert (left.ids, left.tokens, left.offsets) == (right.ids, right.tokens, right.offsets)
            assert kept.decode(left.ids, skip_special_tokens=special) == parsed.decode(left.ids, special)
    assert {number: str(token) for number, token in kept.get_added_tokens_decoder().items()} == {
        number: str(token) for number, token in parsed.get_added_tokens_decoder().items()
    }


TRUNCATED = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
PADDED = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}


@pytest.mark.parametrize(
    "changes",
    [{"truncation": TRUNCATED}, {"padding": PADDED}, {"model.dropout": 0.5}],
    ids=lambda value: next(iter(value)),
)
def test_what_is_for_training_is_not_kept(changes: dict[str, Any]) -> None:
    source = source_of(changes)
    keep(source)
    kept = KeptTokenizer(source).read()
    plain = FastTokenizer.from_str(source_of({}).decode())
    assert kept is not None
    assert kept.to_str() == plain.to_str()
    assert [kept.encode(text).ids for text in TEXTS] == [plain.encode(text).ids for text in TEXTS]


def test_what_has_no_such_form_is_noted(directory: Path) -> None:
    vocabulary = {"<s>": 0, "</s>": 1, "a": 2}
    model = {"model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<s>"}}
    source = json.dumps({**json.loads(source_of({})), **model}).encode()
    assert not KeptTokenizer(source).is_known()
    keep(source)
    assert KeptTokenizer(source).read() is None
    assert KeptTokenizer(source).is_known()
    assert not KeptTokenizer(source + b" ").is_known()
    assert [path.name for path in directory.iterdir()] == ["passed"]


def test_a_token_with_a_line_feed_is_not_kept() -> None:
    document = json.loads(source_of({}))
    document["model"]["vocab"]["a\nb"] = 300
    source = json.dumps(document).encode()
    keep(source)
    assert KeptTokenizer(source).read() is None


def test_small_files_have_no_form(directory: Path, monkeypatch: pytest.MonkeyPatch, tiny_bpe: Path) -> None:
    monkeypatch.setattr(module, "SMALL", 1 << 18)
    read_tokenizer(Directory(tiny_bpe))
    assert [path.name for path in directory.iterdir()] == ["passed"]


def test_other_bytes_and_another_version_of_the_library_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of({})
    keep(source)
    assert KeptTokenizer(source + b" ").read() is None
    assert KeptTokenizer(source).read() is not None
    monkeypatch.setattr("tokenizers.__version__", "0.0.1")
    assert KeptTokenizer(source).read() is None


def test_a_damaged_file_is_removed_and_made_again(directory: Path, tiny_bpe: Path) -> None:
    expected = read_tokenizer(Directory(tiny_bpe)).fast.to_str()
    (path,) = directory.iterdir()
    whole = path.read_bytes()
    head = len(whole) - len(KeptTokenizer((tiny_bpe / "tokenizer.json").read_bytes())._body(path) or b"")
    nonsense = b'{"options": 1}\n\xff'
    with_sum = module._HEAD.pack(module._MAGIC, hashlib.sha256(nonsense).digest()) + nonsense
    for damaged in (b"", whole[:7], whole[:head], whole[:-1], whole + b"x", whole[:60] + b"\0" + whole[61:], with_sum):
        path.write_bytes(damaged)
        assert read_tokenizer(Directory(tiny_bpe)).fast.to_str() == expected
        assert path.read_bytes() == whole


@pytest.mark.skipif(os.name == "nt", reason="kinds of files and owners of POSIX")
def test_what_is_not_the_users_own_file_is_not_read(
    directory: Path, tiny_bpe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_tokenizer(Directory(tiny_bpe)).fast.to_str()
    (path,) = directory.iterdir()
    whole = path.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(whole)
    for place in ("open to others", "link", "pipe", "directory"):
        path.unlink()
        if place == "open to others":
            path.write_bytes(whole)
            path.chmod(0o666)
        elif place == "link":
            path.symlink_to(elsewhere)
        elif place == "pipe":
            os.mkfifo(path)  # to read it would wait for ever
        else:
            path.mkdir()
        assert KeptTokenizer((tiny_bpe / "tokenizer.json").read_bytes()).read() is None, place
        assert read_tokenizer(Directory(tiny_bpe)).fast.to_str() == expected
        assert stat.S_ISREG(path.lstat().st_mode), place
        assert path.read_bytes() == whole
    assert elsewhere.read_bytes() == whole
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    assert KeptTokenizer((tiny_bpe / "tokenizer.json").read_bytes()).read() is None


def test_the_oldest_go_first(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 2)
    sources = [source_of({}) + b" " * number for number in range(4)]
    for source in sources:
        keep(source)
    assert [KeptTokenizer(source).read() is not None for source in sources] == [False, False, True, True]


def test_where_nothing_can_be_written_nothing_is_said(directory: Path) -> None:
    directory.parent.write_text("a file where the directory should be")
    source = source_of({})
    keep(source)
    assert KeptTokenizer(source).read() is None


def test_the_tokenizer_of_a_directory_is_kept_and_read(tiny_bpe: Path, directory: Path) -> None:
    first = read_tokenizer(Directory(tiny_bpe))
    assert len(list(directory.iterdir())) == 1
    second = read_tokenizer(Directory(tiny_bpe))
    assert second.fast.to_str() == first.fast.to_str()
    assert second.encode("then </s> on") == first.encode("then </s> on")


@pytest.fixture
def tiny_bpe(tiny_llama: Path, tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    for path in tiny_llama.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    (model / "tokenizer.json").write_bytes(source_of({}))
    return model


def test_a_form_that_gives_another_tokenizer_is_not_kept() -> None:
    form = kept_form(json.loads(source_of({})))
    parsed = FastTokenizer.from_str(source_of({}).decode())
    assert same_tokenizer(form, digest_of(parsed)) is not None
    assert same_tokenizer(form, digest_of(FastTokenizer.from_str(source_of({"model.fuse_unk": True}).decode()))) is None
    assert same_tokenizer(form[:-2], digest_of(parsed)) is None
    assert same_tokenizer(b"", digest_of(parsed)) is None
