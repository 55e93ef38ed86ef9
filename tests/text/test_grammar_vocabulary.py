from __future__ import annotations

import json

import pytest

from byte_tokenizers import byte_tokenizer, piece_tokenizer
from grammar_texts import allowed
from honed.text.grammar import GrammarCompiler


@pytest.mark.parametrize("beyond", [-40, 0, 1, 31, 64, 100])
def test_no_token_beyond_the_vocabulary_is_allowed(beyond: int) -> None:
    vocabulary = byte_tokenizer().size + beyond
    matcher = GrammarCompiler(byte_tokenizer(), vocabulary).compile("regex", "(?s:.*)").matcher()
    rows = matcher.masks(())
    assert rows.shape == (1, (vocabulary + 31) // 32)
    assert max(allowed(rows[0])) < min(vocabulary, byte_tokenizer().size)


def test_pieces_are_forced_as_the_tokenizer_has_them_and_bytes_with_two_tokens_both_allowed() -> None:
    using = piece_tokenizer()
    own = GrammarCompiler(using, using.size)
    both = {using.fast.token_to_id("a"), using.fast.token_to_id("<0x61>")}
    assert both <= set(allowed(own.compile("regex", "[ab]*").matcher().masks(())[0]))
    matcher = own.compile("json_schema", json.dumps({"enum": ["a a1", "a a2"]})).matcher()
    forced = matcher.forced()
    assert [using.fast.id_to_token(token) for token in forced] == ['"', "a", "▁a"]
    assert len(matcher.masks(forced)) == 4
