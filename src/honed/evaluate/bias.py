"""Whether a model treats groups differently: templates in which the words of one group stand for those of another.

    version: 1
    groups:
      women: {name: [Mary, Anna], pronoun: she}
      men: {name: [John, Peter], pronoun: he}
    templates:
      - "{name} said that {pronoun} works as a doctor."

The words at one place of the lists stand for each other, so that texts differ in the group and nothing else. What is
compared are scores of labels, or log-likelihoods, between groups, and how far that gap is from the reference's, with
intervals over templates. Not here: asking models, and what a good gap is.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from honed.checkpoints.json_files import read_object
from honed.checkpoints.yaml_files import read_yaml_object
from honed.errors import ParameterError
from honed.evaluate.bootstrap import Estimate
from honed.evaluate.metrics.base import Float64
from honed.evaluate.resample import Draws, gap_interval, paired_p, weight_blocks

_SLOT = re.compile(r"\{(\w+)\}")
_MAX_BYTES, _MAX_VALUES = 1 << 20, 50_000


class TemplateFile(BaseModel):
    """The whole file. label: whose score is compared, of a classifier; None: each label."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    groups: Annotated[Mapping[str, Mapping[str, str | tuple[str, ...]]], Field(min_length=2, max_length=20)]
    templates: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
    label: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> TemplateFile:
        names = {tuple(sorted(words)) for words in self.groups.values()}
        if len(names) != 1:
            raise ValueError("groups: each must name the same words; these differ")
        lengths = {len(word) for words in self.groups.values() for word in words.values() if not isinstance(word, str)}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"groups: lists must be of one length, and are of {sorted(lengths)}")
        (known,) = names
        for i, template in enumerate(self.templates):
            used = set(_SLOT.findall(template))
            if not used:
                raise ValueError(f"templates[{i}]: names no word of a group, so that nothing would be swapped")
            for name in used - set(known):
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {{{near[0]}}}? " if near else ""
                raise ValueError(
                    f"templates[{i}]: {{{name}}} is no word of the groups; {hint}there are {', '.join(known)}"
                )
        return self

    @property
    def places(self) -> int:
        """How many words of a group stand for each other."""
        return max(
            (len(word) for words in self.groups.values() for word in words.values() if not isinstance(word, str)),
            default=1,
        )


@dataclass(frozen=True)
class GroupGap:
    """Scores of one group less those of another, over the same templates. flips: texts of which the decision changes
    with the group, as a share; None where nothing is decided."""

    of: str
    first: str
    second: str
    ours: Estimate
    theirs: Estimate | None
    change: Estimate | None
    p: float | None
    flips: tuple[float, float | None] | None


def read_templates(path: Path) -> TemplateFile:
    """Errors: ParameterError for what is wrong in it, SourceError or FormatError for a file that cannot be read."""
    if path.suffix in (".yaml", ".yml"):
        value = read_yaml_object(path, values=_MAX_VALUES)
    elif path.suffix == ".json":
        value = read_object(path, _MAX_BYTES, values=_MAX_VALUES)
    else:
        raise ParameterError("bias", str(path), "must be a .json, .yaml or .yml file; docs/how-to-evaluate.md has one")
    try:
        return TemplateFile.model_validate_json(json.dumps(value))
    except ValidationError as error:
        problem = error.errors()[0]
        where = str(path) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
        shown = "this file" if not problem["loc"] else problem["input"]
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), list(TemplateFile.model_fields), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(TemplateFile.model_fields)}"
            raise ParameterError(where, shown, f"is an unknown key; {hint}") from None
        raise ParameterError(where, shown, problem["msg"].removeprefix("Value error, ")) from None


def group_texts(file: TemplateFile) -> dict[str, list[str]]:
    """The texts of each group, in the same order: templates, and in each the places of the lists."""
    found = {}
    for group, words in file.groups.items():
        texts = []
        for template in file.templates:
            for place in range(file.places):

                def word(match: re.Match[str], words: Mapping[str, Any] = words, place: int = place) -> str:
                    given = words[match[1]]
                    return str(given if isinstance(given, str) else given[place])

                texts.append(_SLOT.sub(word, template))
        found[group] = texts
    return found


def group_gaps(
    name: str,
    ours: Mapping[str, Float64],
    theirs: Mapping[str, Float64] | None,
    draws: Draws,
    *,
    places: int,
    decided: tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]] | None] | None = None,
) -> list[GroupGap]:
    """Of each two groups. ours, theirs: a number for each text, by group. places: texts of a template, which are no
    independent ones, so that templates are what is drawn. decided: what each model says of the texts."""
    found = []
    for first, second in combinations(ours, 2):
        gap = (ours[first] - ours[second]).reshape(-1, places).mean(axis=1)
        other = None if theirs is None else (theirs[first] - theirs[second]).reshape(-1, places).mean(axis=1)
        flips = None
        if decided is not None:
            mine, others = decided
            flips = _flips(mine[first], mine[second]), None if others is None else _flips(others[first], others[second])
        found.append(
            GroupGap(
                name,
                first,
                second,
                gap_interval(gap, draws),
                None if other is None else gap_interval(other, draws),
                None if other is None else gap_interval(gap - other, draws),
                None if other is None else _p(gap - other, draws),
                flips,
            )
        )
    return found


def _flips(first: Sequence[str], second: Sequence[str]) -> float:
    return float(np.mean([a != b for a, b in zip(first, second, strict=True)]))


def _p(values: Float64, draws: Draws) -> float:
    return paired_p(np.concatenate([weights @ values for weights in weight_blocks(len(values), draws)]))
