"""Small tokenizers in which every text has tokens, with control tokens as the families have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from honed.text.tokenizer import Tokenizer

END = "<|end|>"


def byte_tokenizer(
    control: Sequence[str] = (), added: Sequence[str] = (), words: Sequence[str] = (), template: str | None = None
) -> Tokenizer:
    """A token for each byte and each of the words; control tokens, END first, and added tokens that are text."""
    vocabulary = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    for word in words:
        # Merged from the left, one character after another.
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    fast = FastTokenizer(models.BPE(vocabulary, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (END, *control)])
    fast.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    tokenizer = Tokenizer(fast, frozenset(), chat_template=template)
    return replace(tokenizer, end_tokens=frozenset((token_id(tokenizer, END),)))


def token_id(tokenizer: Tokenizer, text: str) -> int:
    """The token that is spelled so."""
    found = tokenizer.fast.token_to_id(text)
    assert found is not None
    return found


def piece_tokenizer() -> Tokenizer:
    """In SentencePiece's manner: spaces as U+2581, bytes as <0x..>, so that some bytes have two tokens."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", '"', "{", "}", ":", ",", "a", "b", '{"', '":', "▁a", "1", "2"]
    merges = [("{", '"'), ('"', ":"), ("▁", "a")]
    fast = FastTokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges, byte_fallback=True))
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.add_special_tokens([AddedToken(token, special=True) for token in ("<s>", "</s>")])
    return Tokenizer(fast, frozenset((2,)), begin_token=1, adds_begin_token=True)
