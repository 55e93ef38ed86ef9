"""CTranslate2: int8 weights, float32 keys and values, whole `generate_batch` calls whose callback tells of each token.

Its bfloat16 and float16 modes need instructions or libraries that its CPU build refuses on most machines, so what is
not int8 is float32. The prompt is not asked back: only then does the library run it in one pass instead of token by
token.
"""

from __future__ import annotations

import importlib
import json
import queue
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.contender import Contender
from honed.bench.isolate import call_isolated
from honed.bench.peers.base import Announce, Footprint, PeerError, Runner, Step
from honed.bench.peers.conversion import converted
from honed.bench.peers.environment import Environment, Install
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

VERSION = "4.8.5"
COMPUTE = {"int8": "int8_float32"}
"""Its name for weights of our name, with what is not quantized in float32."""
ENVIRONMENT = Environment(
    "ctranslate2",
    # torch and transformers are read by the converter alone; the measured process imports neither.
    (Install((f"ctranslate2=={VERSION}", "torch==2.13.0", "transformers==5.24.0", "numpy==2.4.6")),),
    needed_bytes=4 << 30,
)
_SCALE_BITS = 32
_LOOK_AGAIN_S = 5.0
_MARGIN = 64 << 20


@dataclass(frozen=True)
class Ctranslate2Peer:
    """dtype: int8, one scale a row."""

    name: str
    dtype: str

    def unavailable(self) -> str | None:
        return None

    def contenders(
        self, model: str, checkpoint: Checkpoint, workload: Workload, announce: Announce
    ) -> Sequence[Contender]:
        from honed.bench.peers.dense_copy import dense_directory
        from honed.bench.peers.dense_shape import DenseShape

        python = str(ENVIRONMENT.python(announce))
        source = dense_directory(checkpoint)
        size = sum(file.stat().st_size for file in source.glob("*.safetensors"))

        def make(directory: Path) -> None:
            announce(f"converting {checkpoint.path.name} for {self.name}")
            job = {"source": str(source), "target": str(directory), "quantization": COMPUTE[self.dtype]}
            call_isolated("honed.bench.peers.ctranslate2:convert_in_worker", job, interpreter=python)

        directory = converted(checkpoint, f"ctranslate2-{VERSION}-{self.dtype}", make, needed=size + _MARGIN)
        shape = DenseShape.of(source)
        bits = 8 + _SCALE_BITS / min(shape.in_features)
        footprint = shape.footprint(layer_bits=bits, head_bits=bits, kv_element_bytes=4, arithmetic="int8")
        return [
            Contender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.ctranslate2:open_runner",
                arguments={
                    "directory": str(directory),
                    "tokenizer": str(source / "tokenizer.json"),
                    "threads": workload.threads,
                    "compute_type": COMPUTE[self.dtype],
                    "footprint": asdict(footprint),
                },
                prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
                file_bytes=(directory / "model.bin").stat().st_size,
                workload=workload,
                environment=_environment(workload.threads),
                interpreter=python,
            )
        ]

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        return OwnTool(
            name="whole calls of generate_batch",
            function="honed.bench.peers.ctranslate2_tool:measure_in_worker",
            arguments={
                **contender.arguments,
                "prompts": [list(prompt) for prompt in contender.prompts],
                "new_tokens": contender.timed_tokens,
            },
            interpreter=contender.interpreter,
            environment=contender.environment,
        )


def _environment(threads: int) -> dict[str, str]:
    """On processors that are not Intel's it stays with AVX2 unless told to use the AVX-512 that they have, with which
    batches are about a tenth faster."""
    from honed.native import extension

    wide = any(name.startswith("avx512") for name in extension.features()["instruction_sets"])
    return {"OMP_NUM_THREADS": str(threads), **({"CT2_FORCE_CPU_ISA": "AVX512"} if wide else {})}


def convert_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source (a dense directory), target
    (an empty one), quantization."""
    converters = importlib.import_module("ctranslate2.converters")
    converter = converters.TransformersConverter(arguments["source"])
    # force: the target exists, and is empty.
    converter.convert(arguments["target"], quantization=arguments["quantization"], force=True)


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads in the worker. arguments: directory, tokenizer, threads, compute_type, footprint."""
    generator, words = open_generator(importlib.import_module("ctranslate2"), arguments)
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(arguments["tokenizer"])
    return Ctranslate2Runner(generator, tokenizer, words, Footprint(**arguments["footprint"]))


def open_generator(library: Any, arguments: Mapping[str, Any]) -> tuple[Any, Sequence[str]]:
    """The loaded model, and its vocabulary by id."""
    generator = library.Generator(
        arguments["directory"],
        device="cpu",
        compute_type=arguments["compute_type"],
        inter_threads=1,
        intra_threads=arguments["threads"],
    )
    return generator, json.loads((Path(arguments["directory"]) / "vocabulary.json").read_text("utf-8"))


class Ctranslate2Runner:
    """The measured side. words: the vocabulary by id, since a generator takes prompts as words."""

    def __init__(self, generator: Any, tokenizer: Any, words: Sequence[str], footprint: Footprint) -> None:
        self._generator = generator
        self._tokenizer = tokenizer
        self._words = words
        self._footprint = footprint

    @property
    def footprint(self) -> Footprint:
        return self._footprint

    @property
    def isa(self) -> str | None:
        """It says so in its log only."""
        return None

    @property
    def dtype(self) -> str:
        return str(self._generator.compute_type)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self.generate_batch([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """One call in a thread of the library's; its callback hands the tokens over one by one."""
        arrived: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()

        def tell(result: Any) -> bool:
            arrived.put((result.batch_id, result.token_id))
            return False

        results = self._generator.generate_batch(
            [[self._words[token] for token in prompt] for prompt in prompts],
            # No batch is taken apart, and no token ends a sequence.
            max_batch_size=0,
            end_token=[],
            max_length=new_tokens,
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
            callback=tell,
            asynchronous=True,
        )
        for _ in range(new_tokens * len(prompts)):
            yield [self._next(arrived, results)]

    def _next(self, arrived: queue.SimpleQueue[tuple[int, int]], results: Sequence[Any]) -> tuple[int, int]:
        while True:
            try:
                return arrived.get(timeout=_LOOK_AGAIN_S)
            except queue.Empty:
                # A call that failed or ended early would never tell of another token. result() raises its error.
                if all(result.done() for result in results) and arrived.empty():
                    for result in results:
                        result.result()
                    raise PeerError("CTranslate2 ended before all tokens were there") from None
