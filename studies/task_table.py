"""How well and how fast honed and other systems label a test set with the same trained encoder, in one run.

    python studies/task_table.py classes TEST.tsv MODEL [ARTIFACT ...] [--against onnxruntime,openvino,pytorch]
    python studies/task_table.py tags TEST.conll MODEL [ARTIFACT ...]

classes: a table with the columns `sentence` and `label` (an id, or the name of a label). tags: CoNLL columns, a word and
its tag, a line without words between sentences. MODEL is a directory that transformers reads; artifacts are made of it.
Every system gets the same token ids, sorted by length, 32 at a time; systems take turns. Accuracy, or F1 of entities
(of all words that start a piece), with 95 % intervals over texts drawn again, those of gaps on the same draws as the
float32 of PyTorch.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.api.encode_benchmark import REFERENCE, encoder_peer, encoder_peer_names
from honed.backends.options import RunOptions
from honed.bench.encoders.batched import batched
from honed.bench.encoders.contender import EncodeContender, EncodePlan
from honed.bench.encoders.report import make_encode_report
from honed.bench.encoders.session import measure_encoders
from honed.bench.encoders.workload import EncodeWorkload
from honed.bench.machine import machine
from honed.bench.report import OWN
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.huggingface.labels import read_labels
from honed.checkpoints.open import open_checkpoint
from honed.evaluate.metrics.sequences import entities
from honed.models.registry import read_encoder

BATCH = 32
RESAMPLES = 2000


@dataclass(frozen=True)
class Text:
    """Token ids, the label ids that are right, and which tokens they are of (for classes none)."""

    ids: tuple[int, ...]
    labels: tuple[str, ...]
    places: tuple[int, ...]


def classes(path: Path, checkpoint: Checkpoint, names: Sequence[str]) -> Iterator[Text]:
    tokenizer = checkpoint.tokenizer()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            label = row["label"]
            name = names[int(label)] if label.isdigit() and label not in names else label
            yield Text(tuple(tokenizer.fast.encode(row["sentence"]).ids), (name,), ())


def tags(path: Path, checkpoint: Checkpoint, names: Sequence[str]) -> Iterator[Text]:
    tokenizer = checkpoint.tokenizer()
    sentence: list[tuple[str, str]] = []
    for line in [*path.read_text("utf-8").splitlines(), ""]:
        parts = line.split()
        if parts:
            sentence.append((parts[0], parts[-1]))
            continue
        if sentence:
            words, right = zip(*sentence, strict=True)
            found = tokenizer.fast.encode(list(words), is_pretokenized=True)
            first: dict[int, int] = {}
            for place, word in enumerate(found.word_ids):
                if word is not None:
                    first.setdefault(word, place)
            kept = [word for word in range(len(words)) if word in first]
            yield Text(tuple(found.ids), tuple(right[word] for word in kept), tuple(first[word] for word in kept))
        sentence = []


def counts(text: Text, logits: Sequence[float], names: Sequence[str]) -> tuple[int, int, int]:
    """Right, given and wanted: labels of a text, or entities in it."""
    rows = np.array(logits).reshape(-1, len(names))
    if not text.places:
        return int(names[int(rows[0].argmax())] == text.labels[0]), 1, 1
    given = [names[int(rows[place].argmax())] for place in text.places]
    found, wanted = set(entities(given)), set(entities(text.labels))
    return len(found & wanted), len(found), len(wanted)


def score(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., 3] to F1, which of one label a text is accuracy."""
    right, given, wanted = np.moveaxis(values, -1, 0)
    return 2 * right / np.maximum(given + wanted, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("asked", choices=["classes", "tags"])
    parser.add_argument("test", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--against", default="onnxruntime,openvino,pytorch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    checkpoint = open_checkpoint(given.models[0])
    labels = read_labels(checkpoint)
    if labels is None or labels.kind != given.asked:
        raise SystemExit(f"{given.models[0]}: has no head for {given.asked}")
    read = classes if given.asked == "classes" else tags
    texts = list(read(given.test, checkpoint, labels.names))
    model = read_encoder(checkpoint.config, checkpoint.path)
    longest = max(len(text.ids) for text in texts)
    workload = EncodeWorkload(texts=len(texts), tokens=max(longest, 3), threads=given.threads, runs=given.runs)
    plan = EncodePlan(
        workload=workload,
        texts=tuple(text.ids for text in texts),
        pooling="mean",
        normalize=False,
        types=model.types > 0,
        heads=model.dimensions.heads,
        width=model.width,
        asked=given.asked,
    )
    contenders: list[EncodeContender] = []
    for name in given.models:
        opened = open_checkpoint(name)
        options = replace(RunOptions(), threads=given.threads).to_json()
        contenders.append(
            EncodeContender(
                system=OWN,
                model=name,
                open_function="honed.api.encode_runner:open_runner",
                arguments={"model": name, "asked": given.asked, "options": options},
                texts=plan.texts,
                file_bytes=sum(path.stat().st_size for path in opened.files),
                workload=workload,
            )
        )
    for name in encoder_peer_names([given.against]):
        contenders += encoder_peer(name).contenders(given.models[0], checkpoint, plan, print)
    measured = measure_encoders([batched(one, BATCH) for one in contenders])
    report = make_encode_report(measured, REFERENCE)
    print(machine()["features"]["model"], f"{len(texts)} texts, {sum(len(text.ids) for text in texts)} tokens")
    exact = next((row for row in report.measured() if row.system == REFERENCE), report.measured()[0])
    draws = np.random.default_rng(0).integers(len(texts), size=(RESAMPLES, len(texts)))

    def counted(row: object) -> NDArray[np.float64]:
        vectors = row.samples[0].vectors  # type: ignore[attr-defined]
        return np.array([counts(t, v, labels.names) for t, v in zip(texts, vectors, strict=True)], np.float64)

    base = counted(exact)
    drawn_base = score(base[draws].sum(1))
    print("| system | model | weights | MB | score | gap to float32, points | texts/s | of it |")
    print("| --- | --- | --- | ---: | --- | --- | ---: | ---: |")
    for row in report.measured():
        own = counted(row)
        drawn = score(own[draws].sum(1))
        low, high = np.quantile(drawn, [0.025, 0.975])
        gap = 100 * (drawn - drawn_base)
        gap_low, gap_high = np.quantile(gap, [0.025, 0.975])
        speed = row.speed.median
        print(
            f"| {row.system} | {Path(row.model).name} | {row.dtype} | {(row.file_bytes or 0) / 1e6:.1f} "
            f"| {100 * score(own.sum(0)):.2f} ({100 * low:.2f} to {100 * high:.2f}) "
            f"| {100 * (score(own.sum(0)) - score(base.sum(0))):+.2f} ({gap_low:+.2f} to {gap_high:+.2f}) "
            f"| {speed:.0f} | {speed / exact.speed.median:.2f} |"
        )
    for row in report.rows:
        if row not in report.measured():
            print(row)


if __name__ == "__main__":
    main()
