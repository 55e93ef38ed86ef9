"""llama.cpp, compiled for this processor, through the C interface of its Python package.

The threads are a pool that lives as long as the context, as in its own benchmark. Flash attention on and off are both
measured and the better one counts. Not here: the package and its functions (`llama_cpp_package.py`), GGUF files
(`gguf_model.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.contender import Contender
from honed.bench.peers.base import Announce, Footprint, PeerError, Runner, Step
from honed.bench.peers.llama_cpp_package import MICRO_BATCH, PADDING, VERSION, bindings, cannot_compile, environment
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import FIRST_PROMPT, Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

FLASH_ATTENTION = {"flash attention": 1, "no flash attention": 0}


@dataclass(frozen=True)
class LlamaCppPeer:
    """dtype: q4_0 or q8_0, made by llama.cpp's own quantizer from the weights of the checkpoint; or file, a GGUF
    checkpoint as it is."""

    name: str
    dtype: str

    def unavailable(self) -> str | None:
        reason = cannot_compile()
        return None if reason is None else f"{self.name}{reason}"

    def contenders(
        self, model: str, checkpoint: Checkpoint, workload: Workload, announce: Announce
    ) -> Sequence[Contender]:
        from honed.bench.peers.gguf_model import file_footprint, quantized_file

        if self.dtype == "file" and checkpoint.kind != "gguf":
            raise PeerError(f"{self.name} runs GGUF files only, and {model} is none")
        python = str(environment().python(announce))
        if self.dtype == "file":
            file = checkpoint.path
        else:
            file = quantized_file(
                checkpoint,
                self.dtype,
                python=python,
                version=VERSION,
                threads=workload.threads,
                announce=announce,
            )
        footprint, label = file_footprint(file)
        arguments = {
            "file": str(file),
            "threads": workload.threads,
            "sequences": workload.batch,
            "positions": max(workload.positions, 8 * len(FIRST_PROMPT)),
            "prompt_tokens": workload.prompt_tokens,
            "footprint": asdict(footprint),
            "dtype": label,
        }
        return [
            Contender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.llama_cpp:open_runner",
                arguments={**arguments, "flash_attention": setting},
                prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
                file_bytes=file.stat().st_size,
                workload=workload,
                interpreter=python,
                variant=variant,
            )
            for variant, setting in FLASH_ATTENTION.items()
        ]

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        from honed.bench.peers.llama_cpp_tools import own_tool

        return own_tool(contender, announce)


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads in the worker. arguments: file, threads, sequences, positions, prompt_tokens, flash_attention, footprint,
    dtype."""
    return LlamaCppRunner(bindings(), arguments)


