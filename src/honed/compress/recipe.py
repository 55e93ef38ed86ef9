"""A recipe: an ordered list of passes with their settings, from a built-in name, a JSON file or a mapping.

    {"passes": [{"pass": "round_to_nearest",
                 "weights": {"bits": 4, "group": 32, "offset": "source", "search": true},
                 "activations": {"group": 32},
                 "overrides": [{"modules": "lm_head", "setting": {"weights": {"bits": 8, "group": 32}}},
                               {"modules": "*.down_proj", "setting": "dense"}]}]}

Beside the passes, `calibration` says from what tokens they learn (`calibration_settings.py`). Unknown keys are refused
with the nearest known one. What a pass does and what its settings mean is in its own file, which is found through
`registry.py`; the built-in recipes are data, in `builtin_recipes.py`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from honed.checkpoints.json_files import read_object
from honed.compress.builtin_recipes import RECIPES
from honed.compress.calibration_settings import CalibrationSettings
from honed.compress.layer_settings import EncodingSettings
from honed.compress.needs import Needs
from honed.compress.registry import PASSES, make_pass, pass_name
from honed.compress.settings import PassSettings, Settings
from honed.errors import HonedError, ParameterError

_MAX_BYTES = 1 << 20
_MAX_VALUES = 50_000
"""A recipe that overrides every module of a large model by name has some ten thousand."""


if TYPE_CHECKING:
    AnySettings = PassSettings
else:  # which pass is meant is said by its name
    AnySettings = Annotated[reduce(or_, PASSES), Field(discriminator="kind")]

PASS_NAMES = tuple(pass_name(settings) for settings in PASSES)
_ENCODING_NAMES = tuple(pass_name(settings) for settings in PASSES if issubclass(settings, EncodingSettings))


class Recipe(Settings):
    """Passes in the order in which they run. One that encodes is the last; those before it keep weights in full
    precision, and a recipe without one gives a dense model."""

    passes: Annotated[tuple[AnySettings, ...], Field(min_length=1)]
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _encodes_last(self) -> Recipe:
        encoding = [isinstance(settings, EncodingSettings) for settings in self.passes]
        if any(encoding[:-1]):
            raise ValueError(f"{' or '.join(_ENCODING_NAMES)} must be the last pass, and there once")
        return self

    @property
    def calibrates(self) -> bool:
        """Whether a pass needs tokens."""
        return any(needs.statistics or needs.teacher for needs in self._needs)

    @property
    def calibrates_in_detail(self) -> bool:
        """Whether a pass needs more of them than means of single values, for which a short text does."""
        return any(needs.statistics - {"cosine", "mean_square"} or needs.teacher for needs in self._needs)

    @property
    def _needs(self) -> Iterator[Needs]:
        return (make_pass(settings).needs for settings in self.passes)

    @property
    def encoding(self) -> EncodingSettings | None:
        """Settings of the last pass, if it encodes."""
        last = self.passes[-1]
        return last if isinstance(last, EncodingSettings) else None

    def encodes(self, module: str) -> bool:
        """Whether the last pass encodes a linear layer, named without `.weight`, and does not leave it dense."""
        return self.encoding is not None and self.encoding.for_module(module) is not None

    def as_json(self) -> dict[str, Any]:
        """Every setting, defaults included."""
        return self.model_dump(mode="json", by_alias=True)


def read_recipe(recipe: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """A recipe from a built-in name (int8, int4, nf4), the path of a .json file, or a mapping of the same form.

    Errors: ParameterError for an unknown name or key, or a value out of range; SourceError for a file that cannot be
    read, FormatError for one that is not a JSON object or far larger than a recipe.
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
    return _validated(read_object(path, _MAX_BYTES, values=_MAX_VALUES), str(path))


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
    models: set[type[BaseModel]] = {Recipe, *PASSES}
    while found := {part for model in models for part in _parts(model)} - models:
        models |= found
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models that the fields of one are made of."""
    types: list[Any] = [field.annotation for field in model.model_fields.values()]
    while types:
        kind = types.pop()
        types += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind
