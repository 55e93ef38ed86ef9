"""What stands between a beginning and an end, by a model that was trained to fill in, as models of code are.

Not here: the tokens that ask for it (`text/infill.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from honed.api.pipelines.base import GeneratingPipeline, Record
from honed.errors import ParameterError, UnsupportedError
from honed.parameters import takes, whole_number
from honed.runtime.options import SamplingKeywords, SamplingOptions
from honed.text.infill import infill_prompt, infill_tokens


class TextInfillingPipeline(GeneratingPipeline):
    """Fills in. Also called infill."""

    task = "text-infilling"
    also = SamplingKeywords

    @takes(SamplingKeywords)
    def call(
        self,
        prefix: str | Mapping[str, str] | Sequence[Mapping[str, str]],
        suffix: str | None = None,
        *,
        max_new_tokens: int = 256,
        **given: Unpack[SamplingKeywords],
    ) -> Any:
        """A beginning and an end, or {"prefix", "suffix"}, or several of these: {"generated_text"} of each, what stands
        between the two. Others: those of `honed.Sampling`. UnsupportedError for a model without tokens for it."""
        if suffix is not None or isinstance(prefix, str):
            return self._filled([(prefix, suffix)], max_new_tokens, given)[0]
        if isinstance(prefix, Mapping):
            return self._filled([_sides(prefix)], max_new_tokens, given)[0]
        return self._filled([_sides(one) for one in prefix], max_new_tokens, given)

    def _filled(self, sides: Sequence[tuple[Any, Any]], new: int, given: SamplingKeywords) -> list[Record]:
        tokenizer = self.model.tokenizer
        tokens = infill_tokens(tokenizer)
        if tokens is None:
            raise UnsupportedError(f"{self.model.name}: its tokenizer has no tokens for filling in")
        prompts = []
        for prefix, suffix in sides:
            for name, text in (("prefix", prefix), ("suffix", suffix)):
                if not isinstance(text, str):
                    raise ParameterError(name, text, "must be a text")
            prompts.append(infill_prompt(tokenizer, prefix, suffix) or [])
        ends = [text for end in sorted(tokens.ends) if (text := tokenizer.fast.id_to_token(end))]
        found = self.model.generate_batch(
            prompts,
            max_tokens=whole_number("max_new_tokens", new, 1),
            sampling=SamplingOptions(**given),
            stop=ends,
        )
        return [{"generated_text": one.text} for one in found]


def _sides(given: Any) -> tuple[Any, Any]:
    if not isinstance(given, Mapping) or set(given) != {"prefix", "suffix"}:
        raise ParameterError("inputs", given, "must have prefix and suffix")
    return given["prefix"], given["suffix"]
