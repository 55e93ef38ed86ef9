"""The import order of the project, enforced over the syntax tree, and what must not be imported at all."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "honed"

# From the top: a place imports only from lines below its own.
ORDER = (
    ("cli",),
    ("api",),
    ("evaluate", "bench"),
    ("runtime", "compress"),
    ("backends",),
    ("checkpoints",),
    ("plan",),
    ("models",),
    ("encodings", "text"),
    ("ops",),
    ("native",),
    ("errors", "later", "records"),
)
LINE = {place: number for number, places in enumerate(ORDER) for place in places}

# Heavy libraries and the only places that may name them.
ROOMS = {
    "torch": ("ops/reference.py", "backends/pytorch.py", "compress/", "bench/peers/"),
    "transformers": ("bench/peers/",),
    "fastapi": ("server/",),
    "ray": ("distributed/",),
    "onnxruntime": ("backends/onnxruntime.py",),
    "openvino": ("backends/openvino.py",),
    "gguf": ("bench/peers/gguf_model.py",),
    "compressed_tensors": (),
    "honed._native": ("native.py",),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def place(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def test_every_folder_has_a_line() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert folders <= set(LINE)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    own = place(path)
    if own == "__init__":
        return  # the public API stands above everything
    for name, line in imported(path):
        parts = name.split(".")
        if parts[0] != "honed" or len(parts) < 2:
            continue
        other = parts[1]
        if other in (own, "__version__"):
            continue
        if other == "_native":
            assert own == "native", f"{path}:{line}: the extension is reached through honed.native"
            continue
        assert other in LINE, f"{path}:{line}: {name} is in no known place"
        assert LINE[own] < LINE[other], f"{path}:{line}: {own} may not import {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_imports_stay_in_their_rooms(path: Path) -> None:
    where = str(path.relative_to(PACKAGE))
    for name, line in imported(path):
        for library, rooms in ROOMS.items():
            if name == library or name.startswith(library + "."):
                assert any(where.startswith(room) for room in rooms), f"{where}:{line}: {library} has no room here"


def test_import_and_native_run_need_no_torch(tiny_llama: Path) -> None:
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "gguf", "compressed_tensors"):
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Refuse())
import honed
with honed.load({str(tiny_llama)!r}) as model:
    assert len(model.generate([1, 2, 3], max_tokens=4, temperature=0).tokens) == 4
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_downloads_nothing_and_is_light() -> None:
    program = (
        "import sys, honed; print(sorted(set(sys.modules) & {'torch', 'jinja2', 'typer', 'rich', 'huggingface_hub'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_second_start_that_is_greedy_needs_no_numpy(tiny_llama: Path, tmp_path: Path) -> None:
    program = f"""
import sys, honed, honed.checkpoints.identity
honed.checkpoints.identity.SETTLED_S = -1  # the files may have been made just now
with honed.load({str(tiny_llama)!r}) as model:
    print(model.generate("a text", max_tokens=3, temperature=0).tokens, "numpy" in sys.modules)
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
        for _ in range(2)
    )
    assert first.stdout.strip().endswith("True")
    assert second.stdout == first.stdout.replace("True", "False")
