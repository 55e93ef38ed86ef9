"""How the logits of a head for classes become scores: what transformers and sentence-transformers do with a checkpoint.

They differ for a head with one label: transformers takes a sigmoid unless the config says that a value was regressed;
a cross-encoder of sentence-transformers takes one too, unless its config names another function. Not here: doing it
(`tasks/task.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from honed.errors import UnsupportedError, quoted
from honed.records import dataclass

Function = Literal["softmax", "sigmoid", "none"]
_BY_PROBLEM: Mapping[object, Function] = {
    "regression": "none",
    "multi_label_classification": "sigmoid",
    "single_label_classification": "softmax",
}
_ACTIVATIONS: Mapping[str, Function] = {"Sigmoid": "sigmoid", "Identity": "none"}
"""By the class of torch, without its package."""


@dataclass(frozen=True)
class Scoring:
    """classes: of labels. ranking: of a cross-encoder with one label; a text: the function that is not known."""

    classes: Function = "softmax"
    ranking: Function | None = "sigmoid"
    named: str = ""

    def of_ranking(self, source: str) -> Function:
        """UnsupportedError where the config names a function that is not known here."""
        if self.ranking is None:
            raise UnsupportedError(
                f"{source}: its scores go through {quoted(self.named)}, which is not supported; supported are "
                f"{' and '.join(_ACTIVATIONS)}"
            )
        return self.ranking


def read_scoring(config: Mapping[str, Any], labels: int) -> Scoring:
    """Of a config whose head has so many labels."""
    usual: Function = "sigmoid" if labels == 1 else "softmax"
    classes = _BY_PROBLEM.get(config.get("problem_type"), usual)
    if labels == 1 and classes == "softmax":
        classes = "sigmoid"
    own = config.get("sentence_transformers")
    named = own.get("activation_fn") if isinstance(own, Mapping) else None
    named = named or config.get("sbert_ce_default_activation_function")
    if not isinstance(named, str):
        return Scoring(classes)
    return Scoring(classes, _ACTIVATIONS.get(named.rpartition(".")[2]), named)
