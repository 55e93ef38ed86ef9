"""The commands that llama.cpp's programs are given, and what is said where one fails."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from honed.bench.peers import llama_cpp_quantizer as quantizer
from honed.bench.peers.base import PeerError
from honed.bench.peers.environment import Environment

SCRIPT = '#!/bin/sh\necho "$(basename $0) $*" >> "$(dirname $0)/calls"\n'


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that write down how they were called, in the place of the compiled ones."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("llama-imatrix", "llama-quantize"):
        (folder / name).write_text(SCRIPT)
        (folder / name).chmod(0o700)
    monkeypatch.setattr(Environment, "python", lambda self, announce: tmp_path / "bin" / "python")
    return folder


def test_programs_are_called_as_they_take_it(tools: Path, tmp_path: Path) -> None:
    said: list[str] = []
    dense, text, matrix, file = (tmp_path / name for name in ("dense.gguf", "own.txt", "matrix.gguf", "Q4_K_M.gguf"))
    quantizer.importance_matrix(dense, text, matrix, threads=2, announce=said.append)
    quantizer.quantized(dense, matrix, "Q4_K_M", file, threads=2, announce=said.append)
    first, second = (tools / "calls").read_text().splitlines()
    assert first == f"llama-imatrix -m {dense} -f {text} -o {matrix} -c 512 -b 512 -t 2 --no-ppl"
    assert second == f"llama-quantize --imatrix {matrix} {dense} {file} Q4_K_M 2"
    assert said == ["llama-imatrix on own.txt", "llama-quantize to Q4_K_M"]


def test_the_last_line_of_one_that_fails_is_told(tools: Path, tmp_path: Path) -> None:
    (tools / "llama-quantize").write_text("#!/bin/sh\necho first >&2\necho 'no such type' >&2\nexit 3\n")
    with pytest.raises(PeerError, match="llama-quantize failed with exit code 3: no such type"):
        quantizer.quantized(tmp_path, tmp_path, "Q9", tmp_path / "x", threads=1, announce=lambda _: None)
    (tools / "llama-quantize").chmod(stat.S_IRUSR)
    (tools / "llama-quantize").unlink()
    with pytest.raises(PeerError, match="llama-quantize cannot be run"):
        quantizer.quantized(tmp_path, tmp_path, "Q4_0", tmp_path / "x", threads=1, announce=lambda _: None)


def test_it_is_compiled_like_the_benchmarks_and_apart_from_them() -> None:
    from honed.bench.peers.llama_cpp_tools import tools_environment

    own, theirs = quantizer.quantizer_environment(), tools_environment()
    targets = own.builds[-2].command
    assert targets[-2:] == ("llama-imatrix", "llama-quantize")
    assert own.builds[:3] == theirs.builds[:3]
    assert own.directory_name != theirs.directory_name
