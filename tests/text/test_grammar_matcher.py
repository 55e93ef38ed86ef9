from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar_texts import accepts, allowed, grammar, tokenizer
from honed.errors import UnsupportedError
from honed.text.grammar_matcher import CompiledGrammar, GrammarMatcher

bounded = settings(deadline=None, max_examples=60, derandomize=True)

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}, "x": {"enum": ["one", "other"]}},
    "required": ["name", "n", "x"],
    "additionalProperties": False,
}


def test_an_ended_grammar_allows_the_end_alone() -> None:
    matcher = grammar("json_schema", {"enum": ["ab"]}).matcher()
    for token in tokenizer().encode('"ab"', add_special=False):
        assert not matcher.ended
        matcher.accept(token)
    assert matcher.ended
    assert frozenset(allowed(matcher.masks(())[0])) == tokenizer().end_tokens
    assert matcher.forced() == []
    matcher.accept(min(tokenizer().end_tokens))


@bounded
@given(st.integers(0, 200), st.lists(st.integers(0, 280), max_size=6), st.integers(0, 6))
def test_masks_of_a_proposal_are_those_of_its_steps(start: int, wild: list[int], kept: int) -> None:
    compiled = grammar("json_schema", SCHEMA)
    text = tokenizer().encode('{"name": "é 1", "n": 12, "x": "one"}', add_special=False)
    start = min(start, len(text))
    proposal = [*text[start : start + kept], *wild]
    matcher, steps = compiled.matcher(), compiled.matcher()
    for token in text[:start]:
        matcher.accept(token)
        steps.accept(token)
    rows = matcher.masks(proposal)
    assert rows.dtype == np.uint32
    count = 0
    for row in rows:
        np.testing.assert_array_equal(row, steps.masks(())[0])
        if count == len(proposal) or proposal[count] not in allowed(row) or steps.ended:
            break
        steps.accept(proposal[count])
        count += 1
    assert len(rows) == count + 1
    np.testing.assert_array_equal(matcher.masks(()), compiled_after(compiled, text[:start]).masks(()))


def compiled_after(compiled: CompiledGrammar, tokens: Sequence[int]) -> GrammarMatcher:
    matcher = compiled.matcher()
    for token in tokens:
        matcher.accept(token)
    return matcher


def test_forced_tokens_are_allowed_and_as_the_tokenizer_has_them() -> None:
    matcher = grammar("json_schema", SCHEMA).matcher()
    forced = matcher.forced()
    # The last quote may be a part of the token that comes next.
    assert forced == tokenizer().encode('{"name": ', add_special=False)
    assert len(matcher.masks(forced)) == len(forced) + 1


def test_a_token_that_is_not_allowed_fails_the_request_alone() -> None:
    compiled = grammar("json_schema", SCHEMA)
    bad, good = compiled.matcher(), compiled.matcher()
    with pytest.raises(UnsupportedError):
        bad.accept(tokenizer().encode("z", add_special=False)[0])
    good.accept(tokenizer().encode("{", add_special=False)[0])
    assert accepts(compiled, '{"name": "", "n": 1, "x": "one"}')


def test_a_limit_in_the_middle_fails_the_request() -> None:
    matcher = grammar("regex", "(.{1,100}b){1,100}c.{900}d").matcher()
    with pytest.raises(UnsupportedError, match="too complex"):
        for token in tokenizer().encode("babbaabc" * 1000, add_special=False):
            matcher.masks(())
            matcher.accept(token)


def test_a_text_with_a_greatest_length_may_be_long() -> None:
    matcher = grammar("json_schema", {"type": "string", "maxLength": 100_000}).matcher()
    for token in tokenizer().encode('"' + "The name is null, or true. " * 200, add_special=False):
        (row,) = matcher.masks(())
        assert int(row[token >> 5]) >> (token & 31) & 1
        matcher.accept(token)
    assert not matcher.ended
