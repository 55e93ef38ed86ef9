"""The models of a server: which there are, by what names, which are loaded, and whose turn it is to go.

Loading and unloading happen in threads, one at a time. A model that somebody uses is never unloaded. Not here: how a
model is loaded, which the caller says, and what is done with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.errors import HonedError, MachineError, ParameterError, quoted
from honed.server.errors import Fault, RequestError

T = TypeVar("T")
Model = LanguageModel | TextEncoder
LOG = logging.getLogger("honed.server")
Kind = Literal["generate", "embed"]
State = Literal["unloaded", "loading", "loaded"]
_LOOKS_EVERY = 1.0


@dataclass(frozen=True)
class ModelSpec:
    """A model that is served: its first name, further names, and what `honed.load` finds it by."""

    name: str
    source: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelStatus:
    """What may be told of a model. kind and context: of one that is or was loaded. bytes: what it takes in memory."""

    name: str
    aliases: tuple[str, ...]
    state: State
    users: int
    kind: Kind | None
    context: int | None
    bytes: int | None
    created: int


@dataclass
class _Entry:
    spec: ModelSpec
    created: int
    model: Model | None = None
    loading: bool = False
    users: int = 0
    used: float = 0.0
    bytes: int | None = None
    kind: Kind | None = None
    context: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Lease:
    """A model that stays loaded until it is released, which may be done twice."""

    def __init__(self, name: str, model: Model, release: Callable[[], None]) -> None:
        self.name = name
        self.model = model
        self._release: Callable[[], None] | None = release

    @property
    def generator(self) -> LanguageModel:
        """The model, if it generates text: RequestError otherwise."""
        if isinstance(self.model, LanguageModel):
            return self.model
        raise _of_other_kind(self.name, "gives vectors of texts and generates none; use /v1/embeddings")

    @property
    def encoder(self) -> TextEncoder:
        """The model, if it gives vectors: RequestError otherwise."""
        if isinstance(self.model, TextEncoder):
            return self.model
        raise _of_other_kind(self.name, "generates text and gives no vectors; name an encoder")

    def release(self) -> None:
        """The model may go."""
        release, self._release = self._release, None
        if release is not None:
            release()


class Registry:
    """Models by name. For one event loop."""

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        load: Callable[[str], Model],
        size: Callable[[str], int],
        *,
        memory_limit: int | None = None,
        idle_unload: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """load: what `honed.load` does, size: the bytes that a model will take, by source and in threads."""
        self._entries = {spec.name: _Entry(spec, int(time.time())) for spec in specs}
        self._names = _names(specs)
        self._load = load
        self._size = size
        self._memory_limit = memory_limit
        self._idle_unload = idle_unload
        self._clock = clock
        self._turn = asyncio.Lock()
        """Of loading and unloading: the sum of bytes is read and changed under it."""

    @property
    def names(self) -> tuple[str, ...]:
        """First names, in the order in which they were given."""
        return tuple(self._entries)

    def status(self, name: str) -> ModelStatus:
        """Of a model by any of its names; RequestError 404 for others."""
        return _status(self._find(name))

    def statuses(self) -> list[ModelStatus]:
        """Of all."""
        return [_status(entry) for entry in self._entries.values()]

    def loaded(self) -> Iterator[tuple[str, Model]]:
        """Models that are loaded now, with their first names."""
        return ((name, entry.model) for name, entry in self._entries.items() if entry.model is not None)

    async def lease(self, name: str) -> Lease:
        """A model to use, loaded if need be. Unknown names: RequestError 404; one that cannot be loaded: RequestError,
        whose cause says why."""
        entry = self._find(name)
        with _using(entry) as keep:
            model = entry.model if _usable(entry.model) and not entry.loading else await self._loaded(entry)
            assert model is not None
            keep()
        entry.used = self._clock()
        return Lease(name, model, lambda: self._released(entry))

    async def load(self, name: str) -> ModelStatus:
        """Loads a model, if it is not loaded."""
        lease = await self.lease(name)
        lease.release()
        return self.status(name)

    async def unload(self, name: str) -> ModelStatus:
        """Unloads a model that nobody uses; RequestError 409 for one in use."""
        entry = self._find(name)
        if entry.users:
            raise RequestError(
                Fault(status=409, message=f"the model {quoted(name)} is in use; try again later", code="model_in_use")
            )
        async with self._turn:
            await self._unloaded(entry)
        return _status(entry)

    async def watch(self) -> None:
        """Unloads what nobody has used for a while, for ever."""
        while self._idle_unload is not None:
            await asyncio.sleep(min(_LOOKS_EVERY, self._idle_unload))
            for entry in self._entries.values():
                if entry.model is not None and not entry.users and self._clock() - entry.used >= self._idle_unload:
                    async with self._turn:
                        await self._unloaded(entry)

    async def close(self) -> None:
        """Unloads all, in use or not."""
        for entry in self._entries.values():
            async with self._turn:
                await self._unloaded(entry, forced=True)

    def _find(self, name: str) -> _Entry:
        found = self._names.get(name)
        if found is None:
            known = ", ".join(self._names)
            raise RequestError(
                Fault(
                    status=404,
                    message=f"the model {quoted(name)} does not exist here; there is {known}",
                    parameter="model",
                    code="model_not_found",
                )
            )
        return self._entries[found]

    def _released(self, entry: _Entry) -> None:
        entry.users -= 1
        entry.used = self._clock()

    async def _loaded(self, entry: _Entry) -> Model:
        try:
            # Shielded: that one client goes does not stop what others wait for.
            return await asyncio.shield(asyncio.ensure_future(self._load_in_turn(entry)))
        except RequestError:
            raise
        except HonedError as error:  # which speaks of files of this machine
            LOG.error("the model %s cannot be loaded: %s", entry.spec.name, error)
            for_now = isinstance(error, MachineError)
            raise RequestError(
                Fault(
                    status=503 if for_now else 500,
                    message=f"the model {entry.spec.name} cannot be loaded; the log of the server says why",
                    code="model_load_failed",
                    retry=for_now,
                )
            ) from error

    async def _load_in_turn(self, entry: _Entry) -> Model:
        async with entry.lock:
            if entry.model is not None and _usable(entry.model):
                return entry.model
            entry.loading = True
            try:
                async with self._turn:
                    await self._unloaded(entry, forced=True)  # one whose engine has failed for good
                    if self._memory_limit is not None:
                        needed = await _in_thread(self._size, entry.spec.source)
                        entry.bytes = needed
                        await self._make_room(entry, needed, self._memory_limit)
                    model = await _in_thread(self._load, entry.spec.source)
                    entry.kind = "generate" if isinstance(model, LanguageModel) else "embed"
                    entry.context = model.context
                    entry.used = self._clock()
                    entry.model = model
                    return model
            finally:
                entry.loading = False

    async def _make_room(self, entry: _Entry, needed: int, limit: int) -> None:
        if needed > limit:
            raise RequestError(
                Fault(
                    status=507,
                    message=f"the model {entry.spec.name} takes {needed >> 20} MiB, over the {limit >> 20} MiB that "
                    "there may be (--memory-limit)",
                    code="memory_limit",
                    retry=False,
                )
            )
        while sum(other.bytes or 0 for other in self._entries.values() if other.model is not None) + needed > limit:
            idle = [other for other in self._entries.values() if other.model is not None and not other.users]
            if not idle:
                raise RequestError(
                    Fault(
                        status=503,
                        message="all loaded models are in use, and there is no room for another; try again later",
                        code="memory_limit",
                        retry_after=10,
                    )
                )
            await self._unloaded(min(idle, key=lambda other: other.used))

    async def _unloaded(self, entry: _Entry, *, forced: bool = False) -> None:
        """Under `_turn`."""
        if entry.model is None or (entry.users and not forced):
            return
        model, entry.model = entry.model, None
        await _in_thread(model.close)


async def _in_thread(work: Callable[..., T], *given: Any) -> T:
    """Its result. In a thread that the end of the process does not wait for: a download may take an hour."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(cast("T", result))
            else:
                done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work(*given)
        except BaseException as found:
            error = found
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="model", daemon=True).start()
    return await done


