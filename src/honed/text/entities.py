"""Entities of a sentence by tags of its words: B-type where one begins, I-type inside it, O outside of any (IOB2;
Ramshaw and Marcus 1995).

Counted as conlleval counts them: an entity is right where type, first and last word are. An I-type behind anything but
its own type begins an entity too. Not here: tags of tokens, of which a word may have several.
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.records import dataclass

OUTSIDE = "O"
_BEGIN, _INSIDE = "B-", "I-"


@dataclass(frozen=True)
class Entity:
    """`first` to `end` of the words, `end` not among them."""

    kind: str
    first: int
    end: int


def are_entities(tags: Sequence[str]) -> bool:
    """Whether the names of tags are of this form, with one that begins an entity among them."""
    of_form = all(tag == OUTSIDE or tag.startswith((_BEGIN, _INSIDE)) for tag in tags)
    return of_form and any(tag.startswith(_BEGIN) for tag in tags)


def entities(tags: Sequence[str]) -> tuple[Entity, ...]:
    """Those of one sentence, in order."""
    found: list[Entity] = []
    kind, first = "", 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        goes_on = bool(kind) and tag == _INSIDE + kind
        if kind and not goes_on:
            found.append(Entity(kind, first, place))
            kind = ""
        if not goes_on and tag.startswith((_BEGIN, _INSIDE)):
            kind, first = tag[2:], place
    return tuple(found)


def entity_scores(expected: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> dict[str, float]:
    """F1, precision and recall over all entities of all sentences; 0 where there are none to count by."""
    right = asked = said = 0
    for wanted, own in zip(expected, given, strict=True):
        there, named = set(entities(wanted)), set(entities(own))
        right, asked, said = right + len(there & named), asked + len(there), said + len(named)
    precision, recall = right / said if said else 0.0, right / asked if asked else 0.0
    both = precision + recall
    return {"F1": 2 * precision * recall / both if both else 0.0, "precision": precision, "recall": recall}
