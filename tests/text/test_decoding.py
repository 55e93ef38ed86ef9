from __future__ import annotations

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers

from honed.errors import UnsupportedError
from honed.text.decoding import Decoding, Rules, read_rules


def test_the_byte_alphabet_is_that_of_tokenizers() -> None:
    fast = FastTokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    fast.decoder = decoders.ByteLevel()
    rules = read_rules(fast)
    found = sorted(rules.token_bytes(character, first=False) for character in pre_tokenizers.ByteLevel.alphabet())
    assert found == [bytes([byte]) for byte in range(256)]


def test_rules_of_sentencepiece() -> None:
    fast = FastTokenizer(models.BPE())
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    assert read_rules(fast) == Rules(byte_fallback=True, replacements=(("▁", " "),), strip_character=" ", strip_count=1)


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.WordPiece(),
        decoders.CTC(),
        decoders.Sequence([decoders.Strip(" ", 1, 0)]),
        decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 0, 1)]),
        decoders.Sequence([decoders.Fuse(), decoders.Replace("a", "b")]),
        decoders.Sequence([decoders.ByteFallback(), decoders.ByteLevel()]),
    ],
    ids=str,
)
def test_a_decoder_that_needs_the_whole_text_is_refused_by_name(decoder: decoders.Decoder) -> None:
    fast = FastTokenizer(models.BPE())
    fast.decoder = decoder
    with pytest.raises(UnsupportedError, match=r"tokenizer decoder \[.*step"):
        read_rules(fast)


@pytest.mark.parametrize("token", [-1, 5, 2**31, 2**40])
def test_ids_outside_the_vocabulary_have_no_token(token: int) -> None:
    fast = FastTokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    assert Decoding.of(fast).token(token) is None
