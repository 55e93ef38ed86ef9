"""What each group of layers costs a model when it alone is stored in another way: the sensitivity table.

For every group and candidate, the mean KL(model || model with this group stored so), in nats a predicted token, on
calibration tokens. The group runs as it would in an artifact, rounded to nearest and with activations quantized in
front of it; everything else is in float32. Errors of groups are nearly independent where they are small, so that those
of a whole model come to about their sum; how nearly is in docs/measurements/mixed-precision.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from honed.compress.dense import dense_scheme, to_dense
from honed.compress.layer_groups import LayerGroup
from honed.compress.layer_schemes import LayerScheme, choose_schemes
from honed.compress.layer_settings import EncodingSettings, Setting
from honed.compress.observe import Tokens
from honed.compress.trial_walk import Progress, Trial, TrialWalk
from honed.encodings.base import Encoded
from honed.encodings.encode import encode
from honed.encodings.scheme import DenseScheme, Scheme
from honed.models.base import Model

Candidate = Setting | Literal["dense"]
TOKENS = 1024
"""Of the calibration text, at most. More tell neighbours in the order of layers apart, and take as much longer."""


@dataclass(frozen=True)
class Choice:
    """One way to store a group: the scheme of each of its weights, their bytes, and what it costs, in nats a token."""

    schemes: Mapping[str, Scheme]
    bytes: int
    divergence: float

    @property
    def label(self) -> str:
        """Where weights differ, all that there are."""
        return "; ".join(dict.fromkeys(map(str, self.schemes.values())))


@dataclass(frozen=True)
class Sensitivity:
    """`choices` of each of the groups, one for each of the candidates, in their order."""

    candidates: tuple[Candidate, ...]
    groups: tuple[LayerGroup, ...]
    choices: tuple[tuple[Choice, ...], ...]
    tokens: int

    def as_json(self, chosen: Sequence[int] | None = None) -> dict[str, Any]:
        """Plain values; with the number of the candidate that each group got."""
        groups = []
        for place, (group, choices) in enumerate(zip(self.groups, self.choices, strict=True)):
            found: dict[str, Any] = {
                "layers": group.label,
                "shape": list(group.shape),
                "choices": [
                    {"scheme": choice.label, "bytes": choice.bytes, "divergence": choice.divergence}
                    for choice in choices
                ],
            }
            groups.append(found if chosen is None else {**found, "chosen": chosen[place]})
        candidates = [one if one == "dense" else one.model_dump(mode="json") for one in self.candidates]
        return {"tokens": self.tokens, "candidates": candidates, "groups": groups}

    def to_bytes(self, chosen: Sequence[int] | None = None) -> bytes:
        """`as_json` as a file."""
        return (json.dumps(self.as_json(chosen), indent=1) + "\n").encode()


def some_windows(windows: Tokens, tokens: int) -> Tokens:
    """So many of them, evenly over all, that they have at most so many tokens, but one at least."""
    count = max(1, min(len(windows), tokens // len(windows[0])))
    return [windows[number * len(windows) // count] for number in range(count)]


def measure_sensitivity(
    model: Model,
    weights: Mapping[str, Encoded],
    groups: Sequence[LayerGroup],
    candidates: Sequence[Candidate],
    windows: Tokens,
    *,
    threads: int,
    progress: Progress | None = None,
) -> Sensitivity:
    """The table. `weights` are those of a model state: in full precision, a head that is encoded apart from its table
    under its own name. What two candidates store alike is tried once. Without windows nothing is tried: then a choice
    costs what it saves in bytes, which is what a plan of sizes needs.

    Errors: those of `TrialWalk`, and of encoding a weight.
    """
    names = {name for group in groups for name in group.names}
    by_candidate = [_schemes(model, weights, candidate, names) for candidate in candidates]
    searched = [candidate != "dense" and candidate.weights.search for candidate in candidates]
    trials: dict[tuple[int, tuple[tuple[str, Scheme], ...], bool], Trial] = {}
    keys = []
    for group in groups:
        for schemes, search in zip(by_candidate, searched, strict=True):
            of_group = tuple((name, schemes[name]) for name in group.names)
            keys.append((group.block, of_group, search))
            make = partial(_made, weights, dict(of_group), search=search, threads=threads)
            trials.setdefault(keys[-1], Trial(group.block, make))
    found: dict[Any, float] = {}
    if windows:
        walk = TrialWalk(model, weights, windows, threads=threads)
        found = dict(zip(trials, walk.divergences(list(trials.values()), progress), strict=True))
    rest = iter(keys)
    choices = []
    for _ in groups:
        of_one = [next(rest) for _ in candidates]
        sizes = [sum(scheme.nbytes(weights[name].shape) for name, scheme in key[1]) for key in of_one]
        choices.append(
            tuple(
                Choice(dict(key[1]), nbytes, found[key] if windows else float(max(sizes) - nbytes))
                for key, nbytes in zip(of_one, sizes, strict=True)
            )
        )
    return Sensitivity(tuple(candidates), tuple(groups), tuple(choices), sum(map(len, windows)))


def _schemes(
    model: Model, weights: Mapping[str, Encoded], candidate: Candidate, names: set[str]
) -> Mapping[str, LayerScheme | DenseScheme]:
    if candidate == "dense":
        return {name: dense_scheme(weights[name]) for name in names}
    settings = EncodingSettings.model_validate({**candidate.model_dump(), "pass": "a candidate"})
    return choose_schemes(model, weights, settings, names).schemes


def _made(
    weights: Mapping[str, Encoded], schemes: Mapping[str, Scheme], *, search: bool, threads: int
) -> dict[str, Encoded]:
    made: dict[str, Encoded] = {}
    for name, scheme in schemes.items():
        if isinstance(scheme, DenseScheme):
            made[name] = to_dense(weights[name], scheme)
        else:
            made[name] = encode(weights[name], scheme, name=name, search=search, threads=threads)
    return made
