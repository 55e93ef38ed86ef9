"""Tokens that end a reply, by their text: files often name only one of them in their metadata.

The texts are those that llama.cpp goes by; Qwen2.5, for one, names <|im_end|> and ends with <|endoftext|> too. Not
here: what the metadata names (`tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CONTROL = 3
_TURNS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>"}
    | {"<end_of_turn>", "<|end_of_turn|>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>"}
    | {"<end_of_utterance>"}
)
"""Nothing but control tokens look so: they are control tokens whatever type the file gives them."""
_ENDS = frozenset({"</s>", "<eos>", "[EOS]", "[EOT]", "<turn|>", "<|tool_response>"})
"""These may be plain text: they count if they are control tokens."""
_FILLS = frozenset(
    {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|file_sep|>"}
    | {"<|fim_repo|>", "<fim-repo>", "<|repo_name|>", "<reponame>", "<REPO>"}
)
"""Between the files of a repository; a completion ends before the next file. The same holds of them."""
_PERHAPS = _ENDS | _FILLS
_HARMONY = {"<|return|>", "<|call|>", "<|end|>"}
"""Where all three are, the last one ends a message within a reply, and not the reply."""
FILL_ENDS = ("fim_pad", "fim_rep", "fim_sep")
"""Names of such in the metadata."""


def as_control(tokens: Sequence[str], types: NDArray[np.int64]) -> NDArray[np.int64]:
    """The types of tokens, with those corrected that only look like text."""
    wrong = [index for index, token in enumerate(tokens) if token in _TURNS and types[index] != _CONTROL]
    if wrong:
        types = types.copy()
        types[wrong] = _CONTROL
    return types


def end_tokens(tokens: Sequence[str], control: NDArray[np.bool_]) -> frozenset[int]:
    """Ids of the tokens whose text ends a reply. `control`: which tokens are control tokens."""
    found = {
        token: index for index, token in enumerate(tokens) if token in _TURNS or (token in _PERHAPS and control[index])
    }
    if found.keys() >= _HARMONY:
        del found["<|end|>"]
    return frozenset(found.values())
