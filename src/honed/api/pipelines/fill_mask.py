"""The pipeline of transformers for masked tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.pipelines.base import EncoderPipeline, Record, records
from honed.parameters import checks_names
from honed.tasks.fill_mask import Filling


class FillMaskPipeline(EncoderPipeline):
    """What may stand at a mask."""

    task = "fill-mask"

    def check(self, model: TextEncoder) -> None:
        model.tasks.fill_mask()

    @checks_names
    def call(
        self,
        inputs: str | Sequence[str] | Iterable[str],
        *,
        top_k: int = 5,
        targets: str | Sequence[str] | None = None,
    ) -> Any:
        """A text with the tokenizer's mask, or several: the best fillings of each as {"score", "token", "token_str",
        "sequence"}; of a text with several masks a list for each of them.

        As transformers has it, a list with one text gives what the text alone does. top_k: fillings of a mask. targets:
        tokens to choose among; of one that is several tokens, the first is meant.
        """
        found = self.each(self.model.tasks.fill_mask(top_k, targets), inputs, _told)
        return found[0] if isinstance(inputs, list) and len(inputs) == 1 else found


def _told(masks: list[list[Filling]]) -> list[Record] | list[list[Record]]:
    found = [records(fillings) for fillings in masks]
    return found[0] if len(found) == 1 else found
