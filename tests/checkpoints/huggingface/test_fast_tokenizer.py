"""Hostile tokenizer files: refused by name, in bounded time and memory, and the process that asked lives on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from honed.checkpoints import synthetic
from honed.checkpoints.huggingface import fast_tokenizer as module
from honed.checkpoints.huggingface.fast_tokenizer import read_fast, vet
from honed.checkpoints.huggingface.kept_tokenizer import SMALL
from honed.errors import FormatError, MachineError

MODEL = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
BASE: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": MODEL,
}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


DOUBLING = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
HOSTILE: dict[str, dict[str, Any]] = {
    "grows": {"normalizer": {"type": "Sequence", "normalizers": [DOUBLING] * 30}},
    "runs away": {"pre_tokenizer": split("(a+a+)+b")},
    "runs away on what it names": {"pre_tokenizer": split("(q+q+)+z")},
    "looks back": {"pre_tokenizer": split(r"(.*)(.*)(.*)(.*)\1\2\3x")},
    "slow": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split("(" * 60 + "a*" + ")*" * 60)] * 30}},
    "breaks the map": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8AAA=="}},
    "chunks of nothing": {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "no unknown token": {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}},
    "no unknown id": {"model": {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 7}},
    "nothing": {"model": {"type": "Unigram", "vocab": [], "unk_id": None}},
    "merges without parts": {"model": {**MODEL, "merges": ["x y"]}},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**BASE, **HOSTILE[name]}))
    with pytest.raises(FormatError, match=r"tokenizer.json: "):
        read_fast(path)


def test_what_is_for_training_makes_no_flood(tmp_path: Path) -> None:
    padding = {"strategy": {"Fixed": 10**8}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**BASE, "padding": padding}))
    assert read_fast(path).encode("ab").ids == [2]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel counts memory here")
@pytest.mark.parametrize("name", HOSTILE)
def test_memory_of_all_processes(name: str) -> None:
    """Of the child that reads the file, in a process that has no other children."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from honed.checkpoints.huggingface.fast_tokenizer import vet\n"
        "try:\n"
        "    vet(sys.stdin.buffer.read(), Path('t.json'), keep=True)\n"
        "except Exception:\n"
        "    pass\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,\n"
        "      resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)\n"
    )
    source = json.dumps({**BASE, **HOSTILE[name]})
    done = subprocess.run([sys.executable, "-c", script], input=source, capture_output=True, text=True, check=True)
    megabytes, seconds = done.stdout.split()
    assert int(megabytes) < 100
    assert float(seconds) < 2
    assert "panicked" not in done.stderr


def test_what_passed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(source: bytes, path: Path, *, keep: bool) -> tuple[bytes, str]:
        asked.append(len(source))
        return vet(source, path, keep=keep)

    monkeypatch.setattr(module, "vet", counted)
    small, large = tmp_path / "small.json", tmp_path / "large.json"
    small.write_text(json.dumps({**BASE, "version": "1.0"}) + " " * 77)
    document = synthetic.tokenizer(20_000)
    large.write_text(json.dumps(document))
    assert large.stat().st_size > SMALL
    for path in (small, large):
        first = read_fast(path)
        assert len(asked) == 1
        assert read_fast(path).to_str() == first.to_str()
        assert len(asked) == 1
        asked.clear()


def test_where_no_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(BASE) + " " * 78)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(MachineError, match="does not start"):
        read_fast(path)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_is_answered_while_a_file_is_read(tmp_path: Path) -> None:
    """A child that takes seconds does not hold Ctrl-C off."""
    import signal

    source = json.dumps({**BASE, **HOSTILE["slow"]})
    (tmp_path / "tokenizer.json").write_text(source)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from honed.checkpoints.huggingface.fast_tokenizer import read_fast\n"
        "import honed.text.fence as fence\n"
        "real = fence.Fence.__init__\n"
        "def init(self, job, **more):\n"
        "    real(self, Path(sys.argv[2]), **{**more, 'cpu_seconds': 60})\n"
        "fence.Fence.__init__ = init\n"
        "print('reading', flush=True)\n"
        "read_fast(Path(sys.argv[1]))\n"
    )
    job = tmp_path / "job.py"
    job.write_text("def prepare():\n    def answer(request, data):\n        while True: pass\n    return answer\n")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "tokenizer.json"), str(job)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
        assert time.monotonic() - started < 10
