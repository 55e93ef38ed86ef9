"""Files written here, read by the safetensors library and by our own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter, file_size

SPECS = (
    TensorSpec("odd", "I8", (3, 5)),
    TensorSpec("half", "F16", (7,)),
    TensorSpec("shape", "I64", (2,)),
    TensorSpec("words", "I32", (1, 3)),
    TensorSpec("brain", "BF16", (3,)),
)
VALUES: dict[str, NDArray[Any]] = {
    "odd": np.arange(15, dtype=np.int8).reshape(3, 5),
    "half": np.linspace(0, 1, 7).astype(np.float16),
    "shape": np.array([1, 2**40]),
    "words": np.array([[1, -1, 5]], np.int32),
    "brain": np.array([1, 2, 3], np.uint16),
}


def write(path: Path, order: list[str]) -> bytes:
    with SafetensorsWriter(path, SPECS, {"format": "pt"}) as writer:
        for name in order:
            writer.write(name, VALUES[name])
    return path.read_bytes()


def test_the_library_reads_what_was_written(tmp_path: Path) -> None:
    from safetensors import safe_open

    write(tmp_path / "a.safetensors", list(VALUES))
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == set(VALUES)
        for name in ("odd", "half", "shape", "words"):
            assert np.array_equal(file.get_tensor(name).numpy(), VALUES[name])
    ours = SafetensorsFile(tmp_path / "a.safetensors")
    for name, values in VALUES.items():
        tensor = ours.tensor(name)
        assert np.array_equal(tensor, values)
        assert ours.entries[name].start % values.itemsize == 0


def test_bytes_do_not_depend_on_the_order_and_the_size_is_known_before(tmp_path: Path) -> None:
    first = write(tmp_path / "a", list(VALUES))
    assert first == write(tmp_path / "b", sorted(VALUES, reverse=True))
    assert len(first) == file_size(SPECS, {"format": "pt"})


def test_faults_of_the_caller_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never written"), SafetensorsWriter(tmp_path / "a", SPECS, {}) as writer:
        writer.write("odd", VALUES["odd"])
    with SafetensorsWriter(tmp_path / "b", SPECS, {}) as writer:
        with pytest.raises(ValueError, match="the header says I8"):
            writer.write("odd", VALUES["odd"].T)
        with pytest.raises(ValueError, match="the header says F16"):
            writer.write("half", VALUES["half"].astype(np.float32))
        with pytest.raises(ValueError, match="not in the header"):
            writer.write("other", VALUES["odd"])
        for name, values in VALUES.items():
            writer.write(name, values)
        with pytest.raises(ValueError, match="written before"):
            writer.write("odd", VALUES["odd"])
    with pytest.raises(FileExistsError):
        SafetensorsWriter(tmp_path / "b", SPECS, {})
