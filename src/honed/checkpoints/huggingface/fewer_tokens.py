"""A tokenizer with fewer tokens, numbered anew: for a model whose table lost the rows of the others.

Any text can still be said: tokens that no merge makes (bytes or characters) stay, and so does whatever a token that
stays is merged of. A text all of whose tokens stay is cut as before, since every merge on the way to them is there.
Only tokenizers that merge (BPE) can lose tokens so. Not here: which tokens are used, which the caller counts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from honed.errors import UnsupportedError, quoted

_OTHER_FORMS = ("added_tokens.json", "merges.txt", "tokenizer.model", "vocab.json")
"""Files that say the vocabulary once more."""


class FewerTokens:
    """What must stay of a tokenizer.json, and what is left of it. UnsupportedError where it does not merge."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        model = document["model"]
        kind = model.get("type")
        if kind != "BPE":
            raise UnsupportedError(f"a tokenizer of the kind {quoted(kind)} cannot lose tokens here; supported is BPE")
        self._document, self._model = document, model
        self._ids: Mapping[str, int] = model["vocab"]
        merges = [tuple(one) if isinstance(one, list) else tuple(one.split(" ")) for one in model["merges"]]
        # A token can be made in several ways, all of which stay, as which one is taken depends on what stands before.
        self._parts: dict[str, set[str]] = {}
        for first, second in merges:
            self._parts.setdefault(first + second, set()).update((first, second))
        self._merges = merges

    def needed(self, ids: Collection[int]) -> list[int]:
        """These, ascending, and what must stay with them: tokens that were added, and those described above."""
        texts = {number: text for text, number in self._ids.items()}
        found = {token["id"] for token in self._document.get("added_tokens", ())}
        waiting = [texts[number] for number in {*ids, *found} if number in texts]
        waiting += [text for text in self._ids if text not in self._parts]
        found |= set(ids)
        seen: set[str] = set()
        while waiting:
            text = waiting.pop()
            if text not in seen:
                seen.add(text)
                waiting += self._parts.get(text, ())
        return sorted(found | {self._ids[text] for text in seen if text in self._ids})

    def document(self, kept: Sequence[int]) -> dict[str, Any]:
        """The tokenizer.json with these tokens alone, each numbered by its place among them."""
        places = {number: place for place, number in enumerate(kept)}
        vocabulary = {text: places[number] for text, number in self._ids.items() if number in places}
        merges = [
            [first, second]
            for first, second in self._merges
            if first in vocabulary and second in vocabulary and first + second in vocabulary
        ]
        added = [{**token, "id": places[token["id"]]} for token in self._document.get("added_tokens", ())]
        return {
            **self._document,
            "added_tokens": added,
            "post_processor": _renumbered(self._document.get("post_processor"), places),
            "model": {**self._model, "vocab": vocabulary, "merges": merges},
        }


def _renumbered(step: Any, places: Mapping[int, int]) -> Any:
    """A post-processor that puts the same tokens around a text."""
    if not isinstance(step, dict):
        return step
    changed = dict(step)
    for name in ("cls", "sep"):
        if name in step and step.get("type") in ("BertProcessing", "RobertaProcessing"):
            text, number = step[name]
            changed[name] = [text, places[number]]
    if step.get("type") == "TemplateProcessing":
        changed["special_tokens"] = {
            text: {**token, "ids": [places[number] for number in token["ids"]]}
            for text, token in step["special_tokens"].items()
        }
    if "processors" in step:
        changed["processors"] = [_renumbered(one, places) for one in step["processors"]]
    return changed


def files_with_fewer_tokens(files: Mapping[str, bytes], kept: Sequence[int]) -> dict[str, bytes]:
    """The files beside a model, tokenizer.json among them, when only these tokens are left. Other forms of the same
    vocabulary are left out."""
    places = {number: place for place, number in enumerate(kept)}
    found = {name: data for name, data in files.items() if name not in _OTHER_FORMS}
    found["tokenizer.json"] = _json(FewerTokens(json.loads(files["tokenizer.json"])).document(kept))
    if "generation_config.json" in files:
        generation = json.loads(files["generation_config.json"])
        found["generation_config.json"] = _json({**generation, **renumbered_ids(generation, places)})
    config = json.loads(files.get("tokenizer_config.json", b"{}"))
    if "added_tokens_decoder" in config:
        decoder = {str(places[int(number)]): token for number, token in config["added_tokens_decoder"].items()}
        found["tokenizer_config.json"] = _json({**config, "added_tokens_decoder": decoder})
    return found


def renumbered_ids(config: Mapping[str, Any], places: Mapping[int, int]) -> dict[str, Any]:
    """The fields of a config that name tokens (`*_token_id`), with their new numbers. What is no token stays: null, -1
    and the like stand for none."""

    def changed(value: Any) -> Any:
        return [changed(one) for one in value] if isinstance(value, list) else places.get(value, value)

    return {name: changed(value) for name, value in config.items() if name.endswith("_token_id")}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
