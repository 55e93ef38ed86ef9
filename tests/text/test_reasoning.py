from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byte_tokenizers import byte_tokenizer
from honed.text.reasoning import KNOWN_TAGS, Part, ReasoningSplitter, ReasoningTags, detect_reasoning

bounded = settings(deadline=None, max_examples=300, derandomize=True)
THINK = ReasoningTags("<think>", "</think>", {})
pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<thi", "nk>", "</", "<", "a", "b c", " ", "\n", "\n\n", "think>"]),
    max_size=12,
)


def split(tags: ReasoningTags, pieces: list[str]) -> list[Part]:
    """What the splitter gives, neighbours of one kind joined."""
    splitter = ReasoningSplitter(tags)
    found: list[Part] = []
    for kind, text in [*(part for piece in pieces for part in splitter.feed(piece)), *splitter.finish()]:
        assert text
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + text)
        else:
            found.append((kind, text))
    return found


@bounded
@given(pieces, st.booleans())
def test_parts_are_the_same_however_the_text_is_cut(pieces: list[str], opened: bool) -> None:
    tags = ReasoningTags("<think>", "</think>", {}, opened)
    text = "".join(pieces)
    whole = split(tags, [text])
    assert split(tags, pieces) == whole
    assert split(tags, list(text)) == whole
    assert not any(tag in part for _, part in ReasoningSplitter(tags).feed(text) for tag in ("<think>", "</think>"))
    plain = text.replace("<think>", "").replace("</think>", "")
    kept = "".join(part for _, part in whole)
    assert "".join(kept.split()) == "".join(plain.split())


@bounded
@given(pieces, st.booleans())
def test_only_a_tag_and_the_space_before_it_are_held_back(pieces: list[str], opened: bool) -> None:
    splitter = ReasoningSplitter(ReasoningTags("<think>", "</think>", {}, opened))
    tags = ("<think>", "</think>")
    for piece in pieces:
        given_out = "".join(text for _, text in splitter.feed(piece))
        rest = splitter.finish()  # what was held back
        held = "".join(text for _, text in rest).strip()
        assert any(tag.startswith(held) for tag in tags)
        assert len(given_out) <= len(piece) + len("</think>")


@pytest.mark.parametrize(
    ("opened", "text", "parts"),
    [
        (False, "<think>\nhm\n</think>\n\nSo.", [("reasoning", "hm"), ("text", "So.")]),
        (True, "\nhm\n</think>\n\nSo.", [("reasoning", "hm"), ("text", "So.")]),
        (True, "hm", [("reasoning", "hm")]),
        (False, "<think>hm <thi", [("reasoning", "hm <thi")]),
        (False, "So it is.", [("text", "So it is.")]),
        (False, " So\n it is.\n", [("text", " So\n it is.\n")]),
        (False, "<think>\n\n</think>\n\nSo.", [("text", "So.")]),
        (False, "a <think>b</think> c", [("text", "a "), ("reasoning", "b"), ("text", "c")]),
        (False, "1 < 2", [("text", "1 < 2")]),
    ],
)
def test_the_parts(opened: bool, text: str, parts: list[Part]) -> None:
    assert split(ReasoningTags("<think>", "</think>", {}, opened), list(text)) == parts


def test_inside_says_what_comes_next() -> None:
    splitter = ReasoningSplitter(THINK)
    inside = [splitter.inside]
    for piece in ["<think>", "a</think", ">"]:
        splitter.feed(piece)
        inside.append(splitter.inside)
    assert inside == [False, True, True, False]


def test_tags_are_detected_in_the_template_or_the_vocabulary() -> None:
    plain = byte_tokenizer()
    assert detect_reasoning("{{ messages }}", plain) is None
    assert detect_reasoning(None, plain) is None
    found = detect_reasoning("{% if '</think>' in content %}", plain)
    assert found == THINK
    for opening, closing in KNOWN_TAGS:
        using = byte_tokenizer(control=[opening], added=[closing])
        found = detect_reasoning(None, using)
        assert found is not None
        assert (found.opening, found.closing) == (opening, closing)
        assert found.visible == {using.fast.token_to_id(opening)}


def test_a_prompt_that_ends_inside_of_the_reasoning() -> None:
    assert THINK.after("<|assistant|><think>\n").opened
    assert not THINK.after("<|assistant|>").opened
    assert not THINK.after("<|assistant|><think>\n\n</think>\n\n").opened
