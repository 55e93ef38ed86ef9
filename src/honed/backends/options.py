"""How a model is run, as one value. What each backend makes of it is in its own file."""

from __future__ import annotations

from typing import TypedDict, get_args

from honed.backends.registry import find, takers
from honed.errors import ParameterError
from honed.options import Options
from honed.parameters import checks_fields, choice, text, whole_number
from honed.plan.formats import DensePolicy, KvPolicy
from honed.records import dataclass

MAX_THREADS = 1024
_MOST_SEQUENCES = 1 << 20


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions`, for functions that take them as keywords."""

    dtype: DensePolicy
    kv: KvPolicy
    threads: int | None
    isa: str | None
    context: int | None
    sequences: int
    backend: str


@checks_fields
@dataclass(frozen=True)
class RunOptions(Options):
    """What `honed.load` takes besides a name.

    dtype: of weights that are stored unquantized: float32, bfloat16, or auto, which keeps float32 and rounds the
        others to bfloat16. The blocks of a GGUF file run as they are with auto (exactly the file's values, activations
        int8 in groups of 32); float32 and bfloat16 decode them.
    kv: of the KV cache: float32, bfloat16, int8, or auto, which is float32 for a model that runs in float32 throughout
        and bfloat16 for every other.
    threads: None for the CPUs that affinity and cgroup quota leave this process.
    isa: an instruction set that `honed doctor` lists, None for the best.
    context: positions of a sequence, rounded up to pages of 32; None for the model's own, at most 16384.
    sequences: so many of that length have room in the KV cache together.
    backend: one of `backends/registry.py`: native, or pytorch (needs the extra honed[torch]).

    What is wrong here is wrong on every machine and for every model: ParameterError. Whether this machine has the
    instruction set is asked by `backends/open.py`, and the model's own context bounds this one when it is loaded.
    """

    dtype: DensePolicy = "auto"
    kv: KvPolicy = "auto"
    threads: int | None = None
    isa: str | None = None
    context: int | None = None
    sequences: int = 1
    backend: str = "native"

    def __post_init__(self) -> None:
        find(self.backend)
        checked: dict[str, object] = {
            "dtype": choice("dtype", self.dtype, get_args(DensePolicy)),
            "kv": choice("kv", self.kv, get_args(KvPolicy)),
            "threads": check_threads(self.threads),
            "isa": None if self.isa is None else text("isa", self.isa),
            "context": None if self.context is None else whole_number("context", self.context),
            "sequences": whole_number("sequences", self.sequences, 1, _MOST_SEQUENCES),
        }
        # In Python's own types, whatever they were given in.
        self.__dict__.update(checked)
        if self.sequences > 1 and self.context is None:
            raise ParameterError(
                "sequences", self.sequences, "needs a context, which says how long each of them may be"
            )
        self._require_taken()

    def _require_taken(self) -> None:
        """ParameterError for an option that means nothing to the backend, and for a value that it does not have."""
        backend = find(self.backend)
        for name in self.__match_args__:
            value = getattr(self, name)
            if name == "backend" or value == getattr(type(self), name):
                continue
            if name not in backend.takes:
                others = " and ".join(takers(name))
                raise ParameterError(
                    name, value, f"is a setting of the {others} backend; leave it out for {self.backend}"
                )
            values = backend.takes[name]
            if values is not None and value not in values:
                raise ParameterError(
                    name, value, f"the {self.backend} backend is {backend.about}, and takes {' and '.join(values)}"
                )


def check_threads(threads: object) -> int | None:
    """So many threads as one process may have here; None is left to the machine."""
    return None if threads is None else whole_number("threads", threads, 1, MAX_THREADS)
