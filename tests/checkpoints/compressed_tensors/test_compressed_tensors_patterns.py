"""Patterns against Python's own matcher, and those that would keep that one busy for ever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.compressed_tensors.patterns import MAX_NAME, Pattern, PatternError, Work

REAL = (
    r".*lm_head",
    r"lm_head",
    r".*self_attn.*",
    r".*mlp.gate$",
    r".*\.mlp\.(gate|up|down)_proj",
    r".*(q|k|v)_proj$",
    r"model\.layers\.(0|1|2)\..*",
    r".*layers\.([0-9]|[1-5][0-9])\.self_attn.*",
    r"^(?!.*lm_head).*$",
    r"(?=.*layers)(?!.*mlp).*proj",
    r".*\.layers\.\d+\..*",
    r"a{2,3}b?|c{2}",
    r"[^a-c.]+$",
    r"\.\w+\s?\Z",
    r"()*a|^c|$",
    r"a{x",
)
NAMES = (
    "lm_head",
    "model.layers.0.self_attn.q_proj",
    "model.layers.55.self_attn.k_proj",
    "model.layers.10.mlp.gate",
    "model.layers.7.mlp.gate_proj",
    *("", "aab", "aaab", "c", "cc", "abcd", "..x", ".x ", "a{x"),
)


@pytest.mark.parametrize("text", REAL)
def test_patterns_of_real_configs(text: str) -> None:
    pattern = Pattern(text)
    for name in NAMES:
        assert pattern.matches(name) == (re.match(text, name) is not None), name


PIECES = (
    "a",
    "b",
    ".",
    "(",
    "(?:",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{1,2}",
    "{2}",
    "{,1}",
    "^",
    "$",
    "[ab]",
    "[^a]",
    "\\.",
    "\\w",
)


@settings(deadline=None, derandomize=True, max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.lists(st.text("ab.", max_size=5), max_size=6))
def test_what_is_read_means_what_it_means_to_python(pieces: list[str], names: list[str]) -> None:
    text = "".join(pieces)
    try:
        pattern = Pattern(text)
    except PatternError:
        return
    expected = re.compile(text)
    for name in names:
        assert pattern.matches(name) == (expected.match(name) is not None), (text, name)


@pytest.mark.parametrize(
    "text",
    [
        r"(a+)+$",
        r"(a|a)*b",
        r"(.*)*x",
        r"(a*)*(a*)*(a*)*b",
        r"(.*.*.*.*)*y",
        "(a?){150}" + "a" * 150,
        "((((a*)*)*)*)*b",
    ],
)
def test_no_pattern_takes_long(text: str) -> None:
    begun = time.process_time()
    assert not Pattern(text).matches("a" * 149 + "!")
    assert time.process_time() - begun < 2


def test_the_work_for_all_names_is_bounded() -> None:
    work = Work(20_000)
    pattern = Pattern("(a?b?c?){60}$", work)
    with pytest.raises(PatternError, match="takes too long to match"):
        for number in range(10_000):
            pattern.matches("abc" * (number % 50) + chr(97 + number % 26))


def test_names_that_are_too_long_do_not_match() -> None:
    assert Pattern("a").matches("a" * MAX_NAME)
    assert not Pattern("a").matches("a" * (MAX_NAME + 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(", "lacks a )"),
        (")", "parenthesis too many"),
        ("a**", "repeats a repetition"),
        ("a{1,2}{3}", "repeats a repetition"),
        ("*a", "repeats nothing"),
        ("{2}", "repeats nothing"),
        ("a{3,2}", "at least more than at most"),
        ("[a", "class that is not closed"),
        ("[z-a]", "bad character range"),
        (r"(a)\1", r"escape \\1, which is not read"),
        (r"\bword", r"escape \\b"),
        ("(?P<n>a)", "group of a kind that is not read"),
        ("a(?=b)", "group of a kind that is not read"),
        ("(?i)a", "group of a kind that is not read"),
        ("(?<=a)b", "group of a kind that is not read"),
        ("(((a{99}){99}){99})", "repeats too much"),
        ("(" * 50 + ")" * 50, "nested too deeply"),
        ("a" * 401, "over 400 characters"),
        ("a\\", r"escape \\, which is not read"),
    ],
)
def test_what_is_not_read_is_said(text: str, message: str) -> None:
    with pytest.raises(PatternError, match=re.escape(message) if "\\" not in message else message):
        Pattern(text)
