"""From a model name to an open checkpoint: the kind is told from the files."""

from __future__ import annotations

from honed.checkpoints.base import Checkpoint
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.members import find_member
from honed.checkpoints.source import resolve

MANIFEST = "honed.json"


def open_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """Opens an alias, a directory, a GGUF file, a wheel or a Hugging Face id (see `source.py`).

    Reads headers only. Errors: SourceError if the name leads nowhere, FormatError and UnsupportedError for the files.
    """
    path = resolve(name, revision).path
    if path.is_file():
        from honed.checkpoints.gguf.checkpoint import GgufCheckpoint

        return GgufCheckpoint(path)
    if find_member(path, MANIFEST) is not None:
        from honed.checkpoints.artifact.checkpoint import Artifact

        return Artifact(path)
    directory = Directory(path)
    quantization = directory.config.get("quantization_config")
    if isinstance(quantization, dict) and quantization.get("quant_method") == "compressed-tensors":
        from honed.checkpoints.compressed_tensors.checkpoint import CompressedCheckpoint

        return CompressedCheckpoint(directory)
    if isinstance(quantization, dict) and quantization.get("quant_method") in ("gptq", "awq"):
        from honed.checkpoints.gptq_awq.checkpoint import GptqAwqCheckpoint

        return GptqAwqCheckpoint(directory)
    return HuggingFaceCheckpoint(directory)
