"""`honed.compress`: a model and a recipe to an artifact on disk.

Everything that can be known from names and shapes (recipe, output, space, supported weights) is checked before the
first weight is touched, and the artifact is opened again and compared with what was asked before the call returns.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.api.calibration import find_calibration
from honed.api.load import check_model
from honed.api.outliers import without_outliers
from honed.backends.options import check_threads
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.manifest import FileRecord, Provenance
from honed.checkpoints.artifact.target import check_apart, check_target, read_output
from honed.checkpoints.artifact.tokenizer_files import copied_names, tokenizer_files
from honed.checkpoints.artifact.writer import Contents, DenseForm, layout_of, write_artifact
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.compressed_tensors.declare import has_minimums
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.finite_weights import check_finite
from honed.checkpoints.huggingface.fewer_tokens import FewerTokens, files_with_fewer_tokens
from honed.checkpoints.open import open_checkpoint
from honed.compress.base import ModelState
from honed.compress.dense import dense_scheme, to_dense
from honed.compress.linears import all_linears, find_linears
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.stored import StoredWeights, TensorReport
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.scheme import CodebookScheme, DenseScheme, Int4Scheme, Scheme
from honed.errors import ArtifactError, ParameterError, UnsupportedError, plain
from honed.models.registry import family_of, is_encoder, read_any
from honed.parameters import checks_names, flag, function, location

if TYPE_CHECKING:
    from honed.compress.recipe import Recipe

_COARSER_ELSEWHERE = (
    "int4 groups have the float minimums of the source, which honed alone reads: other tools see the nearest integer "
    "zero points, a much coarser model; int4-zero-point is the recipe for them"
)


@dataclass(frozen=True)
class Progress:
    """`done` of `total` weights are written, `name` last."""

    done: int
    total: int
    name: str


@dataclass(frozen=True)
class CompressReport:
    """What was made. `source_bytes` and `bytes` count the weight files; `notes` say what a user should know of it."""

    source: str
    path: Path
    source_bytes: int
    bytes: int
    seconds: float
    tensors: tuple[TensorReport, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "path": str(self.path)}


@checks_names
def compress(
    model: str | Path | Checkpoint,
    recipe: str | Path | Mapping[str, Any] | Recipe = "int8",
    *,
    out: str | Path,
    overwrite: bool = False,
    portable: bool | None = None,
    revision: str | None = None,
    calibration: str | Path | None = None,
    calibration_tokens: int | None = None,
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CompressReport:
    """Compresses a model into the directory `out`.

    model: a name as `honed.load` takes it, or an open checkpoint. recipe: int8, int4, nf4, a .json file or a mapping
    (`compress/recipe.py`). portable: every weight is stored once, unless what other tools need shall lie beside it (a
    dense embedding and head, zero points for float minimums); to honed both are the same model. None: once, but for an
    untied head that would keep transformers from reading layers with zero points. calibration, calibration_tokens:
    what text passes learn from (built-in, sampled, or a file) and how many tokens of it, instead of what the recipe
    says (`compress/calibration_settings.py`). An existing artifact is
    replaced only with `overwrite`, if it is proved to be honed's own (`checkpoints/artifact/ownership.py`), and then in
    one step once the new one is complete and was read back; README, licences and the like that are not as honed wrote
    them are kept. The same model and recipe give the same bytes, whatever the number of threads.

    Errors: ParameterError (recipe, threads, output, portable where the recipe has codebooks), SourceError, FormatError
    (also for NaN and infinity), UnsupportedError, ArtifactError (output exists, holds the model or what honed did not
    write, cannot be written), MachineError (disk full).
    """
    from honed.compress.recipe import read_recipe

    started = time.perf_counter()
    if isinstance(model, str | Path):
        check_model("model", model, revision)
    elif not isinstance(getattr(model, "kind", None), str):
        raise ParameterError("model", model, "must be a name, a path or an open checkpoint")
    threads, overwrite = check_threads(threads), flag("overwrite", overwrite)
    portable = None if portable is None else flag("portable", portable)
    function("progress", progress)
    location("out", out)
    target = read_output(out)
    replaces: Replaces = "artifact" if overwrite else "nothing"
    chosen = _calibrated(read_recipe(recipe), calibration, calibration_tokens)
    check_target(target, replaces=replaces)
    checkpoint = open_checkpoint(str(model), revision) if isinstance(model, str | Path) else model
    check_apart(target, checkpoint.path, _read_files(checkpoint))
    name = str(model) if isinstance(model, str) else checkpoint.path.name
    contents, stored = _plan(checkpoint, _public_name(name), chosen, threads or _cpus(), portable=portable)
    total, done = len(contents.schemes), 0
    of_output: list[str] = []
    nbytes, source_bytes = layout_of(contents).nbytes, sum(path.stat().st_size for path in checkpoint.files)

    def written(weight: str, _: int) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(Progress(done, total, weight))

    write_artifact(
        target,
        contents,
        replaces=replaces,
        check=lambda directory: _check_written(directory, contents),
        written=written,
        notes=of_output.append,
    )
    return CompressReport(
        source=name,
        path=target,
        source_bytes=source_bytes,
        bytes=nbytes,
        seconds=time.perf_counter() - started,
        tensors=stored.reports(),
        notes=(*contents.provenance.notes, *_larger(nbytes, source_bytes), *of_output),
    )


def _calibrated(recipe: Recipe, text: str | Path | None, tokens: int | None) -> Recipe:
    """The recipe with what the caller says of its calibration."""
    from honed.compress.recipe import read_recipe

    given = {"text": None if text is None else str(location("calibration", text)), "tokens": tokens}
    asked = {name: value for name, value in given.items() if value is not None}
    if not asked:
        return recipe
    if not recipe.calibrates:
        raise ParameterError(
            "calibration", text if text is not None else tokens, "is asked for by no pass of the recipe"
        )
    found = recipe.as_json()
    return read_recipe({**found, "calibration": {**found["calibration"], **asked}})


def _larger(nbytes: int, source_bytes: int) -> tuple[str, ...]:
    """A note where compressing made a model larger, as int8 does of a 4-bit file."""
    if nbytes <= source_bytes:
        return ()
    return (f"the weights take {nbytes / 1e6:.1f} MB, more than the {source_bytes / 1e6:.1f} MB of the source",)


def _plan(
    checkpoint: Checkpoint, name: str, recipe: Recipe, threads: int, *, portable: bool | None
) -> tuple[Contents, StoredWeights]:
    if checkpoint.kind == "artifact":
        raise UnsupportedError(f"{checkpoint.path}: is compressed already; compress the model that it was made from")
    model = read_any(checkpoint.config, checkpoint.path)
    linears = find_linears(model)
    has_head = linears.head_name is not None and recipe.encodes(linears.head_name.removesuffix(".weight"))
    source = SourceWeights(model, checkpoint.weight, head_apart=has_head)
    recipe, left_dense = without_outliers(recipe, [weight.name for weight in linears.layers], source)
    calibration = None
    if recipe.calibrates:
        calibration = find_calibration(
            checkpoint, model, recipe.calibration, in_detail=recipe.calibrates_in_detail, threads=threads
        )
    vocabulary = FewerTokens(json.loads(checkpoint.tokenizer().fast.to_str())) if recipe.prunes_vocabulary else None
    given = ModelState(checkpoint.config, model, source, notes=left_dense, vocabulary=vocabulary)
    compressed = run_recipe(given, recipe, threads=threads, calibration=calibration.windows if calibration else ())
    stored, state = StoredWeights(compressed), compressed.state
    layers = all_linears(state.model) - {linears.head.name if linears.head else None}
    of_layers = [scheme for name, scheme in stored.schemes.items() if name in layers]
    notes = list(state.notes)
    own_names = family_of(checkpoint.config, checkpoint.path).stored is not None
    side_files = tokenizer_files(checkpoint)
    if state.kept_ids is not None:
        if portable and stored.tied_table is not None:
            raise ParameterError("portable", True, "with prune_vocabulary the table and the head are stored once")
        side_files = files_with_fewer_tokens(side_files, state.kept_ids)
    if portable:
        _check_portable(of_layers, own_names=own_names)
    elif portable is None:
        portable = (
            not own_names and stored.tied_table is None and stored.head is not None and _head_is_in_the_way(of_layers)
        )
        if portable:
            notes.append(
                f"{stored.head}: lies there dense too, as transformers reads no other head beside layers with "
                "zero points; --no-portable (portable=False) leaves that out"
            )

    def weight(name: str) -> Encoded:
        if isinstance(stored.schemes[name], DenseScheme) or name == stored.tied_table:
            check_finite(checkpoint.path, name, source[name])
        return stored.weight(name)

    if portable and any(map(has_minimums, stored.schemes.values())):
        notes.append(_COARSER_ELSEWHERE)
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
        side_files=side_files,
        provenance=Provenance(
            source=name,
            source_kind=checkpoint.kind,
            source_files={
                plain(path.name): FileRecord(path.stat().st_size, file_sha256(path))
                for path in _source_files(checkpoint)
            },
            recipe=recipe.as_json(),
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
    readable = not any(isinstance(scheme, CodebookScheme) or has_minimums(scheme) for scheme in layers)
    return readable and any(isinstance(scheme, Int4Scheme) and scheme.offset == "zero_point" for scheme in layers)


def _check_portable(layers: Sequence[Scheme], *, own_names: bool) -> None:
    if own_names:
        raise ParameterError(
            "portable", True, "other tools hold the weights of this family in other tensors than honed; leave it out"
        )
    count = sum(isinstance(scheme, CodebookScheme) for scheme in layers)
    if count:
        problem = f"no other tool reads codebooks, which the recipe gives {count} layers; leave it out"
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
    """config.json as transformers needs it, whatever the source left out. Of an encoder there is no head."""
    config = dict(source)
    config.pop("auto_map", None)
    if is_encoder(config) or not config.get("architectures"):
        config["architectures"] = [family_of(config).class_name]
    if "dtype" not in config and "torch_dtype" not in config:
        config["dtype"] = "bfloat16"
    return config


def _source_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    if not checkpoint.path.is_dir():
        return checkpoint.files
    return (*checkpoint.files, checkpoint.path / "config.json")


def _read_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """Every file that is read of a model: a directory's weights and what lies beside them."""
    if not checkpoint.path.is_dir():
        return checkpoint.files
    beside = (checkpoint.path / name for name in ("config.json", *copied_names(checkpoint)))
    return (*checkpoint.files, *(path for path in beside if path.exists()))


def _check_written(directory: Path, contents: Contents) -> None:
    """Opens what was written, as a user would, and compares it with what was to be written."""
    artifact = Artifact(directory, remembers=False)
    artifact.verify()
    for name, scheme in contents.schemes.items():
        found = artifact.scheme(name)
        if found != scheme:
            raise ArtifactError(f"{directory}: {name}: reads back as {found}, not {scheme}")


def _public_name(name: str) -> str:
    """A name for the manifest: a path of this machine says nothing elsewhere, its last part does."""
    return plain(Path(name).name if os.sep in name and Path(name).exists() else name)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
