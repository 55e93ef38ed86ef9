"""Prompts that ask for the text between a beginning and an end, of models that were trained to fill in.

The order is prefix, suffix, middle (PSM of Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the
Middle"), which all of the families understand. Not here: where the filled text ends, which the end tokens say.
"""

from __future__ import annotations

from collections.abc import Mapping

from honed.records import dataclass
from honed.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class InfillTokens:
    """Ids of the tokens before the prefix, the suffix and the middle; ends: those that end the middle."""

    prefix: int
    suffix: int
    middle: int
    ends: frozenset[int]


_FAMILIES = (
    # StarCoder, SantaCoder, Granite; Qwen 2.5 Coder; DeepSeek Coder; CodeLlama; CodeGemma is as Qwen; Codestral.
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", ("<fim_pad>", "<file_sep>")),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>", ("<fim-pad>",)),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", ("<|fim_pad|>", "<|file_sep|>", "<|file_separator|>")),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", ()),
    ("▁<PRE>", "▁<SUF>", "▁<MID>", ("▁<EOT>",)),
)


def infill_tokens(tokenizer: Tokenizer) -> InfillTokens | None:
    """The tokens of a vocabulary; None: the model was not trained to fill in."""
    known = _ids(tokenizer)
    for prefix, suffix, middle, ends in _FAMILIES:
        if prefix in known and suffix in known and middle in known:
            ending = frozenset(known[end] for end in ends if end in known)
            return InfillTokens(known[prefix], known[suffix], known[middle], ending | tokenizer.end_tokens)
    return None


def infill_prompt(tokenizer: Tokenizer, prefix: str, suffix: str) -> list[int] | None:
    """The prompt whose continuation stands between the two texts; None: the model has no tokens for it."""
    tokens = infill_tokens(tokenizer)
    if tokens is None:
        return None
    before = tokenizer.encode(prefix, add_special=False)
    after = tokenizer.encode(suffix, add_special=False)
    begin = [tokenizer.begin_token] if tokenizer.adds_begin_token and tokenizer.begin_token is not None else []
    return [*begin, tokens.prefix, *before, tokens.suffix, *after, tokens.middle]


def _ids(tokenizer: Tokenizer) -> Mapping[str, int]:
    """Of the spellings above: CodeLlama's are no added tokens in every file, but always tokens."""
    spellings = {text for *texts, ends in _FAMILIES for text in (*texts, *ends)}
    found = {text: tokenizer.fast.token_to_id(text) for text in spellings}
    return {text: token for text, token in found.items() if token is not None}
