from __future__ import annotations

import pytest

from byte_tokenizers import byte_tokenizer, token_id
from honed.text.tool_calls.detection import detect_tool_format
from honed.text.tool_calls.hermes import Hermes
from honed.text.tool_calls.llama3 import Llama3
from honed.text.tool_calls.mistral import Mistral


@pytest.mark.parametrize(
    ("template", "control", "name"),
    [
        (None, [], None),
        ("{% for m in messages %}{{ m }}{% endfor %}", ["<|python_tag|>"], None),
        ("{% if tools %}<tool_call>{% endif %}", [], "hermes"),
        ("{% if tools %}<tool_call>{% endif %}", ["<|python_tag|>"], "hermes"),
        ("{% if tools %}as JSON{% endif %}", ["<|python_tag|>", "<|eom_id|>"], "llama3"),
        ("{% if tools %}[AVAILABLE_TOOLS]{% endif %}", ["[TOOL_CALLS]"], "mistral"),
        ("{% if tools %}as JSON{% endif %}", [], "hermes"),
    ],
)
def test_the_format_of_a_template(template: str | None, control: list[str], name: str | None) -> None:
    found = detect_tool_format(template, byte_tokenizer(control=control))
    assert (found and found.name) == name


def test_markers_that_are_control_tokens_have_to_be_visible() -> None:
    tokenizer = byte_tokenizer(control=["<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"], added=["</tool_call>"])
    tokens = {mark: token_id(tokenizer, mark) for mark in ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>")}
    assert detect_tool_format("tools [TOOL_CALLS][ARGS]", tokenizer) == Mistral(
        {"[TOOL_CALLS]": tokens["[TOOL_CALLS]"]}, named=True
    )
    plain = byte_tokenizer(control=["<tool_call>"], added=["</tool_call>"])
    hermes = detect_tool_format("tools <tool_call>", plain)
    assert hermes == Hermes({"<tool_call>": token_id(plain, "<tool_call>")})
    assert hermes is not None
    assert hermes.visible == {token_id(plain, "<tool_call>")}
    llama = byte_tokenizer(control=["<|python_tag|>"])
    found = detect_tool_format("tools", llama)
    assert found == Llama3({"<|python_tag|>": token_id(llama, "<|python_tag|>")})
