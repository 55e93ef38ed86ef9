"""Tokenizer files of an artifact give transformers the ids that the source gives here."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from divisible_models import save_llama
from honed.checkpoints.artifact.tokenizer_files import tokenizer_files
from honed.checkpoints.base import Kind
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.encodings.base import Encoded
from honed.text.tokenizer import Tokenizer

WORDS = {"<s>": 0, "</s>": 1, "<|end|>": 2, "the": 3, "of": 4}


class GgufLike:
    """A single file, whose tokenizer exists only as an object."""

    kind: Kind = "gguf"
    config: Mapping[str, Any] = {}
    files: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()

    def __init__(self, path: Path, *, adds_begin_token: bool) -> None:
        self.path = path
        self.adds_begin_token = adds_begin_token

    def weight(self, name: str) -> Encoded:
        raise KeyError(name)

    def tokenizer(self) -> Tokenizer:
        fast = FastTokenizer(models.WordLevel(WORDS, unk_token="<s>"))
        fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return Tokenizer(
            fast,
            end_tokens=frozenset({1, 2}),
            begin_token=0,
            adds_begin_token=self.adds_begin_token,
            chat_template="{{ bos_token }}{{ messages[0].content }}",
            special_tokens={"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"},
        )


@pytest.mark.parametrize("adds_begin_token", [True, False])
def test_from_a_single_file_they_are_written_out(tmp_path: Path, adds_begin_token: bool) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    source = GgufLike(tmp_path / "model.gguf", adds_begin_token=adds_begin_token)
    for name, data in tokenizer_files(source).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), source.tokenizer()
    assert theirs("the of the")["input_ids"] == ours.encode("the of the")
    assert theirs.apply_chat_template([{"role": "user", "content": "of"}], tokenize=False) == "<s>of"
    assert (theirs.eos_token_id, theirs.pad_token_id) == (1, 1)
    assert GenerationConfig.from_pretrained(tmp_path).eos_token_id == [1, 2]
    assert ours.fast.post_processor is None


def test_a_tokenizer_json_is_written_where_there_is_none(tmp_path: Path) -> None:
    """Of a tekken.json, here of the 256 bytes alone."""
    from transformers import AutoTokenizer

    source = save_llama(tmp_path / "source", vocab_size=300)
    for path in source.glob("*token*"):
        path.unlink()
    vocabulary = [{"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode()} for byte in range(256)]
    config = {"pattern": r"\s?\S+|\s+", "default_vocab_size": 276, "default_num_special_tokens": 20}
    (source / "tekken.json").write_text(json.dumps({"config": config, "vocab": vocabulary}))
    checkpoint = HuggingFaceCheckpoint(Directory(source))
    files = tokenizer_files(checkpoint)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), checkpoint.tokenizer()
    text = "[INST]héllo  world</s>"
    assert ours.encode(text) == theirs(text)["input_ids"] == [1, 3, *(byte + 20 for byte in "héllo  world".encode()), 2]
    assert theirs.eos_token == "</s>"


def test_from_a_directory_they_are_copied(tmp_path: Path) -> None:
    source = save_llama(tmp_path)
    files = tokenizer_files(HuggingFaceCheckpoint(Directory(source)))
    assert set(files) == {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}
    assert all(data == (source / name).read_bytes() for name, data in files.items())
