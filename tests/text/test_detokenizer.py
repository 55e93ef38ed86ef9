from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from honed.text.decoding import Decoding
from honed.text.detokenizer import Detokenizer, decode_all

bounded = settings(deadline=None, max_examples=100, derandomize=True)


def byte_level() -> FastTokenizer:
    """Every byte, some merges that cut characters apart, added tokens that are plain text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    merges = []
    # Halves of characters as one token: Ġ is a space, ð Ł begins an emoji.
    for left, right in [("Ġ", "a"), ("ð", "Ł"), ("ðŁ", "ĺ"), ("Ã", "©"), ("©", "Ã")]:
        merges.append((left, right))
        vocabulary[left + right] = len(vocabulary)
    fast = FastTokenizer(models.BPE(vocabulary, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_tokens([AddedToken("né n", normalized=False), AddedToken("\n\n", normalized=False), AddedToken("日本")])
    fast.add_special_tokens([AddedToken("<|end|>", special=True)])
    return fast


@cache
def sentencepiece() -> FastTokenizer:
    """The decoder of Llama 2: byte tokens, spaces as U+2581, one leading space stripped."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", "▁▁", "▁the", "the", "▁a", "s", "é", "日", "▁日本", "😀", "<0x1>", "<0xZZ>", " x"]
    fast = FastTokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [], byte_fallback=True))
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.add_special_tokens([AddedToken(token, special=True) for token in ("<s>", "</s>")])
    return fast


@cache
def metaspace() -> FastTokenizer:
    fast = FastTokenizer.from_str(sentencepiece().to_str())
    fast.decoder = decoders.Metaspace()
    return fast


@cache
def gemma() -> FastTokenizer:
    fast = FastTokenizer.from_str(sentencepiece().to_str())
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return fast


@cache
def without_decoder() -> FastTokenizer:
    return FastTokenizer(models.WordLevel({"a": 0, "b": 1, "é": 2}, unk_token="a"))


BYTE_LEVEL, SENTENCEPIECE = byte_level(), sentencepiece()


def id_of(token: str) -> int:
    found: int | None = SENTENCEPIECE.token_to_id(token)
    assert found is not None
    return found


# Byte tokens and whole characters, drawn so that runs of bytes are mostly valid UTF-8.
ids_of_text = st.text(max_size=6).flatmap(lambda text: st.just([3 + byte for byte in text.encode()]))
llama_ids = st.lists(
    st.one_of(ids_of_text, st.integers(259, SENTENCEPIECE.get_vocab_size() + 3).map(lambda i: [i]), st.just([1])),
    max_size=12,
).map(lambda parts: [i for part in parts for i in part])


def stream(decoding: Decoding, ids: list[int], *, skip_special: bool = True) -> tuple[list[str], str]:
    detokenizer = Detokenizer(decoding, skip_special=skip_special)
    pieces = [detokenizer.feed(i) for i in ids]
    return pieces, detokenizer.finish()


@bounded
@given(st.lists(st.integers(0, BYTE_LEVEL.get_vocab_size() + 3), max_size=60), st.booleans())
def test_byte_level_stream_equals_decode_of_tokenizers(ids: list[int], skip_special: bool) -> None:
    pieces, rest = stream(Decoding.of(BYTE_LEVEL), ids, skip_special=skip_special)
    assert "".join(pieces) + rest == BYTE_LEVEL.decode(ids, skip_special_tokens=skip_special)


@pytest.mark.parametrize("make", [sentencepiece, gemma])
@bounded
@given(ids=llama_ids, skip_special=st.booleans())
def test_valid_byte_runs_equal_decode_of_tokenizers(
    make: Callable[[], FastTokenizer], ids: list[int], skip_special: bool
) -> None:
    fast = make()
    pieces, rest = stream(Decoding.of(fast), ids, skip_special=skip_special)
    assert "".join(pieces) + rest == fast.decode(ids, skip_special_tokens=skip_special)


@bounded
@given(st.lists(st.integers(0, SENTENCEPIECE.get_vocab_size() + 3), max_size=60))
def test_any_byte_run_is_the_utf8_decoding_of_its_bytes(ids: list[int]) -> None:
    data = b""
    for i in ids:
        token = SENTENCEPIECE.id_to_token(i)
        if 3 <= i < 259:
            data += bytes([i - 3])
        elif token is not None and i not in (1, 2):
            data += token.replace("▁", " ").encode()
    expected = data.decode(errors="replace").removeprefix(" ")
    pieces, rest = stream(Decoding.of(SENTENCEPIECE), ids)
    assert "".join(pieces) + rest == expected
    assert decode_all(Decoding.of(SENTENCEPIECE), ids, skip_special=True) == expected


@pytest.mark.parametrize("make", [metaspace, without_decoder])
@bounded
@given(data=st.data())
def test_other_decoders_equal_tokenizers(make: Callable[[], FastTokenizer], data: st.DataObject) -> None:
    fast = make()
    ids = data.draw(st.lists(st.integers(0, fast.get_vocab_size() + 1), max_size=30))
    pieces, rest = stream(Decoding.of(fast), ids)
    assert "".join(pieces) + rest == fast.decode(ids)


def test_a_split_character_is_held_back_and_comes_whole() -> None:
    ids = [3 + byte for byte in "a😀b".encode()]
    assert stream(Decoding.of(SENTENCEPIECE), ids) == (["a", "", "", "", "😀", "b"], "")


def test_an_incomplete_character_ends_as_one_replacement() -> None:
    ids = [3 + byte for byte in "😀".encode()[:3]]
    assert stream(Decoding.of(SENTENCEPIECE), ids) == (["", "", ""], "\ufffd")


def test_an_interrupted_character_is_replaced_when_that_is_certain() -> None:
    ids = [3 + 0xE2, 3 + 0x82, id_of("the")]
    assert stream(Decoding.of(SENTENCEPIECE), ids) == (["", "", "\ufffdthe"], "")


def test_leading_space_is_stripped_once_and_kept_when_the_text_goes_on() -> None:
    decoding = Decoding.of(SENTENCEPIECE)
    ids = [1, id_of("▁▁"), id_of("▁the")]
    assert stream(decoding, ids)[0] == ["", " ", " the"]
    going_on = Detokenizer(decoding, continues=True)
    assert [going_on.feed(i) for i in ids] == ["", "  ", " the"]
