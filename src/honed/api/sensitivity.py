"""`honed.sensitivity`: what each group of layers costs a model when it alone is stored as a recipe would store it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.api.calibration import find_calibration
from honed.api.load import check_model
from honed.backends.options import check_threads
from honed.checkpoints.open import open_checkpoint
from honed.compress.base import ModelState
from honed.compress.calibration_settings import CalibrationSettings
from honed.compress.layer_groups import find_layer_groups
from honed.compress.layer_settings import Setting
from honed.compress.pipeline import run_recipe
from honed.compress.sensitivity import TOKENS, Candidate, Sensitivity, measure_sensitivity, some_windows
from honed.compress.weights import SourceWeights
from honed.errors import ParameterError, UnsupportedError
from honed.models.registry import read_model
from honed.native import extension
from honed.parameters import checks_names, function, location, whole_number

if TYPE_CHECKING:
    from honed.compress.recipe import Recipe


@checks_names
def sensitivity(
    model: str | Path,
    recipe: str | Path | Mapping[str, Any] | Recipe = "mixed-4.5bit",
    *,
    revision: str | None = None,
    calibration: str | Path | None = None,
    tokens: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """The table that the pass `mixed` chooses by, without compressing anything.

    model: a name as `honed.load` takes it, of one that generates. recipe: as of `honed.compress`; of its pass `mixed`
    the candidates are measured, of one without it the way in which its last pass stores layers. Passes before that are
    applied first. calibration: the text, as of `honed.compress`; tokens: so many of it are measured on, at most; None
    is what the recipe says, or 1,024. progress: called with steps done and steps in all.

    Errors: ParameterError for a recipe that stores nothing, SourceError, FormatError, UnsupportedError for an artifact
    and for a model that gives no logits or that the native engine does not run.
    """
    from honed.compress.passes.mixed import MixedSettings
    from honed.compress.recipe import read_recipe

    check_model("model", model, revision)
    threads = check_threads(threads) or extension.default_threads()
    function("progress", progress)
    chosen = read_recipe(recipe)
    mixed = next((place for place, one in enumerate(chosen.passes) if isinstance(one, MixedSettings)), None)
    before = chosen.passes[: len(chosen.passes) - 1 if mixed is None else mixed]
    candidates, asked = _candidates(chosen, mixed)
    tokens = asked if tokens is None else whole_number("tokens", tokens, 64, 1 << 20)
    checkpoint = open_checkpoint(str(model), revision)
    if checkpoint.kind == "artifact":
        raise UnsupportedError(f"{checkpoint.path}: is compressed already; name the model that it was made from")
    decoder = read_model(checkpoint.config, checkpoint.path)
    source = SourceWeights(decoder, checkpoint.weight, head_apart=chosen.encodes("lm_head"))
    windows = find_calibration(
        checkpoint, decoder, _text(chosen.calibration, calibration, tokens), in_detail=True, threads=threads
    ).windows
    state = ModelState(checkpoint.config, decoder, source)
    if before:
        first = chosen.model_copy(update={"passes": before})
        state = run_recipe(state, first, threads=threads, calibration=windows).state
    groups = [group for group in find_layer_groups(decoder) if all(name in state.weights for name in group.names)]
    shown = some_windows(windows, tokens)
    return measure_sensitivity(decoder, state.weights, groups, candidates, shown, threads=threads, progress=progress)


def _candidates(recipe: Recipe, mixed: int | None) -> tuple[tuple[Candidate, ...], int]:
    """And how many tokens they are measured on."""
    from honed.compress.passes.mixed import MixedSettings

    if mixed is not None:
        settings = recipe.passes[mixed]
        assert isinstance(settings, MixedSettings)
        return settings.candidates, settings.tokens
    if recipe.encoding is None:
        raise ParameterError("recipe", recipe.passes[-1].kind, "has no pass that stores layers in another way")
    return (Setting(weights=recipe.encoding.weights, activations=recipe.encoding.activations),), TOKENS


def _text(settings: CalibrationSettings, calibration: str | Path | None, tokens: int) -> CalibrationSettings:
    """No more than is looked at."""
    text = settings.text if calibration is None else str(location("calibration", calibration))
    return settings.model_copy(update={"text": text, "tokens": min(tokens, settings.tokens or tokens)})
