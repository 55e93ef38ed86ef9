"""What all pipelines have in common: settings that are given once, one thing or several, and closing.

As in transformers, one thing gives its result, a list a list, and an iterator an iterator, which reads ahead no more
than a window. Results are the plain dictionaries and lists of transformers. Not here: which tasks there are
(`table.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.errors import ParameterError
from honed.parameter_names import answer
from honed.parameters import whole_number
from honed.tasks.task import EncoderTask
from honed.text.tokenizer import Tokenizer

Record = dict[str, Any]
Model = TypeVar("Model", LanguageModel, TextEncoder)
Given = TypeVar("Given")
Found = TypeVar("Found")
_UNUSED = ("batch_size", "num_workers")
"""What transformers is told of how to run: texts that are there together run together anyway."""


class Pipeline(Generic[Model]):
    """One task of one model. Close it, or use it in a with statement, to let the weights go."""

    task: ClassVar[str]
    also: ClassVar[type | None] = None
    """A typed dictionary of further keywords that `call` takes."""

    def __init__(self, model: Model, settings: Mapping[str, Any]) -> None:
        """settings: parameters of `call` where a call does not give them. ParameterError for others."""
        self.model: Model = model
        more: Iterable[str] = () if self.also is None else self.also.__annotations__
        known = [name for name in (*inspect.signature(self.call).parameters, *more, *_UNUSED) if name != "given"]
        for name, value in settings.items():
            if name not in known:
                raise ParameterError(name, value, answer(name, known))
        self._settings = {name: value for name, value in settings.items() if name not in _UNUSED}

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    def __call__(self, *args: Any, **given: Any) -> Any:
        """`call`, with the settings of the pipeline where nothing else is given."""
        for name in _UNUSED:
            if given.get(name) is not None:
                whole_number(name, given[name], 0)
            given.pop(name, None)
        return self.call(*args, **{**self._settings, **given})

    call: Callable[..., Any]
    """What the pipeline does; each has its own parameters."""

    def close(self) -> None:
        """Closes the model."""
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EncoderPipeline(Pipeline[TextEncoder]):
    """Of an encoder."""

    def __init__(self, model: TextEncoder | LanguageModel, settings: Mapping[str, Any]) -> None:
        """UnsupportedError for a model that generates, or whose head is for something else."""
        if isinstance(model, LanguageModel):
            model.embed()  # says so
        assert isinstance(model, TextEncoder)
        self.check(model)
        super().__init__(model, settings)

    def check(self, model: TextEncoder) -> None:
        """UnsupportedError for a model that cannot do it."""

    def each(self, task: EncoderTask[Given, Found], given: Any, told: Callable[[Found], Any]) -> Any:
        """What is told of the result of one thing, of each of a list, or of each of an iterator as it is read."""
        if isinstance(given, list | tuple) and not is_pair(given):
            return [told(one) for one in self.model.run(task, given)]
        if isinstance(given, Iterator):
            return self._read(task, given, told)
        return told(next(self.model.run(task, [given])))

    def _read(
        self, task: EncoderTask[Given, Found], given: Iterable[Given], told: Callable[[Found], Any]
    ) -> Iterator[Any]:
        for one in self.model.run(task, given):
            yield told(one)


class GeneratingPipeline(Pipeline[LanguageModel]):
    """Of a model that generates."""

    def __init__(self, model: TextEncoder | LanguageModel, settings: Mapping[str, Any]) -> None:
        """UnsupportedError for an encoder."""
        if isinstance(model, TextEncoder):
            model.generate()  # says so
        assert isinstance(model, LanguageModel)
        super().__init__(model, settings)


def is_pair(given: object) -> bool:
    """A tuple of two texts is one thing: they are read together."""
    return isinstance(given, tuple) and len(given) == 2 and all(isinstance(one, str) for one in given)


def records(found: Iterable[Any]) -> list[Record]:
    """Values as dictionaries of their fields."""
    return [asdict(one) for one in found]
