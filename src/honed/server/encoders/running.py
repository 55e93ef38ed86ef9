"""Work with an encoder: texts are split up in threads, and what callers ask for at once is computed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from honed.api.embed import TextEncoder
from honed.api.encoder_tasks import EncoderTasks
from honed.errors import UnsupportedError
from honed.server.encoders.inputs import Inputs
from honed.server.errors import refused
from honed.server.service import ServiceProtocol
from honed.tasks.task import EncoderTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
Given = TypeVar("Given")


class Job:
    """One request to one encoder."""

    def __init__(self, encoder: TextEncoder, *, cut: bool = False) -> None:
        """cut: see `Inputs`."""
        self.encoder = encoder
        self._cut = cut
        self.tokens = 0
        """Of all texts so far."""

    async def vectors(
        self,
        name: str,
        items: Sequence[str | Sequence[int]],
        *,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """[n, width] of texts, or of their token ids, that the field `name` of the request has. prompt, normalize,
        dimensions: as of `TextEncoder.embed`. ParameterError names the one that is wrong."""

        def split() -> Inputs:
            inputs = Inputs(self.encoder, cut=self._cut)
            for index, item in enumerate(items):
                inputs.add(name if len(items) == 1 else f"{name}[{index}]", item, prompt)
            return inputs

        inputs = await asyncio.to_thread(split)
        self.tokens += inputs.tokens
        return await self.encoder.embed_async(inputs.found, prompt=prompt, normalize=normalize, dimensions=dimensions)

    async def results(self, name: str, task: EncoderTask[Given, T], given: Sequence[Given]) -> list[T]:
        """What a task says of each thing that the field `name` of the request has. ParameterError for texts that are
        too long, unless they are cut."""
        found, tokens = await self.encoder.run_async(task, given, place=None if self._cut else name)
        self.tokens += tokens
        return found


def head_of(encoder: TextEncoder, made: Callable[[EncoderTasks], T]) -> T:
    """A task of an encoder. RequestError where it has no head for it."""
    try:
        return made(encoder.tasks)
    except UnsupportedError as error:
        raise refused(400, str(error), "model", "no_such_head") from None


async def run(service: ServiceProtocol, model: str, work: Callable[[Job], Awaitable[T]], *, cut: bool = False) -> T:
    """What the work gives. RequestError for a model that is not known, or is no encoder; further errors are those of
    the work."""
    lease = await service.registry.lease(model)
    try:
        return await work(Job(lease.encoder, cut=cut))
    finally:
        lease.release()
