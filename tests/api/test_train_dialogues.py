"""Which tokens of a dialogue are the assistant's, by templates of several kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.api.train_dialogues import assistant_spans, dialogue_examples
from honed.errors import FormatError, ParameterError, TemplateError
from honed.notes import HonedWarning
from honed.text.chat_template import ChatTemplate
from turn_tokenizers import CHATML, byte_level, turns

DIALOGUE = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi there"},
    {"role": "user", "content": "more"},
    {"role": "assistant", "content": "no"},
]
ONLY_LAST = (
    "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}{{ m.content }};{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}"
)


def test_a_turn_is_all_that_is_written_behind_what_asks_for_it() -> None:
    with ChatTemplate(CHATML, {}) as template:
        text, spans = assistant_spans(template, DIALOGUE)
    said = [text[first:last] for first, last in spans]
    assert [one.strip() for one in said] == ["hi there<|im_end|>", "no<|im_end|>"]
    for first, _ in spans:
        assert text[:first].endswith("<|im_start|>assistant\n")


def test_tokens_are_those_of_the_turns() -> None:
    tokenizer = turns(byte_level())
    (example,) = dialogue_examples(Path("a.jsonl"), [DIALOGUE], tokenizer, 500)
    said = tokenizer.fast.decode(example.tokens[example.places].tolist(), skip_special_tokens=False)
    assert said.replace("\n", "") == "hi there<|im_end|>no<|im_end|>"
    assert example.targets.tolist() == example.tokens[example.places].tolist()


def test_a_dialogue_is_cut_and_one_without_a_turn_left_out() -> None:
    tokenizer = turns(byte_level())
    (whole,) = dialogue_examples(Path("a.jsonl"), [DIALOGUE], tokenizer, 500)
    late = int(whole.places[0])
    with pytest.warns(HonedWarning, match="1 of 1 dialogues are longer"):
        (cut,) = dialogue_examples(Path("a.jsonl"), [DIALOGUE], tokenizer, late + 2)
    assert cut.places.tolist() == [late, late + 1]
    with pytest.warns(HonedWarning), pytest.raises(ParameterError, match="has no turn of the assistant"):
        dialogue_examples(Path("a.jsonl"), [DIALOGUE], tokenizer, late)


def test_a_template_that_writes_turns_otherwise_is_refused() -> None:
    tokenizer = turns(byte_level(), ONLY_LAST)
    with pytest.raises(FormatError, match=r"row 1: its messages are refused: .* writes turn 3 otherwise"):
        dialogue_examples(Path("a.jsonl"), [DIALOGUE], tokenizer, 500)


def test_without_a_template() -> None:
    tokenizer = turns(byte_level())
    from dataclasses import replace

    with pytest.raises(TemplateError, match="has no chat template"):
        dialogue_examples(Path("a.jsonl"), [DIALOGUE], replace(tokenizer, chat_template=None), 500)
