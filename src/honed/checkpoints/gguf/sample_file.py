"""A tiny model as a GGUF file, its weights as the files of its family hold them: what `honed families` reads back.

In float32 and without a tokenizer. Not here: files for use, which `export.py` writes; files for other tools, which
`bench/peers/gguf_model.py` writes.
"""

from __future__ import annotations

from pathlib import Path

from honed.checkpoints.base import Checkpoint
from honed.checkpoints.gguf.file_writer import FileLayout
from honed.checkpoints.gguf.model_keys import model_keys, rotary_factors
from honed.checkpoints.gguf.tensor_plan import plan_tensors
from honed.models.family import Family


def write_sample_file(path: Path, family: Family, checkpoint: Checkpoint) -> Path:
    """The weights of a checkpoint of the family, which has names in GGUF files."""
    if family.gguf is None:
        raise ValueError(f"{family.model_type} has no names in GGUF files")
    config = checkpoint.config
    model = family.read(config, checkpoint.path)
    tensors = plan_tensors(family, config, model, checkpoint.weight, "F32")
    layout = FileLayout(model_keys(family, config, model), tensors, rotary_factors(config, model))
    with path.open("wb") as file:
        layout.write_header(file)
        layout.write_tensors(file, checkpoint.weight, lambda planned, error: None)
    return path
