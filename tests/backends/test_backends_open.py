from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import honed
from hash_backend import HashBackend
from honed.backends import registry
from honed.backends.open import check_here, open_backend
from honed.backends.options import RunOptions
from honed.checkpoints.open import open_checkpoint
from honed.errors import ParameterError, UnsupportedError


class New:
    """A backend in a file of its own, as `registry.py` finds it."""

    seen: list[tuple[RunOptions, int | None]] = []  # noqa: RUF012

    @staticmethod
    def configure(options: RunOptions, kv_tokens: int | None) -> Any:
        New.seen.append((options, kv_tokens))
        return kv_tokens

    @staticmethod
    def load(checkpoint: Any, config: Any, meanwhile: Callable[[], None] | None = None) -> HashBackend:
        if meanwhile is not None:
            meanwhile()
        return HashBackend(pages=config // 32)


@pytest.fixture
def new(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("new_backend")
    module.New = New  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "new_backend", module)
    line = registry.Registered(home="new_backend:New", takes={"context": None, "sequences": None}, about="new")
    monkeypatch.setitem(registry.BACKENDS, "new", line)
    New.seen.clear()


@pytest.mark.usefixtures("new")
def test_a_backend_is_one_file_and_one_line(tiny_llama: Path) -> None:
    with honed.load(tiny_llama, backend="new", context=40, sequences=2) as model:
        assert isinstance(model, honed.LanguageModel)
        assert model.backend.pages == 4
        assert len(model.generate([1, 2], max_tokens=3, temperature=0).tokens) == 3
    assert [kv_tokens for _, kv_tokens in New.seen] == [None, 128]
    with pytest.raises(ParameterError, match="kv = 'int8': is a setting of the native and pytorch backend"):
        honed.load(tiny_llama, backend="new", kv="int8")


@pytest.mark.parametrize(
    ("given", "pages"),
    [({}, 8), ({"context": 1}, 1), ({"context": 33}, 2), ({"context": 33, "sequences": 3}, 6)],
)
def test_pages_of_the_cache(tiny_llama: Path, given: dict[str, Any], pages: int) -> None:
    assert open_backend(open_checkpoint(str(tiny_llama)), RunOptions(**given)).pages == pages


@pytest.mark.parametrize("backend", ["native", "pytorch"])
def test_meanwhile_is_called_once(tiny_llama: Path, backend: str) -> None:
    calls: list[int] = []
    found = open_backend(open_checkpoint(str(tiny_llama)), RunOptions(backend=backend), lambda: calls.append(1))
    assert (found.name, calls) == (backend, [1])


def test_the_context_is_bounded_by_the_model(tiny_llama: Path) -> None:
    with pytest.raises(ParameterError, match="context = 257: must be from 1 to 256, which this model was made for"):
        open_backend(open_checkpoint(str(tiny_llama)), RunOptions(context=257))


def test_what_this_machine_does_not_have() -> None:
    check_here(RunOptions(isa="portable"))
    with pytest.raises(ParameterError, match=r"isa = 'sse': this machine has .*portable"):
        check_here(RunOptions(isa="sse"))


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "honed.backends.pytorch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnsupportedError, match=r"backend pytorch: torch is not installed; pip install honed\[torch\]"):
        check_here(RunOptions(backend="pytorch"))
