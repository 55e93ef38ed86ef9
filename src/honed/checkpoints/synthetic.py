"""Models of a known shape with random weights, to measure speed where no trained model of that size is at hand.

`synthetic:SHAPE` is a checkpoint in bfloat16, made in the user's cache on first use: always the same values, and
scaled so that activations stay of the size of their inputs. Its tokenizer is bytes and a few merges, with a token for
every row of the embedding. What it generates is noise; its speed is that of any model of the shape. Not here: the
shapes and how their weights are scaled (`synthetic_shapes.py`).
"""

from __future__ import annotations

import json
import math
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.download.cache import cache_directory
from honed.checkpoints.json_files import read_object
from honed.checkpoints.synthetic_shapes import SHAPES, Shape
from honed.errors import HonedError, ParameterError, SourceError

# What only the making needs is imported there: this module is part of every start.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX = "synthetic:"
VERSION = 1
"""To be raised with every change of what is made."""
_WEIGHTS = "model.safetensors"
_CHUNK = 1 << 22
"""Values that are drawn at once."""
_METADATA = {"format": "pt"}


def fetch(name: str, cache: Path | None = None) -> Path:
    """The directory of a shape, made now where it is not there yet or not whole.

    ParameterError for an unknown shape; SourceError where it cannot be made, as another process is at it; MachineError
    for a full disk.
    """
    shape = SHAPES.get(name)
    if shape is None:
        import difflib

        near = difflib.get_close_matches(name[:100], SHAPES, n=1)
        hint = f"; did you mean {PREFIX + near[0]}?" if near else ""
        raise ParameterError(
            "model", PREFIX + name, f"must be one of {', '.join(PREFIX + known for known in SHAPES)}{hint}"
        )
    root = cache if cache is not None else cache_directory() / "synthetic"
    target = root / f"{name}-{VERSION}"
    if not _is_whole(target):
        _make(target, shape)
    with suppress(OSError):  # a cache that cannot be written
        os.utime(target / "synthetic.json")  # for `honed models`, which says when it was used
    return target


def _is_whole(target: Path) -> bool:
    """Whether the weights still have the size that they were renamed into place with."""
    try:
        record = read_object(target / "synthetic.json", 4096)
        return bool(record.get("bytes") == (target / _WEIGHTS).stat().st_size)
    except (OSError, HonedError):
        return False


def _make(target: Path, shape: Shape) -> None:
    import numpy as np

    from honed.checkpoints.artifact.staging import staged_directory
    from honed.checkpoints.safetensors.spec import TensorSpec
    from honed.checkpoints.safetensors.writer import SafetensorsWriter, file_size
    from honed.errors import ArtifactError

    tensors = {name: (extents, deviation) for name, extents, deviation in shape.tensors()}
    specs = [TensorSpec(name, "BF16", extents) for name, (extents, _) in tensors.items()]
    size = file_size(specs, _METADATA)
    try:
        with staged_directory(target, needed=size, replaces="anything") as directory:
            _write_json(directory / "config.json", dict(shape.config))
            _write_json(directory / "tokenizer.json", tokenizer(shape.config["vocab_size"]))
            settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
            _write_json(directory / "tokenizer_config.json", settings)
            with SafetensorsWriter(directory / _WEIGHTS, specs, _METADATA) as writer:
                for name, (extents, deviation) in tensors.items():
                    writer.write(
                        name,
                        np.full(extents, 0x3F80, "<u2") if deviation is None else _random(name, extents, deviation),
                    )
            written = (directory / _WEIGHTS).stat().st_size
            if written != size:
                raise SourceError(f"{directory / _WEIGHTS}: has {written} bytes and not {size}")
            _write_json(directory / "synthetic.json", {"bytes": written, "version": VERSION})
    except ArtifactError as error:
        raise SourceError(str(error)) from None


def _random(name: str, extents: tuple[int, ...], deviation: float) -> NDArray[np.uint16]:
    """Normal values as bfloat16 bits. Each tensor has a seed of its own, so the order of making does not matter."""
    import numpy as np

    from honed.encodings.dense import float32_to_bfloat16

    generator = np.random.Generator(np.random.PCG64([VERSION, zlib.crc32(name.encode())]))
    flat = np.empty(math.prod(extents), dtype=np.uint16)
    for first in range(0, flat.size, _CHUNK):
        values = generator.standard_normal(min(_CHUNK, flat.size - first), dtype=np.float32)
        flat[first : first + values.size] = float32_to_bfloat16(values * np.float32(deviation))
    return flat.reshape(extents)


def tokenizer(vocabulary: int) -> dict[str, Any]:
    """A byte-level BPE tokenizer.json of that many tokens: two special ones, the 256 bytes, the merges of a few
    frequent pairs, and as many tokens that no text contains as rows are left."""
    tokens = ["<s>", "</s>", *byte_characters()]
    merges = _MERGES[: vocabulary - len(tokens)]
    tokens += ["".join(pair) for pair in merges]
    tokens += [f"<filler-{index}>" for index in range(len(tokens), vocabulary)]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": tokens[index], **special} for index in (0, 1)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [list(pair) for pair in merges],
        },
    }


_MERGES = (("t", "h"), ("i", "n"), ("e", "r"), ("a", "n"), ("r", "e"), ("o", "n"), ("a", "t"), ("Ġ", "a"), ("Ġ", "th"))


def byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (Radford et al. 2019): itself where it can be
    seen, else one from U+0100 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte) if byte in seen else chr(next(hidden)) for byte in range(256)]


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
