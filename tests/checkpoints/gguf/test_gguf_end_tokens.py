"""Which tokens end a reply, by what llama.cpp says of the same vocabulary."""

from __future__ import annotations

import numpy as np
import pytest

from honed.checkpoints.gguf.end_tokens import as_control, end_tokens

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def ends(tokens: list[str], types: list[int]) -> set[str]:
    found = as_control(tokens, np.array(types))
    return {tokens[index] for index in end_tokens(tokens, found == CONTROL)}


@pytest.mark.parametrize("kind", [NORMAL, CONTROL, USER_DEFINED])
@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<EOT>",
        "_<EOT>",
        "<|return|>",
        "<|call|>",
        "<end_of_utterance>",
    ],
)
def test_whatever_the_type_of_the_token(token: str, kind: int) -> None:
    tokens = ["a", token, "<tool>"]
    assert as_control(tokens, np.array([NORMAL, kind, USER_DEFINED])).tolist() == [NORMAL, CONTROL, USER_DEFINED]
    assert ends(tokens, [NORMAL, kind, USER_DEFINED]) == {token}


def test_what_may_be_plain_text_ends_nothing_unless_it_is_a_control_token() -> None:
    tokens = ["</s>", "[EOS]", "<|file_sep|>", "<s>"]
    assert ends(tokens, [NORMAL] * 4) == set()
    assert ends(tokens, [CONTROL] * 4) == {"</s>", "[EOS]", "<|file_sep|>"}


def test_a_message_that_ends_within_a_reply() -> None:
    tokens = ["<|return|>", "<|call|>", "<|end|>"]
    assert ends(tokens, [CONTROL] * 3) == {"<|return|>", "<|call|>"}
    assert ends(tokens[1:], [CONTROL] * 2) == {"<|call|>", "<|end|>"}


def test_the_types_of_the_file_are_not_written_to() -> None:
    types = np.array([NORMAL])
    types.flags.writeable = False
    assert as_control(["<|im_end|>"], types).tolist() == [CONTROL]
    assert as_control(["a"], types) is types
