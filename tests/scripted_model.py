"""A model that says what a test wants: its logits are those of a reply that stands in a table, by the prompt.

It reads the context back from its pages, as a model does, so that batching, preemption and prefix reuse are real.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as FastTokenizer

from honed.api.language_model import LanguageModel
from honed.backends.base import PAGE_TOKENS, Batch, PageGroup
from honed.text.tokenizer import Tokenizer
from turn_tokenizers import CHATML, byte_level, turns

TOOLS = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<tool_call></tool_call>"
    "<|im_end|>\n{% endif %}"
)
"""Before the messages: a template that knows tools, as Hermes and Qwen write them."""
SURE = 12.0
"""The logit of the token that comes next; the others have less than 1."""
START = "<|im_start|>assistant\n"
USER = "<|im_start|>user\n"
END = "<|im_end|>"


class ScriptedBackend:
    """Implements `honed.backends.base.Backend`."""

    def __init__(
        self, tokenizer: Tokenizer, replies: Mapping[str, str], *, context: int = 1024, pages: int = 256
    ) -> None:
        """replies: by the last message of the user, or by the text of a prompt without messages."""
        self.context = context
        self.pages = pages
        self.page_groups = (PageGroup(pages),)
        self.step_tokens = 256
        self.vocabulary = tokenizer.size
        self.pause = 0.0
        """Seconds that a step takes."""
        self.fail = False
        self.steps = 0
        self._tokenizer = tokenizer
        self._replies = replies
        self._memory = np.full((pages, PAGE_TOKENS), -1, dtype=np.int32)
        self._end = min(tokenizer.end_tokens)
        self._noise = np.random.default_rng(3).random((64, self.vocabulary), dtype=np.float32)

    @property
    def name(self) -> str:
        return "scripted"

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        self.steps += 1
        if self.pause:
            time.sleep(self.pause)
        if self.fail:
            raise RuntimeError("the backend at 0x7f00 in /somewhere failed")
        for token, position, row in zip(batch.tokens, batch.positions, batch.sequences, strict=True):
            self._memory[batch.page_tables[row, position // PAGE_TOKENS], position % PAGE_TOKENS] = token
        found = [self._logits(batch, int(index)) for index in batch.selected]
        return np.array(found, dtype=np.float32).reshape(-1, self.vocabulary)

    def _logits(self, batch: Batch, index: int) -> NDArray[np.float32]:
        table = batch.page_tables[batch.sequences[index]]
        end = int(batch.positions[index]) + 1
        context = self._memory[table].reshape(-1)[:end].tolist()
        row: NDArray[np.float32] = self._noise[(end * 7 + context[-1]) % 64].copy()
        row[self._next(context)] = SURE
        return row

    def _next(self, context: list[int]) -> int:
        text = self._tokenizer.decode(context, skip_special=False)
        before, marked, said = text.rpartition(START)
        if marked:
            key = before.rpartition(USER)[2].partition(END)[0]
            reply = self._replies.get(key, "ok")
        else:
            key = next((prompt for prompt in self._replies if text.startswith(prompt)), "")
            reply, said = self._replies.get(key, "ok"), text[len(key) :]
        tokens = _ids(self._tokenizer.fast, reply)
        for count in range(len(tokens), 0, -1):
            if (
                context[-count:] == tokens[:count]
                and self._tokenizer.decode(tokens[:count], skip_special=False) == said
            ):
                return tokens[count] if count < len(tokens) else self._end
        # What was said may be cut into other tokens, as that which a reply goes on with.
        for count in range(len(tokens)):
            if self._tokenizer.decode(tokens[:count], skip_special=False) == said:
                return tokens[count]
        return self._end


def _ids(fast: FastTokenizer, text: str) -> list[int]:
    ids: list[int] = fast.encode(text, add_special_tokens=False).ids
    return ids


def scripted_model(
    replies: Mapping[str, str], *, template: str | None = CHATML, context: int = 1024, pages: int = 256
) -> tuple[LanguageModel, ScriptedBackend]:
    """The model, and its backend for tests that slow it down or break it."""
    tokenizer = turns(byte_level(), template or CHATML) if template else Tokenizer(byte_level(), frozenset({_end()}))
    backend = ScriptedBackend(tokenizer, replies, context=context, pages=pages)
    return LanguageModel("scripted", backend, tokenizer), backend


def _end() -> int:
    found = byte_level().token_to_id(END)
    assert found is not None
    return int(found)
