"""An encoder whose rows are known beforehand, and a tokenizer of a few words for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers, processors

from honed.backends.encoder import Output, TextBatch
from honed.text.tokenizer import Tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", "query:"]


class KnownRows:
    """Implements EncoderBackend: the row of a token is its id, its type and its place in the text."""

    name = "known"
    width = 3

    def __init__(self, *, context: int = 12, step_tokens: int = 24, types: int = 2) -> None:
        self.context = context
        self.step_tokens = step_tokens
        self.types = types
        self.batches: list[TextBatch] = []

    def encode(self, batch: TextBatch, output: Output) -> NDArray[np.float32]:
        assert batch.tokens.dtype == batch.types.dtype == batch.lengths.dtype == np.int32
        assert int(batch.lengths.sum()) == len(batch.tokens) == len(batch.types) <= self.step_tokens
        self.batches.append(batch)
        ends = np.cumsum(batch.lengths)
        texts = []
        for end, length in zip(ends, batch.lengths, strict=True):
            own = slice(end - length, end)
            texts.append(np.stack([batch.tokens[own], batch.types[own], np.arange(length)], axis=1, dtype=np.float32))
        pools = {"mean": lambda rows: rows.mean(axis=0), "first": lambda rows: rows[0], "last": lambda rows: rows[-1]}
        return np.stack([pools[output](rows) for rows in texts])


def tokenizer() -> Tokenizer:
    fast = FastTokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return Tokenizer(fast=fast, end_tokens=frozenset())
