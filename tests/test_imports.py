"""The import order of the project, enforced over the syntax tree, and what must not be imported at all."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from honed.backends.registry import BACKENDS

PACKAGE = Path(__file__).parent.parent / "src" / "honed"

# From the top: a place imports only from lines below its own, and names on one line do not import each other.
ORDER = (
    ("cli",),
    ("server", "tune", "distributed"),
    ("api",),
    ("tasks", "evaluate", "bench", "compress", "runtime"),
    ("backends",),
    ("checkpoints", "plan"),
    ("models",),
    ("encodings", "text", "images", "audio"),
    ("ops",),
    ("native",),
    # Files that every folder may need; each says what it is for.
    ("options",),
    ("parameters",),
    ("parameter_names",),
    ("notes", "regular_files"),
    ("errors", "lazy_imports", "records", "version"),
)
LINE = {place: number for number, places in enumerate(ORDER) for place in places}

# Heavy libraries and the only places that may name them.
ROOMS = {
    "torch": ("ops/reference.py", "backends/pytorch.py", "backends/pytorch_encoder.py", "compress/", "bench/peers/"),
    "transformers": ("bench/peers/",),
    "fastapi": ("server/", "cli/serve.py"),
    "starlette": ("server/",),
    "uvicorn": ("server/", "cli/serve.py"),
    "httptools": ("server/", "cli/serve.py"),
    "uvloop": ("server/",),
    "prometheus_client": ("server/", "cli/serve.py"),
    "llguidance": ("text/grammar.py", "text/grammar_matcher.py", "text/grammar_vocabulary.py"),
    "ray": ("distributed/",),
    "onnxruntime": ("backends/onnxruntime.py",),
    "openvino": ("backends/openvino.py",),
    "gguf": ("bench/peers/gguf_model.py",),
    "compressed_tensors": (),
    "lm_eval": ("api/evaluation/lm_eval_model.py", "cli/lm_eval.py"),
    "sacrebleu": ("evaluate/metrics/translation.py",),
    "rouge_score": ("evaluate/metrics/summaries.py",),
    "sklearn": (),
    "scipy": (),
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


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def used_files(path: Path, names: Collection[str]) -> set[str]:
    """The files of the package that a file imports, or imports from, by their names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(member if member in names else str(node.module) for member in members)
    return found & set(names)


def place(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def test_every_folder_and_file_has_a_line() -> None:
    places = {place(path) for path in modules()}
    assert places - {"__init__"} <= set(LINE)


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


def test_backends_are_chosen_by_name_only() -> None:
    """Whoever imports the file of one has chosen it, and what it runs on is imported with it."""
    homes = {backend.home.partition(":")[0] for backend in BACKENDS.values()}
    users = {str(path.relative_to(PACKAGE)) for path in modules() if homes & {name for name, _ in imported(path)}}
    assert not users


def test_only_verbs_of_the_command_line_use_the_public_api() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and any(alias.name == "honed" for alias in node.names)
    }
    assert all(user.startswith("cli/") for user in users), users


def test_no_circles_between_files() -> None:
    """Whatever the import is for and wherever it stands: what is only needed for types, or is imported in a function to
    start faster, ties two files together all the same, and neither can be read or moved without the other."""
    names = {module_name(path): path for path in [*modules(), *PACKAGE.glob("*.pyi")]}
    uses = {name: used_files(path, names) - {name} for name, path in names.items()}
    # What imports nothing of the rest is in no circle, nor is what imports such files only, and so on.
    while free := {name for name, used in uses.items() if not used}:
        uses = {name: used - free for name, used in uses.items() if name not in free}
    # Nor is what nothing of the rest imports.
    while unused := uses.keys() - set().union(*uses.values()):
        uses = {name: used for name, used in uses.items() if name not in unused}
    assert not uses, {name: sorted(used) for name, used in uses.items()}


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
import sys, honed, honed.checkpoints.file_state
honed.checkpoints.file_state.SETTLED_S = -1  # the files may have been made just now
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
