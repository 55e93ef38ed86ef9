"""A checkpoint's weights as a plain bfloat16 Hugging Face directory, for systems that read nothing else.

Quantized weights are decoded, so the copy computes with the same values (rounded to bfloat16) at the size and speed
of an uncompressed model. A head that is encoded apart from a tied embedding becomes one of its own. Copies are kept in
the user's cache under the fingerprint of the files they came from.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from honed.checkpoints.artifact.staging import staged_directory
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.content_hash import fingerprint
from honed.checkpoints.download.cache import cache_directory
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter, file_size
from honed.encodings.base import Encoded
from honed.encodings.dense import float32_to_bfloat16
from honed.plan.source import HeadEncoding
from honed.text.tokenizer import Tokenizer

HEAD = "lm_head.weight"
_METADATA = {"format": "pt"}


def dense_directory(checkpoint: Checkpoint, cache: Path | None = None) -> Path:
    """The checkpoint's own directory where it is already dense, else its copy, made now if it is not there yet.

    The copy appears whole or not at all; ArtifactError where the disk is full or another process is making it.
    """
    if checkpoint.kind == "huggingface" and all(checkpoint.weight(name).kind == "dense" for name in checkpoint.names):
        return checkpoint.path
    root = cache if cache is not None else cache_directory() / "dense"
    target = root / fingerprint(checkpoint.path, checkpoint.files)
    if target.is_dir():
        return target
    weights: dict[str, Callable[[], Encoded]] = {name: partial(checkpoint.weight, name) for name in checkpoint.names}
    head = checkpoint.head() if isinstance(checkpoint, HeadEncoding) else None
    if head is not None:
        weights[HEAD] = lambda: head
    specs = [TensorSpec(name, "BF16", read().shape) for name, read in weights.items()]
    needed = file_size(specs, _METADATA)
    with staged_directory(target, needed=needed) as directory:
        config = {key: value for key, value in checkpoint.config.items() if key != "quantization_config"}
        tied = HEAD not in weights
        _write_json(directory / "config.json", {**config, "torch_dtype": "bfloat16", "tie_word_embeddings": tied})
        _write_tokenizer(directory, checkpoint.tokenizer())
        with SafetensorsWriter(directory / "model.safetensors", specs, _METADATA) as writer:
            for name, read in weights.items():
                writer.write(name, float32_to_bfloat16(read().decode()))
    return target


def _write_tokenizer(directory: Path, tokenizer: Tokenizer) -> None:
    """tokenizer.json and the few settings that transformers reads beside it."""
    tokenizer.fast.save(str(directory / "tokenizer.json"))
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **tokenizer.special_tokens}
    _write_json(directory / "tokenizer_config.json", settings)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
