"""honed.json, with its checksum made right after most changes: whoever forges a manifest can compute one."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.checkpoints.artifact.manifest import FileRecord, Provenance, WeightRecord, build_document, read_manifest
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme


def read(data: bytes, folder: Path) -> None:
    path = folder / "honed.json"
    path.write_bytes(data)
    read_manifest(path)


def seeds() -> Sequence[bytes]:
    files = {"config.json": FileRecord(100, "0a" * 32), "model.safetensors": FileRecord(5000, "1b" * 32)}
    provenance = Provenance("tiny", "gguf", {"tiny.gguf": FileRecord(7, "cd" * 32)}, {"passes": []}, ("a note",))
    weights = {
        "a.weight": WeightRecord(Int8Scheme(32, 32), (64, 32), 0.01),
        "b.weight": WeightRecord(Int4Scheme(32, "symmetric", 32), (64, 32), 0.1),
        "norm.weight": WeightRecord(DenseScheme("float32"), (64,)),
    }
    return [json.dumps(build_document(provenance, weights, "a.weight", files)).encode()]


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    mutated = mutate_json(data, chance, others)
    if chance.random() < 0.1:
        return mutated
    try:
        document = json.loads(mutated)
        body = {key: value for key, value in document.items() if key != "checksum"}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return json.dumps({**body, "checksum": digest}).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return mutated


TARGET = Target("manifest", read, seeds, mutate)
