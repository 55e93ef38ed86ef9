"""Models by name: loading on demand, memory, idleness, names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from honed.errors import ParameterError, SourceError
from honed.server.errors import RequestError
from honed.server.registry import Model, ModelSpec, Registry, default_name, parse_models
from scripted_model import scripted_model


class _Shelf:
    """Loads scripted models, and knows which are open."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.loads: list[str] = []

    def load(self, source: str) -> Model:
        if source == "missing":
            raise SourceError("/secret/path: is not there")
        self.loads.append(source)
        model, _ = scripted_model({})
        close = model.close
        self.open.append(source)

        def closed() -> None:
            self.open.remove(source)
            close()

        model.close = closed  # type: ignore[method-assign]
        return model


def made(shelf: _Shelf, *sources: str, **given: Any) -> Registry:
    specs = [ModelSpec(source, source, (f"{source}-alias",)) for source in sources]
    return Registry(specs, shelf.load, lambda source: 100 if source == "large" else 40, **given)


def test_a_model_is_loaded_when_it_is_asked_for_and_once() -> None:
    shelf = _Shelf()

    async def run() -> None:
        registry = made(shelf, "a", "b")
        assert [status.state for status in registry.statuses()] == ["unloaded", "unloaded"]
        leases = await asyncio.gather(*(registry.lease(name) for name in ("a", "a-alias", "a")))
        assert shelf.loads == ["a"]
        assert len({id(lease.model) for lease in leases}) == 1
        assert registry.status("a-alias").users == 3
        assert registry.status("a").context == 1024
        for lease in leases:
            lease.release()
            lease.release()
        assert registry.status("a").users == 0
        await registry.close()
        assert not shelf.open

    asyncio.run(run())


def test_the_least_recently_used_goes_and_none_in_use() -> None:
    shelf = _Shelf()
    now = [0.0]

    async def run() -> None:
        registry = made(shelf, "a", "b", "c", "large", memory_limit=90, clock=lambda: now[0])
        for second, name in enumerate("ab"):
            now[0] = float(second)
            (await registry.lease(name)).release()
        now[0] = 5.0
        (await registry.lease("a")).release()
        lease = await registry.lease("c")
        assert sorted(shelf.open) == ["a", "c"]
        await registry.lease("a")
        with pytest.raises(RequestError, match="in use") as caught:
            await registry.lease("b")
        assert caught.value.fault.status == 503
        with pytest.raises(RequestError, match="memory-limit") as caught:
            await registry.lease("large")
        assert caught.value.fault.status == 507
        assert caught.value.fault.headers["x-should-retry"] == "false"
        lease.release()
        (await registry.lease("b")).release()
        assert sorted(shelf.open) == ["a", "b"]
        await registry.close()

    asyncio.run(run())


def test_idle_models_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.server.registry._LOOKS_EVERY", 0.01)
    shelf = _Shelf()
    now = [0.0]

    async def run() -> None:
        registry = made(shelf, "a", "b", idle_unload=10.0, clock=lambda: now[0])
        watch = asyncio.ensure_future(registry.watch())
        (await registry.lease("a")).release()
        kept = await registry.lease("b")
        now[0] = 11.0
        for _ in range(200):
            await asyncio.sleep(0.01)
            if shelf.open == ["b"]:
                break
        assert shelf.open == ["b"]
        kept.release()
        watch.cancel()
        await registry.close()

    asyncio.run(run())


def test_loading_and_unloading_by_hand() -> None:
    shelf = _Shelf()

    async def run() -> None:
        registry = made(shelf, "a", "missing")
        assert (await registry.load("a")).state == "loaded"
        lease = await registry.lease("a")
        with pytest.raises(RequestError, match="in use"):
            await registry.unload("a")
        lease.release()
        assert (await registry.unload("a")).state == "unloaded"
        with pytest.raises(RequestError) as caught:
            await registry.lease("nobody")
        assert caught.value.fault.status == 404
        with pytest.raises(RequestError) as caught:
            await registry.lease("missing")
        assert isinstance(caught.value.__cause__, SourceError)
        assert "/secret" not in str(caught.value)
        assert (caught.value.fault.status, caught.value.fault.headers["x-should-retry"]) == (500, "false")
        assert registry.status("missing").state == "unloaded"
        assert registry.status("missing").users == 0

    asyncio.run(run())


def test_who_goes_while_a_model_loads_does_not_stop_it() -> None:
    shelf = _Shelf()

    async def run() -> None:
        registry = made(shelf, "a")
        task = asyncio.ensure_future(registry.lease("a"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (await registry.lease("a")).release()
        assert shelf.loads == ["a"]
        assert registry.status("a").users == 0
        await registry.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["smollm2"], {"smollm2": ()}),
        (["/a/b/demo/"], {"demo": ()}),
        (["./x/model.gguf"], {"model": ()}),
        (["org/name"], {"org/name": ()}),
        (["one=smollm2", "two=smollm2"], {"one": ("two",)}),
        (["chat=smollm2", "minilm"], {"chat": (), "minilm": ()}),
    ],
)
def test_names(given: list[str], names: dict[str, tuple[str, ...]]) -> None:
    assert {spec.name: spec.aliases for spec in parse_models(given)} == names


@pytest.mark.parametrize("given", [["a=x", "a=y"], ["=x"], ["a="], ["/p/demo", "/q/demo"]])
def test_names_that_cannot_be(given: list[str]) -> None:
    with pytest.raises(ParameterError):
        parse_models(given)


def test_no_path_is_a_name() -> None:
    assert "/" not in default_name("/home/somebody/models/demo")
