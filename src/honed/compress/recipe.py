"""A recipe: an ordered list of passes with their settings, from a built-in name, a JSON file or a mapping.

    {"passes": [{"pass": "round_to_nearest",
                 "weights": {"bits": 4, "group": 32, "offset": "source", "search": true},
                 "activations": {"group": 32},
                 "overrides": [{"modules": "lm_head", "setting": {"weights": {"bits": 8, "group": 32}}},
                               {"modules": "*.down_proj", "setting": "dense"}]}]}

Unknown keys are refused with the nearest known one. What a pass does is in its own file; the built-in recipes are
data, in `builtin_recipes.py`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from honed.compress.builtin_recipes import RECIPES
from honed.encodings.codebook import TableName
from honed.encodings.int4 import Offset
from honed.encodings.scheme import Group
from honed.errors import FormatError, HonedError, ParameterError


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WeightSettings(_Settings):
    """8 bits are symmetric, per channel (`group` null) or in groups; 4 bits are in groups, and may be searched.

    offset `source` takes minimums where the source file has them, the symmetric form where it is 4-bit and symmetric,
    and zero points anywhere else: weights that lie on a 4-bit grid already are not rounded a second time. codebook
    names sixteen values that 4-bit codes point to, instead of a grid with an offset.
    """

    bits: Literal[8, 4]
    group: Group | None = 32
    offset: Offset | Literal["source"] = "symmetric"
    codebook: TableName | None = None
    search: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> WeightSettings:
        if self.bits == 4 and self.group is None:
            raise ValueError("4-bit weights need a group of 32, 64 or 128")
        if self.bits == 8 and self.offset != "symmetric":
            raise ValueError(f"8-bit weights are symmetric; remove offset: {self.offset}")
        if self.codebook is not None and (self.bits == 8 or self.offset != "symmetric"):
            raise ValueError("a codebook is for 4 bits, and takes no offset")
        if self.bits == 8 and self.search:
            raise ValueError("search is for 4 bits only; at 8 bits it gains nothing")
        return self


class ActivationSettings(_Settings):
    """int8 at run time: one scale for each token (`group` null) or for each run of `group` features."""

    group: Group | None = None


class Setting(_Settings):
    """How one linear layer is stored, and how its input is quantized at run time."""

    weights: WeightSettings
    activations: ActivationSettings = ActivationSettings()

    @model_validator(mode="after")
    def _same_group(self) -> Setting:
        if self.activations.group is not None and self.weights.group not in (None, self.activations.group):
            raise ValueError(
                f"activations.group {self.activations.group} must be null or equal weights.group {self.weights.group}"
            )
        return self


class Override(_Settings):
    """A setting for the modules whose name (without `.weight`) matches a shell pattern; the first match wins."""

    modules: Annotated[str, Field(min_length=1)]
    setting: Setting | Literal["dense"]


class RoundToNearestSettings(Setting):
    """Settings of the pass `round_to_nearest`."""

    kind: Annotated[Literal["round_to_nearest"], Field(alias="pass")]
    overrides: tuple[Override, ...] = ()

    def for_module(self, name: str) -> Setting | None:
        """The setting of a module, or None where it stays dense."""
        for override in self.overrides:
            if fnmatchcase(name, override.modules):
                return None if override.setting == "dense" else override.setting
        return self


class SmoothSettings(_Settings):
    """Settings of the pass `smooth`: 0 leaves outliers in the activations, 1 moves all of them into the weights.

    junctions: where it acts, on the inputs of `layers`, on that of the output `head`, or on both. Layers that lie on a
    grid of few bits leave it when they are smoothed.
    """

    kind: Annotated[Literal["smooth"], Field(alias="pass")]
    strength: Annotated[float, Field(gt=0, lt=1)] = 0.5
    junctions: Literal["all", "layers", "head"] = "all"


PassSettings = Annotated[RoundToNearestSettings | SmoothSettings, Field(discriminator="kind")]
PASS_NAMES = ("round_to_nearest", "smooth")


class Recipe(_Settings):
    """Passes in the order in which they run. The last one encodes, those before it keep weights in full precision."""

    passes: Annotated[tuple[PassSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _encodes_last(self) -> Recipe:
        encoding = [settings.kind == "round_to_nearest" for settings in self.passes]
        if encoding != [False] * (len(encoding) - 1) + [True]:
            raise ValueError("round_to_nearest must be the last pass, and there once")
        return self

    @property
    def calibrates(self) -> bool:
        """Whether a pass needs tokens."""
        return any(settings.kind == "smooth" for settings in self.passes)

    def encodes(self, module: str) -> bool:
        """Whether the last pass encodes a linear layer, named without `.weight`, and does not leave it dense."""
        last = self.passes[-1]
        return isinstance(last, RoundToNearestSettings) and last.for_module(module) is not None

    def as_json(self) -> dict[str, Any]:
        """Every setting, defaults included."""
        return self.model_dump(mode="json", by_alias=True)


def read_recipe(recipe: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """A recipe from a built-in name (int8, int4, nf4), the path of a .json file, or a mapping of the same form.

    Errors: ParameterError for an unknown name or key, or a value out of range; FormatError for a file that is not
    JSON.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return _validated(recipe, "recipe")
    name = str(recipe)
    if name in RECIPES:
        return _validated(RECIPES[name], name)
    path = Path(recipe)
    if path.suffix != ".json":
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ParameterError("recipe", name, f"must be {', '.join(RECIPES)} or the path of a .json file{hint}")
    return _validated(_read_json(path), str(path))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError("recipe", str(path), f"cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise FormatError(path, "recipe", f"is not JSON: {error}") from error


def _validated(value: Any, source: str) -> Recipe:
    # By way of JSON, where a list is a sequence of any kind also in strict mode.
    try:
        return Recipe.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise _explained(error, source) from None
    except (TypeError, ValueError) as error:
        raise ParameterError(source, value, f"must have the form of JSON: {error}") from error


def _explained(error: ValidationError, source: str) -> HonedError:
    problem = error.errors()[0]
    where = source
    for part in problem["loc"]:
        if part in PASS_NAMES:
            continue  # which of the kinds of pass was meant; the index says so already
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        given = problem["input"].get("pass") if isinstance(problem["input"], dict) else problem["input"]
        return ParameterError(f"{where}.pass", given, f"must be {' or '.join(PASS_NAMES)}")
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        near = difflib.get_close_matches(key, _known_keys(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(_known_keys())}"
        return ParameterError(where, problem["input"], f"is an unknown key; {hint}")
    return ParameterError(where, problem["input"], problem["msg"].removeprefix("Value error, "))


def _known_keys() -> list[str]:
    passes: tuple[type[BaseModel], ...] = (SmoothSettings, RoundToNearestSettings)
    parts: tuple[type[BaseModel], ...] = (Recipe, WeightSettings, ActivationSettings, Override)
    return sorted({field.alias or name for model in (*passes, *parts) for name, field in model.model_fields.items()})
