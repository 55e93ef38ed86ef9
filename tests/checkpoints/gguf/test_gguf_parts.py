"""Models in several GGUF files: any part opens all of them, and what is missing or foreign is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from gguf_builder import random_arrays, settings
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.open import open_checkpoint
from honed.errors import FormatError, SourceError

Q8_0 = gguf.GGMLQuantizationType.Q8_0


def write_split(
    folder: Path, arrays: Mapping[str, NDArray[np.float32]], most: int = 8, *, own_first: bool = False
) -> list[Path]:
    """Written by the gguf package, `most` tensors a part; with `own_first` the first part has metadata alone."""
    writer = gguf.GGUFWriter(
        folder / "m.gguf", "llama", split_max_tensors=most, small_first_shard=own_first, use_temp_file=False
    )
    for key, value in settings("llama").items():
        if key.startswith("."):
            add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
            add(f"llama{key}", value)
    for name, array in arrays.items():
        if array.ndim == 2:
            writer.add_tensor(name, gguf.quants.quantize(array, Q8_0), raw_dtype=Q8_0)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("*.gguf"))


@pytest.mark.parametrize("own_first", [False, True])
def test_any_part_opens_all_of_them(tmp_path: Path, own_first: bool) -> None:
    arrays = random_arrays("llama")
    arrays["output.weight"] = arrays["token_embd.weight"] + 1  # in the last part, where nothing else says it is there
    parts = write_split(tmp_path, arrays, own_first=own_first)
    assert len(parts) == (4 if own_first else 3)
    whole = tmp_path / "whole"
    whole.mkdir()
    (single,) = write_split(whole, arrays, most=0)
    expected = GgufCheckpoint(single)
    for part in parts:
        found = open_checkpoint(str(part))
        assert (found.path, found.files) == (parts[0], tuple(parts))
        assert found.config == expected.config
        assert found.config["tie_word_embeddings"] is False
        assert set(found.names) == set(expected.names)
        for name in found.names:
            np.testing.assert_array_equal(found.weight(name).decode(), expected.weight(name).decode())


def test_a_link_to_the_parts_of_a_cache(tmp_path: Path) -> None:
    """As the snapshots of a hub cache have them: links beside each other to blobs of other names."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for number, part in enumerate(write_split(tmp_path / "blobs", random_arrays("llama"))):
        blob = part.rename(part.with_name(f"{number:032x}"))
        (tmp_path / "snapshot" / part.name).symlink_to(blob)
    assert len(GgufCheckpoint(tmp_path / "snapshot" / "m-00002-of-00003.gguf").files) == 3


def test_missing_parts_are_named(tmp_path: Path) -> None:
    parts = write_split(tmp_path, random_arrays("llama"), most=3)
    parts[1].unlink()
    with pytest.raises(SourceError, match=r"of these m-00002-of-00007.gguf is missing beside it"):
        GgufCheckpoint(parts[0])
    for part in parts[2:6]:
        part.unlink()
    with pytest.raises(SourceError, match=r"m-00002-of-00007.gguf, m-00003-.*, m-00004-.* and 2 more are missing"):
        GgufCheckpoint(parts[6])


def test_something_else_in_the_place_of_a_part(tmp_path: Path) -> None:
    parts = write_split(tmp_path, random_arrays("llama"))
    parts[1].unlink()
    os.mkfifo(parts[1])
    with pytest.raises(SourceError, match=r"m-00002-of-00003.gguf is missing"):
        GgufCheckpoint(parts[0])
    parts[1].unlink()
    parts[1].write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 3)
    with pytest.raises(FormatError, match=r"m-00002-of-00003.gguf: magic"):
        GgufCheckpoint(parts[0])


def test_a_part_under_another_name(tmp_path: Path) -> None:
    parts = write_split(tmp_path, random_arrays("llama"))
    shutil.copy(parts[1], tmp_path / "alone.gguf")
    with pytest.raises(FormatError, match=r"split.count: is 3: .* its name must end in -00002-of-00003.gguf"):
        GgufCheckpoint(tmp_path / "alone.gguf")
    shutil.copy(parts[2], parts[1])
    with pytest.raises(FormatError, match=r"m-00002-of-00003.gguf: split.no: is 2, must be 1 in a file of this name"):
        GgufCheckpoint(parts[0])


def test_parts_of_another_model(tmp_path: Path) -> None:
    parts = write_split(tmp_path, random_arrays("llama"))
    other = tmp_path / "other"
    other.mkdir()
    fewer = random_arrays("llama")
    del fewer["blk.1.ffn_down.weight"]
    foreign = write_split(other, fewer)
    assert [part.name for part in foreign] == [part.name for part in parts]
    shutil.copy(foreign[2], parts[2])
    with pytest.raises(FormatError, match=r"split.tensors.count: is 20, and the 3 parts have 19 tensors: one of them"):
        GgufCheckpoint(parts[0])
    renamed = {("blk.0.attn_q.weight" if name == "blk.1.ffn_down.weight" else name): array
               for name, array in random_arrays("llama").items() if name != "blk.0.attn_q.weight"}  # fmt: skip
    renamed["blk.1.ffn_gate.bias"] = np.ones(96, np.float32)
    shutil.rmtree(other)
    other.mkdir()
    shutil.copy(write_split(other, renamed)[2], parts[2])
    with pytest.raises(
        FormatError, match=r"m-00003-of-00003.gguf: blk.*: the tensor is in m-0000[12]-of-00003.gguf too"
    ):
        GgufCheckpoint(parts[0])


def test_a_part_that_is_cut_short(tmp_path: Path) -> None:
    parts = write_split(tmp_path, random_arrays("llama"))
    os.truncate(parts[2], parts[2].stat().st_size - 4)
    with pytest.raises(FormatError, match=r"m-00003-of-00003.gguf: .*: offset: its .* end after the file's"):
        GgufCheckpoint(parts[0])


def test_a_split_of_one_is_no_split(tmp_path: Path) -> None:
    from gguf_builder import write_model

    path = write_model(tmp_path / "m.gguf", changed={"split.count": 1, "split.no": 0})
    assert GgufCheckpoint(path).files == (path,)