class LlamaCppRunner:
    """The measured side: a model, a context with room for the workload, and a batch that is filled in place."""

    def __init__(self, api: Any, arguments: Mapping[str, Any]) -> None:
        import ctypes

        self._api = api
        self._arguments = arguments
        # Kept: the C side holds a pointer to it.
        self._silence = api.llama_log_callback(lambda level, text, data: None)
        api.llama_log_set(self._silence, ctypes.c_void_p(0))
        api.llama_backend_init()
        model = api.llama_model_load_from_file(arguments["file"].encode(), api.llama_model_default_params())
        if not model:
            raise PeerError(f"{arguments['file']}: llama.cpp cannot load it")
        self._vocabulary = api.llama_model_get_vocab(model)
        self._size = api.llama_vocab_n_tokens(self._vocabulary)
        sequences = arguments["sequences"]
        self._room = max(MICRO_BATCH, arguments["prompt_tokens"], sequences)
        params = api.llama_context_default_params()
        params.n_ctx = -(-arguments["positions"] // PADDING) * PADDING * sequences
        params.n_batch = self._room
        params.n_ubatch = MICRO_BATCH
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = arguments["threads"]
        params.flash_attn_type = arguments["flash_attention"]
        params.kv_unified = False
        params.no_perf = True
        self._context = api.llama_init_from_model(model, params)
        if not self._context:
            raise PeerError(f"{arguments['file']}: llama.cpp cannot make a context for {params.n_ctx} positions")
        _attach_threads(api, self._context, arguments["threads"])
        maps = Path("/proc/self/maps")
        if maps.is_file():
            require_one_copy(maps.read_text())
        self._batch = api.llama_batch_init(self._room, 0, 1)

    @property
    def footprint(self) -> Footprint:
        return Footprint(**self._arguments["footprint"])

    @property
    def isa(self) -> str | None:
        """The widest integer instructions that it says it was compiled for."""
        said = self._api.llama_print_system_info().decode()
        has = set(re.findall(r"(\w+) = 1", said))
        return next((name.lower() for name in _WIDEST_FIRST if name in has), None)

    @property
    def dtype(self) -> str:
        return str(self._arguments["dtype"])

    def encode(self, text: str) -> list[int]:
        data = text.encode()
        tokens = (self._api.llama_token * (len(data) + 8))()
        count = self._api.llama_tokenize(self._vocabulary, data, len(data), tokens, len(tokens), True, True)
        if count < 0:
            raise PeerError(f"llama.cpp cannot tokenize {text!r}")
        return list(tokens[:count])

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self.generate_batch([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """Prompts one after another, each in one call; then all sequences in one call a step."""
        api = self._api
        api.llama_memory_clear(api.llama_get_memory(self._context), False)
        last: list[int] = []
        for index, prompt in enumerate(prompts):
            for first in range(0, len(prompt), self._room):
                piece = prompt[first : first + self._room]
                ends = first + len(piece) == len(prompt)
                for i, token in enumerate(piece):
                    self._put(i, token, first + i, index, logits=ends and i == len(piece) - 1)
                self._decode(len(piece))
            last.append(self._best(len(piece) - 1))
            yield [(index, last[index])]
        for step in range(new_tokens - 1):
            for index, prompt in enumerate(prompts):
                self._put(index, last[index], len(prompt) + step, index, logits=True)
            self._decode(len(prompts))
            last = [self._best(index) for index in range(len(prompts))]
            yield list(enumerate(last))

    def _put(self, row: int, token: int, position: int, sequence: int, *, logits: bool) -> None:
        batch = self._batch
        batch.token[row] = token
        batch.pos[row] = position
        batch.n_seq_id[row] = 1
        batch.seq_id[row][0] = sequence
        batch.logits[row] = logits

    def _decode(self, rows: int) -> None:
        self._batch.n_tokens = rows
        code = self._api.llama_decode(self._context, self._batch)
        if code != 0:
            raise PeerError(f"llama_decode gave {code} for {rows} tokens")

    def _best(self, row: int) -> int:
        """Greedy: the C sampler would first copy the logits into a list of candidates."""
        import numpy as np

        pointer = self._api.llama_get_logits_ith(self._context, row)
        return int(np.ctypeslib.as_array(pointer, shape=(self._size,)).argmax())


_WIDEST_FIRST = ("AMX_INT8", "AVX512_VNNI", "AVX512", "AVX_VNNI", "AVX2", "MATMUL_INT8", "DOTPROD", "NEON", "AVX")


def _attach_threads(api: Any, context: Any, threads: int) -> None:
    """A pool for the whole life of the context; without one, llama.cpp starts its threads anew for every step."""
    import ctypes

    class Parameters(ctypes.Structure):
        """ggml_threadpool_params of ggml.h."""

        _fields_ = (
            ("cpumask", ctypes.c_bool * 512),
            ("n_threads", ctypes.c_int),
            ("prio", ctypes.c_int),
            ("poll", ctypes.c_uint32),
            ("strict_cpu", ctypes.c_bool),
            ("paused", ctypes.c_bool),
        )

    # By the handle of libllama, which finds what it depends on itself. A wheel holds no links, so each library is there
    # three times under its names, and one that is opened by another name is a second copy with a state of its own: its
    # threads take weights that the first has repacked for plain ones.
    library = api._lib
    parameters = Parameters()
    library.ggml_threadpool_params_init.argtypes = [ctypes.POINTER(Parameters), ctypes.c_int]
    library.ggml_threadpool_params_init.restype = None
    library.ggml_threadpool_params_init(ctypes.byref(parameters), threads)
    library.ggml_threadpool_new.argtypes = [ctypes.POINTER(Parameters)]
    library.ggml_threadpool_new.restype = ctypes.c_void_p
    pool = library.ggml_threadpool_new(ctypes.byref(parameters))
    if not pool:
        raise PeerError("llama.cpp cannot make its threads")
    library.llama_attach_threadpool.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.llama_attach_threadpool.restype = None
    library.llama_attach_threadpool(context, pool, pool)


def require_one_copy(maps: str) -> None:
    """PeerError where a process has one of llama.cpp's libraries in memory twice. maps: of /proc/self/maps."""
    found: dict[str, set[str]] = {}
    for line in maps.splitlines():
        path = line.partition("/")[2]
        match = re.search(r"lib(ggml[\w-]*|llama)[.]so[.\d]*$", path)
        if match:
            found.setdefault(match[1], set()).add(path)
    twice = sorted(name for name, paths in found.items() if len(paths) > 1)
    if twice:
        raise PeerError(f"llama.cpp: {', '.join(twice)} is loaded twice: what it computed would be wrong")
