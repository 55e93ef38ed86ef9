"""What an artifact of a model and a recipe holds, by name: from the passes to what is written.

Nothing of a weight is computed here before it is asked for. Not here: when that is, and where it goes (`compress.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.api.calibration import Calibration, expected_tokens, find_calibration, usual_text
from honed.api.outliers import without_outliers
from honed.checkpoints.artifact.manifest import FileRecord, Provenance
from honed.checkpoints.artifact.tokenizer_files import tokenizer_files
from honed.checkpoints.artifact.writer import Contents, DenseForm
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.compressed_tensors.declare import has_minimums, ours_alone
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.finite_weights import check_finite
from honed.checkpoints.huggingface.fewer_tokens import FewerTokens, files_with_fewer_tokens
from honed.compress.base import ModelState
from honed.compress.calibration_settings import SAMPLED
from honed.compress.dense import dense_scheme, to_dense
from honed.compress.linears import all_linears, find_linears
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.progress_store import MadeProgress, ProgressStore
from honed.compress.stored import StoredWeights
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.scheme import CodebookScheme, DenseScheme, Int4Scheme, Scheme
from honed.errors import ParameterError, UnsupportedError, plain
from honed.models.base import Model
from honed.models.encoder_heads import head_kind
from honed.models.factored import factors_of
from honed.models.registry import family_of, is_encoder, read_any

if TYPE_CHECKING:
    from honed.compress.recipe import Recipe

_COARSER_ELSEWHERE = (
    "int4 groups have the float minimums of the source, which honed alone reads: other tools see the nearest integer "
    "zero points, a much coarser model; int4-zero-point is the recipe for them"
)
_STAND_IN = 16
"""Tokens of a window that stands for those that are not known yet: passes plan from names and shapes alone."""


@dataclass(frozen=True)
class Prepared:
    """A model that is open, a recipe for it, and how it is called: as it was given, and in the manifest. `notes` are of
    preparing; `files` and `side_files` of the model."""

    checkpoint: Checkpoint
    given_name: str
    name: str
    model: Model
    source: SourceWeights
    recipe: Recipe
    files: Mapping[str, FileRecord]
    side_files: Mapping[str, bytes]
    notes: tuple[str, ...]
    portable: bool | None
    threads: int

    @property
    def tokens(self) -> int:
        """To calibrate on, at most; 0 where no pass asks for any."""
        if not self.recipe.calibrates:
            return 0
        return expected_tokens(self.recipe.calibration, self.usual_text)

    @property
    def usual_text(self) -> str:
        """What is calibrated on where the recipe does not say."""
        return usual_text(self.checkpoint, in_detail=self.recipe.calibrates_in_detail)

    def calibration(self, sampled: list[list[int]] | None = None) -> Calibration | None:
        """What the passes learn from, None where they ask for nothing. sampled: what the model has written before."""
        if not self.recipe.calibrates:
            return None
        if sampled is not None:
            return Calibration(sampled, SAMPLED, self.recipe.calibration.seed)
        return find_calibration(
            self.checkpoint,
            self.model,
            self.recipe.calibration,
            in_detail=self.recipe.calibrates_in_detail,
            threads=self.threads,
        )

    def run(
        self,
        windows: Sequence[Sequence[int]],
        *,
        store: ProgressStore | None = None,
        progress: MadeProgress | None = None,
        planning: bool = False,
    ) -> Compressed:
        """The passes, one after the other; nothing is computed yet but by those that ask for the text itself, and not
        by those while `planning`."""
        vocabulary = None
        if self.recipe.prunes_vocabulary:
            vocabulary = FewerTokens(json.loads(self.checkpoint.tokenizer().fast.to_str()))
        given = ModelState(self.checkpoint.config, self.model, self.source, notes=self.notes, vocabulary=vocabulary)
        return run_recipe(
            given,
            self.recipe,
            threads=self.threads,
            calibration=windows,
            store=store,
            progress=progress,
            planning=planning,
        )

    def planned(self) -> tuple[Contents, StoredWeights]:
        """What would be written, with sizes that are exact; no weight of it is to be asked for."""
        length = min(_STAND_IN, self.model.dimensions.context)
        windows = [[0] * length] if self.recipe.calibrates else ()
        return contents_of(self, self.run(windows, planning=True), None)


def prepare(
    checkpoint: Checkpoint, given_name: str, name: str, recipe: Recipe, *, portable: bool | None, threads: int
) -> Prepared:
    """Reads what is small, and looks for outliers. Errors: UnsupportedError for an artifact, and of reading."""
    if checkpoint.kind == "artifact":
        raise UnsupportedError(f"{checkpoint.path}: is compressed already; compress the model that it was made from")
    model = read_any(checkpoint.config, checkpoint.path)
    linears = find_linears(model)
    has_head = linears.head_name is not None and recipe.encodes(linears.head_name.removesuffix(".weight"))
    source = SourceWeights(model, checkpoint.weight, head_apart=has_head)
    recipe, left_dense = without_outliers(recipe, [weight.name for weight in linears.layers], source)
    files = {plain(path.name): FileRecord(path.stat().st_size, file_sha256(path)) for path in _source_files(checkpoint)}
    return Prepared(
        checkpoint,
        given_name,
        name,
        model,
        source,
        recipe,
        files,
        tokenizer_files(checkpoint),
        left_dense,
        portable,
        threads,
    )


def contents_of(
    prepared: Prepared, compressed: Compressed, calibration: Calibration | None
) -> tuple[Contents, StoredWeights]:
    """Errors: ParameterError for `portable` where no other tool reads what the recipe makes."""
    checkpoint, source = prepared.checkpoint, prepared.source
    stored, state = StoredWeights(compressed), compressed.state
    head = find_linears(state.model).head
    layers = all_linears(state.model) - {head.name if head else None}
    of_layers = [scheme for name, scheme in stored.schemes.items() if name in layers]
    notes = list(state.notes)
    own_names = family_of(checkpoint.config, checkpoint.path).stored is not None
    factored = bool(factors_of(state.model))
    portable = prepared.portable
    if portable:
        _check_portable(of_layers, own_names=own_names, factored=factored)
    elif portable is None:
        alone = own_names or factored
        portable = (
            not alone and stored.tied_table is None and stored.head is not None and _head_is_in_the_way(of_layers)
        )
        if portable:
            notes.append(
                f"{stored.head}: lies there dense too, as transformers reads no other head beside layers with "
                "zero points; --no-portable (portable=False) leaves that out"
            )

    def weight(name: str) -> Encoded:
        as_it_was = isinstance(stored.schemes[name], DenseScheme) or name == stored.tied_table
        if as_it_was and name in source:  # not what a pass makes of others, as a head that comes apart from its table
            check_finite(checkpoint.path, name, source[name])
        return stored.weight(name)

    if portable and any(map(has_minimums, stored.schemes.values())):
        notes.append(_COARSER_ELSEWHERE)
    side_files = prepared.side_files
    if state.kept_ids is not None:
        if portable and stored.tied_table is not None:
            raise ParameterError("portable", True, "with prune_vocabulary the table and the head are stored once")
        side_files = files_with_fewer_tokens(side_files, state.kept_ids)
    shapes = state.model.weights()
    contents = Contents(
        config=_config(state.config),
        schemes=stored.schemes,
        shapes={name: shapes[name].shape for name in stored.schemes},
        linear=layers,
        head=stored.head,
        tied=stored.tied_table is not None,
        dense_forms=_dense_forms(compressed) if portable and stored.head is not None else {},
        weight=weight,
        error=stored.error,
        side_files={**side_files, **state.files},
        provenance=Provenance(
            source=prepared.name,
            source_kind=checkpoint.kind,
            source_files=prepared.files,
            recipe=prepared.recipe.as_json(),
            portable=portable,
            notes=tuple(notes),
            calibration=None if calibration is None else calibration.record(),
        ),
        own_names=own_names,
    )
    return contents, stored


def _head_is_in_the_way(layers: Sequence[Scheme]) -> bool:
    """Whether other tools read the layers but not an encoded head: where there are zero points transformers takes one
    scheme for all that it decodes."""
    readable = not any(ours_alone(scheme) or has_minimums(scheme) for scheme in layers)
    return readable and any(isinstance(scheme, Int4Scheme) and scheme.offset == "zero_point" for scheme in layers)


def _check_portable(layers: Sequence[Scheme], *, own_names: bool, factored: bool) -> None:
    if factored:
        raise ParameterError(
            "portable", True, "no other tool reads layers that are products of two factors; leave it out"
        )
    if own_names:
        raise ParameterError(
            "portable", True, "other tools hold the weights of this family in other tensors than honed; leave it out"
        )
    if alone := [scheme for scheme in layers if ours_alone(scheme)]:
        kind = "codebooks" if isinstance(alone[0], CodebookScheme) else "weights without their zeros"
        problem = f"no other tool reads {kind}, which the recipe gives {len(alone)} layers; leave it out"
        raise ParameterError("portable", True, f"{problem}, or take int4-zero-point")


def _dense_forms(compressed: Compressed) -> dict[str, DenseForm]:
    """What other tools read in place of the encoded head and what changed along with it.

    An untied head is smoothed for them as well, since they read the norm before it. An embedding that is their head
    is not, so what fits the encoded head alone is for them as it was in the source.
    """
    source, linears = compressed.states[0].weights, find_linears(compressed.state.model)
    if linears.head is None:
        return {}
    if not linears.tied:
        name = linears.head.name
        return {name: _dense_form(source[name], compressed.in_full(name))}
    names = (linears.embedding.name, *sorted(compressed.state.tied_head.along))
    return {name: _dense_form(source[name], source[name]) for name in names}


def _dense_form(stored: Encoded, weight: Encoded) -> DenseForm:
    """A weight in the type in which the source has it."""
    scheme = dense_scheme(stored)
    return DenseForm(scheme, lambda: to_dense(weight, scheme))


def _config(source: Mapping[str, Any]) -> dict[str, Any]:
    """config.json as transformers needs it, whatever the source left out. Of an encoder there is no head but those that
    are known."""
    config = dict(source)
    config.pop("auto_map", None)
    if not config.get("architectures") or (is_encoder(config) and head_kind(config) is None):
        config["architectures"] = [family_of(config).class_name]
    if "dtype" not in config and "torch_dtype" not in config:
        config["dtype"] = "bfloat16"
    return config


def _source_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    if not checkpoint.path.is_dir():
        return checkpoint.files
    return (*checkpoint.files, checkpoint.path / "config.json")