@contextmanager
def _using(entry: _Entry) -> Iterator[Callable[[], None]]:
    """One more user, who stays if the function that is given is called."""
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    entry.users += 1
    try:
        yield keep
    finally:
        if not kept:
            entry.users -= 1


def parse_models(given: Sequence[str]) -> list[ModelSpec]:
    """Of `SOURCE` or `NAME=SOURCE`, each; a source that is named again has the further names as aliases.

    A source without a name is called as it is written, a path by its last part, so that no reply holds a path.
    """
    names: dict[str, list[str]] = {}
    for item in given:
        name, separator, source = item.partition("=")
        if not separator:
            name, source = default_name(item), item
        if not name or not source:
            raise ParameterError("model", item, "must be a model, or NAME=MODEL")
        names.setdefault(source, []).append(name)
    specs = [ModelSpec(found[0], source, tuple(dict.fromkeys(found[1:]))) for source, found in names.items()]
    _names(specs)
    return specs


def default_name(source: str) -> str:
    """What a model is called that was given no name."""
    is_path = source.startswith((".", "/", "~")) or source.count("/") > 1 or source.endswith(".gguf")
    return source.rstrip("/").rpartition("/")[2].removesuffix(".gguf") if is_path else source


def _names(specs: Sequence[ModelSpec]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for spec in specs:
        for name in (spec.name, *spec.aliases):
            if found.setdefault(name, spec.name) != spec.name:
                raise ParameterError("model", name, "names two models; give one of them another name: NAME=MODEL")
    if len({spec.name for spec in specs}) != len(specs):
        twice = next(spec.name for spec in specs if [other.name for other in specs].count(spec.name) > 1)
        raise ParameterError("model", twice, "names two models; give one of them another name: NAME=MODEL")
    return found


def _usable(model: Model | None) -> bool:
    return model is not None and (not isinstance(model, LanguageModel) or model.alive)


def _status(entry: _Entry) -> ModelStatus:
    state: State = "loading" if entry.loading else "loaded" if entry.model is not None else "unloaded"
    return ModelStatus(
        entry.spec.name,
        entry.spec.aliases,
        state,
        entry.users,
        entry.kind,
        entry.context,
        entry.bytes,
        entry.created,
    )


def _of_other_kind(name: str, what: str) -> HonedError:
    return RequestError(
        Fault(status=400, message=f"the model {quoted(name)} {what}", parameter="model", code="wrong_kind_of_model")
    )
