"""What each recipe does to a model: its size, its quality, its speed, and what it takes to make; and what llama.cpp's
quantizer does to the same weights.

Each recipe is made in a process of its own and measured in turns with the source in bfloat16 and its int8 artifact.
Results are kept as they come, and what was measured with the same model, recipe and settings is not measured again. Not
here: how results are shown (`bench/recipe_page.py`, `bench/recipe_plot.py`)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.api.benchmark import BenchModel, benchmark
from honed.api.calibration_sampling import sample_windows
from honed.api.compress import compress
from honed.api.evaluate import Progress, evaluate
from honed.api.recipes import Measured
from honed.backends.options import RunOptions
from honed.bench.isolate import WorkerError, call_isolated, peak_memory_bytes
from honed.bench.machine import machine
from honed.bench.peers import llama_cpp_quantizer as quantizer
from honed.bench.peers.conversion import checkpoint_fingerprint
from honed.bench.peers.llama_cpp_package import VERSION as LLAMA_VERSION
from honed.bench.ratio import paired_ratio
from honed.bench.recipe_rows import LLAMA, OWN, SOURCE, Quality, RecipeResults, RecipeRow, Speed, read_results
from honed.bench.report import Row
from honed.bench.workload import Workload
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.gguf.header import parse_header
from honed.checkpoints.job.folder import path_of_job
from honed.checkpoints.mapping import map_file
from honed.checkpoints.open import open_checkpoint
from honed.compress.builtin_recipes import RECIPES
from honed.compress.recipe import read_recipe
from honed.errors import ArtifactError, HonedError, ParameterError
from honed.evaluate.certificate import Certificate
from honed.evaluate.store import write_json
from honed.evaluate.windows import WINDOW_TOKENS
from honed.models.registry import is_encoder, read_model
from honed.version import __version__

INT8, ORIGINAL = "int8", "original"
_TIMEOUT_S = 12 * 3600.0
_IMPORTANCE_TOKENS = 65536
DENSE = RunOptions(dtype="bfloat16")


@dataclass(frozen=True)
class RecipeBench:
    """What is measured: recipes and llama.cpp's types by name, on one model. tokens: to judge on. calibration_tokens:
    for recipes that learn in detail; None is as many as each says. folder: where artifacts and files are made. results:
    the JSON file that is read and written."""

    model: str
    recipes: Sequence[str]
    files: Sequence[str]
    workload: Workload
    folder: Path
    results: Path
    tokens: int = 32768
    calibration_tokens: int | None = None
    again: bool = False

    def __post_init__(self) -> None:
        for kind, names, known in (("recipe", self.recipes, RECIPES), ("file", self.files, quantizer.TYPES)):
            for name in names:
                if name not in known:
                    raise ParameterError(kind, name, f"must be one of {', '.join(known)}")


def bench_recipes(asked: RecipeBench, progress: Progress) -> RecipeResults:
    """Measures what is not in the results yet, and writes them after each. A recipe that fails becomes a row that says
    so, and the others go on. Errors: those of opening the model, ParameterError for one that does not generate."""
    checkpoint = open_checkpoint(asked.model)
    if is_encoder(checkpoint.config):
        raise ParameterError("model", asked.model, "must be one that generates; recipes are judged by what it predicts")
    found = read_results(asked.results)
    bench = _Bench(asked, checkpoint, progress)
    found = RecipeResults(bench.about(), found.rows)
    works: list[tuple[str, str, Callable[[str, str], RecipeRow]]] = [(SOURCE, ORIGINAL, bench.source_row)]
    works += [(OWN, name, bench.recipe_row) for name in asked.recipes]
    works += [(LLAMA, name, bench.file_row) for name in asked.files]
    for number, (system, name, make) in enumerate(works):
        depends_on = bench.depends_on(system, name)
        known = found.find(system, name)
        if known is not None and known.depends_on == depends_on and known.failed is None and not asked.again:
            continue
        progress(f"{system} {name}", number, len(works))
        try:
            row = make(name, depends_on)
        except HonedError as error:
            row = RecipeRow(name, system, depends_on, failed=str(error))
        found = found.with_row(row)
        write_json(asked.results, found.to_json())
    return found


def summary(results: RecipeResults) -> dict[str, Any]:
    """For `honed recipes`: the measured recipes in full, by name."""
    model, source_bytes = str(results.about["model"]), int(results.about["source_bytes"])
    found: dict[str, Any] = {}
    for row in results.rows:
        if row.system != OWN or row.bytes is None or row.bits_per_weight is None:
            continue
        if row.quality is not None and row.speed is not None:
            speeds = row.speed.decode_of_dense, row.speed.prefill_of_dense
            one = Measured(model, row.bytes, source_bytes, row.bits_per_weight, *row.quality.kl, *speeds)
            found[row.name] = dataclasses.asdict(one)
    return found


def compress_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, Any]:
    """The function that `isolate` calls. arguments: model, recipe, out, calibration_tokens, threads."""
    out = Path(arguments["out"])
    tokens = arguments["calibration_tokens"] if read_recipe(arguments["recipe"]).calibrates_in_detail else None

    def run(**how: bool) -> dict[str, Any]:
        report = compress(
            arguments["model"],
            arguments["recipe"],
            out=out,
            overwrite=True,
            calibration_tokens=tokens,
            threads=arguments["threads"],
            **how,  # type: ignore[arg-type]
        )
        return {"seconds": report.seconds, "bytes": report.bytes, "peak_bytes": peak_memory_bytes()}

    if not path_of_job(out).exists():
        return run()
    try:
        return run(resume=True)
    except ArtifactError:  # begun with something else
        return run(restart=True)


class _Bench:
    def __init__(self, asked: RecipeBench, checkpoint: Checkpoint, progress: Progress) -> None:
        self._asked, self._checkpoint, self._progress = asked, checkpoint, progress
        self._model = read_model(checkpoint.config, checkpoint.path)
        self._fingerprint = checkpoint_fingerprint(checkpoint)
        self._values = sum(math.prod(weight.shape) for weight in self._model.weights().values())
        self._window = min(WINDOW_TOKENS, self._model.dimensions.context)

    def about(self) -> dict[str, Any]:
        asked = self._asked
        return {
            "model": asked.model,
            "source_bytes": sum(path.stat().st_size for path in self._checkpoint.files),
            "tokens": self._windows * self._window,
            "runs": asked.workload.runs,
            "workload": asked.workload.label,
            "calibration_tokens": asked.calibration_tokens,
            "llama.cpp": f"llama-cpp-python {LLAMA_VERSION}",
            "machine": machine(),
        }

    def depends_on(self, system: str, name: str) -> str:
        asked = self._asked
        recipe = read_recipe(name) if system == OWN else None
        made = [name, LLAMA_VERSION if system == LLAMA else None] if recipe is None else recipe.as_json()
        learns = system == LLAMA or (recipe is not None and recipe.calibrates_in_detail)
        calibration = asked.calibration_tokens if learns else None
        settings = [asked.tokens, calibration, dataclasses.asdict(asked.workload)]
        text = json.dumps([self._fingerprint, made, settings, __version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def source_row(self, name: str, depends_on: str) -> RecipeRow:
        source_bytes = sum(path.stat().st_size for path in self._checkpoint.files)
        row = self._row(name, SOURCE, depends_on, source_bytes, self._quality(self._asked.model, RunOptions()))
        return dataclasses.replace(row, speed=self._speed(self._asked.model))

    def recipe_row(self, name: str, depends_on: str) -> RecipeRow:
        out = self._asked.folder / name
        made = self._made(name, out)
        row = self._row(name, OWN, depends_on, made["bytes"], self._quality(str(out), RunOptions()))
        took = {"made_s": made["seconds"], "made_peak_bytes": made["peak_bytes"]}
        return dataclasses.replace(row, speed=self._speed(str(out)), **took)

    def file_row(self, name: str, depends_on: str) -> RecipeRow:
        folder, threads = self._asked.folder / "llama.cpp", self._asked.workload.threads
        folder.mkdir(parents=True, exist_ok=True)
        dense = quantizer.dense_file(self._checkpoint, self._announce)
        matrix = folder / f"importance-{self._fingerprint[:16]}.gguf"
        if not matrix.exists():
            text, partial = folder / "importance.txt", folder / "importance-partial.gguf"
            text.write_text(self._own_text(), "utf-8")
            quantizer.importance_matrix(dense, text, partial, threads=threads, announce=self._announce)
            partial.replace(matrix)
        file = folder / f"{name}.gguf"
        quantizer.quantized(dense, matrix, name, file, threads=threads, announce=self._announce)
        tensors = parse_header(map_file(file), file).tensors.values()
        quality = self._quality(str(file), RunOptions(dtype="float32"))
        return self._row(name, LLAMA, depends_on, sum(tensor.nbytes for tensor in tensors), quality)

    @property
    def _windows(self) -> int:
        return max(self._asked.tokens // self._window, 1)

    def _made(self, name: str, out: Path) -> dict[str, Any]:
        self._announce(f"compressing to {name}")
        job = {
            "model": self._asked.model,
            "recipe": name,
            "out": str(out),
            "calibration_tokens": self._asked.calibration_tokens,
            "threads": self._asked.workload.threads,
        }
        made: dict[str, Any] = call_isolated(
            "honed.api.bench_recipes:compress_in_worker", job, timeout_s=_TIMEOUT_S, environment=dict(os.environ)
        )
        return made

    def _quality(self, name: str, options: RunOptions) -> Quality:
        threads = self._asked.workload.threads
        found = evaluate(
            name,
            self._asked.model,
            dataclasses.replace(options, threads=threads),
            windows=self._windows,
            window_tokens=self._window,
            progress=self._progress,
        )
        return _quality(found)

    def _speed(self, name: str) -> Speed:
        """In turns with the source in bfloat16 and with its int8 artifact."""
        int8 = self._asked.folder / INT8
        if not (int8 / "honed.json").exists():
            self._made(INT8, int8)
        models = [BenchModel(self._asked.model, DENSE), BenchModel(str(int8)), BenchModel(name)]
        if name == str(int8):
            models.pop()
        report = benchmark(
            models, self._asked.workload, progress=lambda done, total, label: self._progress(label, done, total)
        )
        for failure in report.own_failures():
            raise WorkerError(f"{failure.model}: {failure.reason}")
        dense, eight, *own = report.measured()
        return _speed(own[0] if own else eight, dense, eight)

    def _row(self, name: str, system: str, depends_on: str, nbytes: int, quality: Quality) -> RecipeRow:
        return RecipeRow(name, system, depends_on, nbytes, 8 * nbytes / self._values, quality=quality)

    def _own_text(self) -> str:
        """What the model writes itself, as recipes calibrate on."""
        self._announce("writing text for the importance matrix")
        count = (self._asked.calibration_tokens or _IMPORTANCE_TOKENS) // self._window
        threads = self._asked.workload.threads
        windows = sample_windows(self._checkpoint, length=self._window, count=max(count, 2), seed=0, threads=threads)
        fast = self._checkpoint.tokenizer().fast
        return "\n".join(fast.decode(window) for window in windows)

    def _announce(self, what: str) -> None:
        self._progress(what, 0, 1)


def _quality(found: Certificate) -> Quality:
    def three(name: str) -> tuple[float, float, float]:
        estimate = getattr(found, name)
        return estimate.value, estimate.low, estimate.high

    reference = found.reference_perplexity.value
    return Quality(three("kl_mean"), three("top1_agreement"), three("perplexity"), reference, found.tokens)


def _speed(row: Row, dense: Row, eight: Row) -> Speed:
    def ratio(of: str, other: Row) -> float:
        return paired_ratio(getattr(row, of).values, getattr(other, of).values).median

    return Speed(
        prefill_tok_s=row.prefill_tok_s.median,
        decode_tok_s=row.decode_tok_s.median,
        prefill_of_dense=ratio("prefill", dense),
        decode_of_dense=ratio("decode", dense),
        prefill_of_int8=ratio("prefill", eight),
        decode_of_int8=ratio("decode", eight),
        runs=len(row.samples),
    )
