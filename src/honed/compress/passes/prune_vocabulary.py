"""Takes rows out of the embedding and the head: those of tokens that the calibration text never has.

For a model that is to serve one kind of text, which the caller calibrates on. Tokens without which some text could not
be said stay, and those that others are merged of: the tokenizer knows them (`Vocabulary`), and loses the others along
with the model. Ids are numbered anew; fields of the config that name tokens (`*_token_id`) follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from honed.checkpoints.huggingface.fewer_tokens import renumbered_ids
from honed.compress.base import ModelState
from honed.compress.linears import HEAD, find_linears
from honed.compress.narrowing import Narrow, read_changed
from honed.compress.needs import Needs, Observed
from honed.compress.settings import PassSettings
from honed.compress.weights import ChangedWeights
from honed.errors import ParameterError, UnsupportedError


class PruneVocabularySettings(PassSettings):
    """Settings of the pass `prune_vocabulary`, of which there are none."""

    kind: Annotated[Literal["prune_vocabulary"], Field(alias="pass")]


@dataclass(frozen=True)
class PruneVocabulary:
    """See `compress.base.Pass`. How many rows stay is part of the model, so tokens are counted when it is applied."""

    settings: PruneVocabularySettings
    needs: ClassVar[Needs] = Needs(frozenset({"counts"}))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect. Errors: UnsupportedError where the tokenizer cannot lose tokens, ParameterError
        where all of them stay, or where the vocabulary was pruned already."""
        if state.vocabulary is None:
            raise UnsupportedError("prune_vocabulary: needs the tokenizer of the model, and none is known")
        if state.kept_ids is not None:
            raise ParameterError("prune_vocabulary", "twice", "the tokens of a model are taken out once")
        linears = find_linears(state.model)
        rows = linears.embedding.shape[0]
        used = {number for number, count in enumerate(observed.inputs().counts) if count}
        needed = state.vocabulary.needed(used | _named(state.config, rows))
        kept = tuple(number for number in needed if number < rows)
        if len(kept) == rows:
            raise ParameterError("prune_vocabulary", rows, "all tokens are used or needed, so none can be left out")
        places = {number: place for place, number in enumerate(kept)}
        names = [linears.embedding.name, *([] if linears.head is None else [linears.head.name])]
        shapes = {name: (len(kept), linears.embedding.shape[1]) for name in names}
        changes = renumbered_ids(state.config, places)
        config, model = read_changed(state, {**changes, "vocab_size": len(kept)}, shapes)
        indices = np.array(kept)

        def narrow(name: str) -> Narrow:
            return Narrow(state.weights[name], lambda: indices, 0, len(kept))

        changed = frozenset({*names, HEAD} & set(state.weights))
        weights = ChangedWeights(state.weights, narrow, changed)
        note = f"{len(kept)} of {rows} tokens are left: ids are numbered anew, and the tokenizer goes with the model"
        return replace(
            state,
            config=config,
            model=model,
            weights=weights,
            kept_ids=kept,
            inputs=None,
            notes=(*state.notes, note),
        )


def _named(config: Mapping[str, Any], rows: int) -> set[int]:
    """The tokens that fields of a config name. Some name none by a number out of bounds."""
    values = [value for name, value in config.items() if name.endswith("_token_id")]
    named = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return {one for one in named if isinstance(one, int) and 0 <= one < rows}
