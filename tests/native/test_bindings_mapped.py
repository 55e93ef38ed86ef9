"""A file that is cut short while it is mapped: one line that names it, whatever reads it; other faults as before."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from honed.native import extension

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="faults of other systems may have other names")

SETUP = """
import os, signal, sys
from pathlib import Path
import numpy as np
from honed.checkpoints.mapping import map_file
path = Path(sys.argv[1])

def cut():
    print("cut", flush=True)
    os.truncate(path, 0)
"""
READERS = {
    "a map": """
view = map_file(path)
cut()
view[5000]
""",
    "a part of a map": """
view = map_file(path)[4096:8192].cast("f")
cut()
view[5]
""",
    "a thread": """
import threading
array = np.frombuffer(map_file(path), np.uint8)
cut()
thread = threading.Thread(target=array.sum)
thread.start()
thread.join()
""",
    "a hash of the file": """
import mmap
from honed.checkpoints import content_hash
content_hash._SMALL, content_hash._PIECE = 0, 4096
original, content_hash._let_go = content_hash._let_go, lambda *given: cut()
content_hash.file_sha256(path)
""",
    "a map that was made after others were forgotten": """
import gc
for _ in range(3000):
    map_file(path)
gc.collect()
view = map_file(path)
cut()
view[0]
""",
    "faulthandler enabled before": """
import faulthandler
faulthandler.enable()
view = map_file(path)
cut()
view[0]
""",
}
CHECKPOINTS = {
    "gguf": """
from honed.checkpoints.open import open_checkpoint
checkpoint = open_checkpoint(sys.argv[2])
weight = checkpoint.weight("model.layers.1.mlp.down_proj.weight")
cut()
weight.decode()
""",
    "native": """
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.open import open_checkpoint
sys.path.insert(0, sys.argv[3])
from tiny_models import whole
backend = NativeBackend.load(open_checkpoint(sys.argv[2]), NativeConfig(threads=2, kv_tokens=256, keep_packed=False))
cut()
backend.forward(whole(np.arange(4, dtype=np.int32)))
""",
    "packed": """
from honed.backends import packed_cache
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints import file_state
from honed.checkpoints.open import open_checkpoint
sys.path.insert(0, sys.argv[3])
from tiny_models import whole
file_state.SETTLED_S = 0.0
root = path.parent
packed_cache.cache_directory = lambda: root
config = NativeConfig(threads=2, kv_tokens=256)
NativeBackend.load(open_checkpoint(sys.argv[2]), config)
(path,) = (root / "packed").glob("*.packed")
backend = NativeBackend.load(open_checkpoint(sys.argv[2]), config)
cut()
backend.forward(whole(np.arange(4, dtype=np.int32)))
""",
}


def run(code: str, *given: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code, *map(str, given)], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def line(path: Path) -> str:
    return (
        f"honed: {path}: was cut short or cannot be read while it was in use; put the whole file back and start again\n"
    )


@pytest.mark.parametrize("reader", READERS)
def test_the_file_is_named(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "weights of mine.bin"
    path.write_bytes(bytes(1 << 14))
    assert run(READERS[reader], path) == (1, "cut\n", line(path))


@pytest.mark.parametrize("kind", ["gguf", "native"])
def test_a_gguf_file(tmp_path: Path, kind: str) -> None:
    from gguf_builder import write_model

    path = write_model(tmp_path / "m.gguf")
    assert run(CHECKPOINTS[kind], path, path, Path(__file__).parents[1]) == (1, "cut\n", line(path))


@pytest.mark.parametrize("kind", ["gguf", "native"])
def test_safetensors(tiny_llama: Path, tmp_path: Path, kind: str) -> None:
    import shutil

    directory = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    path = directory / "model.safetensors"
    assert run(CHECKPOINTS[kind], path, directory, Path(__file__).parents[1]) == (1, "cut\n", line(path))


def test_a_packed_file(tiny_llama: Path, tmp_path: Path) -> None:
    status, out, error = run(CHECKPOINTS["packed"], tmp_path / "x", tiny_llama, Path(__file__).parents[1])
    assert (status, out) == (1, "cut\n"), error
    (kept,) = (tmp_path / "packed").glob("*.packed")
    assert error == line(kept)


def test_a_header_that_is_cut_short_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    from gguf_builder import write_model

    path = write_model(tmp_path / "m.gguf")
    code = """
from honed.checkpoints.gguf import cursor
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.errors import FormatError
cursor._PIECE = 64
original = cursor.Cursor.name
def name(self, *given):
    if self.position > 200:
        os.truncate(path, 250)
    return original(self, *given)
cursor.Cursor.name = name
try:
    GgufCheckpoint(path)
except FormatError as error:
    print(error)
"""
    status, out, error = run(code, path)
    assert (status, error) == (0, "")
    assert "m.gguf: size: the file was cut short while it was read" in out


def test_names_are_safe_for_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2Jb\nc"
    path.write_bytes(bytes(1 << 14))
    status, _, error = run(READERS["a map"], path)
    assert status == 1
    assert error.startswith("honed: ")
    assert error[:-1].isprintable()
    assert r"a\x1b[2Jb\nc: was cut short" in error


@pytest.mark.parametrize("give", ["os.kill(os.getpid(), signal.SIGBUS)", "signal.raise_signal(signal.SIGBUS)"])
def test_a_signal_that_was_sent_ends_the_process_as_before(tmp_path: Path, give: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    assert run(f"view = map_file(path)\n{give}\n", path) == (-signal.SIGBUS, "", "")


def test_a_fault_elsewhere_goes_where_it_went_before(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(1 << 14))
    code = """
import mmap
with path.open("rb") as file:
    other = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
kept = path.with_name("kept")
kept.write_bytes(b"x")
view = map_file(kept)
os.truncate(path, 0)
other[0]
"""
    assert run(code, path) == (-signal.SIGBUS, "", "")
    path.write_bytes(bytes(1 << 14))
    status, _, error = run(f"import faulthandler\nfaulthandler.enable()\n{code}", path)
    assert status == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in error
    assert "honed:" not in error


def test_numbers_of_maps() -> None:
    array = np.zeros(64, np.uint8)
    first = extension.watch_map(array, "a")
    second = extension.watch_map(array, "b")
    assert first >= 0
    assert second not in (first, -1)
    extension.unwatch_map(first)
    assert extension.watch_map(array, "c") == first
    for number in (first, second, -1, 1 << 20):
        extension.unwatch_map(number)
    assert extension.watch_map(array[:0], "empty") == -1
    with pytest.raises(TypeError):
        extension.watch_map(array.view(np.int8), "bytes of another type")


def test_more_maps_than_can_be_watched() -> None:
    array = np.zeros(64, np.uint8)
    numbers = [extension.watch_map(array, "x" * 5000) for _ in range(1100)]
    assert numbers[-1] == -1
    for number in numbers:
        extension.unwatch_map(number)
    number = extension.watch_map(array, "again")
    assert number >= 0
    extension.unwatch_map(number)
