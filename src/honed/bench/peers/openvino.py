"""OpenVINO GenAI: int8 or int4 weights compressed by NNCF, its continuous batching pipeline on the CPU plugin.

Of its ways to run a model this is the fastest, and one whose steps can be driven from outside; it computes logits for
the tokens that are sampled from only. The cache of prompts is off, since the same prompts come again. Both inference
precisions are measured and the better one counts. Dynamic quantization of activations and the precision of keys and
values stay at the plugin's own choice.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.contender import Contender
from honed.bench.isolate import call_isolated
from honed.bench.peers.base import Announce, Footprint, Runner, Step
from honed.bench.peers.conversion import converted
from honed.bench.peers.environment import Environment, Install
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import FIRST_PROMPT, Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

VERSION = "2026.4.1"
NNCF_VERSION = "3.4.0"
GROUPS = (128, 64, 32)
"""Sizes of int4 groups, the fastest first; the first one that divides every row is taken."""
PRECISIONS = ("f32", "bf16")
ENVIRONMENT = Environment(
    "openvino",
    (
        # torch, transformers and optimum are read by the converter alone; the measured process imports none of them.
        Install(
            (
                f"openvino=={VERSION}",
                f"openvino-genai=={VERSION}.0",
                f"openvino-tokenizers=={VERSION}.0",
                f"nncf=={NNCF_VERSION}",
                "torch==2.13.0",
                "transformers==5.5.4",
                "requests==2.34.2",
                "numpy==2.4.6",
            )
        ),
        # What it depends on is above, but for torchvision, whose builds do not go with a CPU build of torch.
        Install(("optimum-intel==2.2.0", "optimum==2.3.0"), options=("--no-deps",)),
    ),
    needed_bytes=4 << 30,
)
_HEAD_BITS = 8
_SCALE_BITS = 16
_MARGIN = 256 << 20
_MODEL = "openvino_model.xml"
_BLOCK = 32
"""Positions of a block of its KV cache on this plugin."""


@dataclass(frozen=True)
class OpenvinoPeer:
    """dtype: int8, one scale and zero point a row; or int4, symmetric groups and an int8 head, as NNCF does it."""

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
        shape = DenseShape.of(source)
        group = shape.group(GROUPS)
        label = "int8" if self.dtype == "int8" else f"int4 group {group}"

        def make(directory: Path) -> None:
            announce(f"converting {checkpoint.path.name} for {self.name}")
            job = {"source": str(source), "target": str(directory), "group": group if self.dtype == "int4" else None}
            call_isolated("honed.bench.peers.openvino:convert_in_worker", job, interpreter=python)

        form = f"openvino-{VERSION}-nncf-{NNCF_VERSION}-{label.replace(' ', '-')}"
        size = sum(file.stat().st_size for file in source.glob("*.safetensors"))
        directory = converted(checkpoint, form, make, needed=3 * size + _MARGIN)
        layer_bits = 4 + _SCALE_BITS / group if self.dtype == "int4" else _HEAD_BITS
        # The plugin holds keys and values as 8 bits by default.
        footprint = shape.footprint(layer_bits=layer_bits, head_bits=_HEAD_BITS, kv_element_bytes=1, arithmetic="other")
        return [
            Contender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.openvino:open_runner",
                arguments={
                    "directory": str(directory),
                    "threads": workload.threads,
                    "precision": precision,
                    "sequences": workload.batch,
                    "positions": max(workload.positions, len(FIRST_PROMPT)),
                    "dtype": label,
                    "footprint": asdict(footprint),
                },
                prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
                file_bytes=(directory / _MODEL).with_suffix(".bin").stat().st_size,
                workload=workload,
                interpreter=python,
                variant=f"{precision} inference",
            )
            for precision in PRECISIONS
        ]

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        settings = ("directory", "threads", "precision")
        return OwnTool(
            name="the way of benchmark_genai",
            function="honed.bench.peers.openvino_tool:measure_in_worker",
            arguments={
                **{name: contender.arguments[name] for name in settings},
                "prompts": [list(prompt) for prompt in contender.prompts],
                "new_tokens": contender.timed_tokens,
            },
            interpreter=contender.interpreter,
            environment=contender.environment,
        )


def convert_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source (a dense directory), target
    (an empty one), group (of int4; None: int8)."""
    runtime, nncf = importlib.import_module("openvino"), importlib.import_module("nncf")
    optimum = importlib.import_module("optimum.intel")
    export = importlib.import_module("optimum.exporters.openvino").main_export
    target = Path(arguments["target"])
    export(
        arguments["source"],
        target,
        task="text-generation-with-past",
        # A config that compresses nothing: without one, large models come out as int8.
        ov_config=optimum.OVConfig(dtype="fp16"),
        stateful=True,
        convert_tokenizer=True,
        local_files_only=True,
    )
    model = runtime.Core().read_model(target / _MODEL)
    modes = nncf.CompressWeightsMode
    if arguments["group"] is None:
        compressed = nncf.compress_weights(model, mode=modes.INT8_ASYM)
    else:
        compressed = nncf.compress_weights(model, mode=modes.INT4_SYM, group_size=arguments["group"], ratio=1.0)
    # Beside the exported model, which is still mapped.
    beside = target / "compressed.xml"
    runtime.save_model(compressed, beside, compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        beside.with_suffix(suffix).replace((target / _MODEL).with_suffix(suffix))


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads in the worker. arguments: directory, threads, precision, sequences, positions, dtype, footprint."""
    library = importlib.import_module("openvino_genai")
    scheduler = library.SchedulerConfig()
    scheduler.num_kv_blocks = arguments["sequences"] * (-(-arguments["positions"] // _BLOCK) + 1)
    scheduler.max_num_seqs = arguments["sequences"]
    # All prompts in one step, none of them in pieces.
    scheduler.max_num_batched_tokens = arguments["sequences"] * arguments["positions"]
    scheduler.dynamic_split_fuse = False
    scheduler.enable_prefix_caching = False
    settings = {"INFERENCE_NUM_THREADS": arguments["threads"], "INFERENCE_PRECISION_HINT": arguments["precision"]}
    pipeline = library.ContinuousBatchingPipeline(arguments["directory"], scheduler, "CPU", settings)
    tensor = importlib.import_module("openvino").Tensor
    return OpenvinoRunner(library, tensor, pipeline, arguments["dtype"], Footprint(**arguments["footprint"]))


def closed_load(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls, to set servers beside it: prompts through continuous batching, a new one as
    soon as one has ended. arguments: those of `open_runner`, prompts (texts), new_tokens (of
    each). Gives tokens, seconds, and cpu_seconds of the process meanwhile."""
    runner = open_runner(arguments)
    prompts = [runner.encode(text) for text in arguments["prompts"]]
    for _ in runner.generate_batch(prompts, arguments["new_tokens"]):
        pass  # a server has run before, too
    cpu, started = time.process_time(), time.perf_counter()
    tokens = sum(len(step) for step in runner.generate_batch(prompts, arguments["new_tokens"]))
    return {
        "tokens": tokens,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
    }


class OpenvinoRunner:
    """The measured side. `library` and `tensor`, the class, are passed in, since this module must not import them."""

    def __init__(self, library: Any, tensor: Any, pipeline: Any, dtype: str, footprint: Footprint) -> None:
        self._library = library
        self._tensor = tensor
        self._pipeline = pipeline
        self._tokenizer = pipeline.get_tokenizer()
        self._dtype = dtype
        self._footprint = footprint
        self._requests = 0

    @property
    def footprint(self) -> Footprint:
        return self._footprint

    @property
    def isa(self) -> str | None:
        """It does not say which of the processor's instructions it uses."""
        return None

    @property
    def dtype(self) -> str:
        return self._dtype

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in self._tokenizer.encode(text).input_ids.data[0]]

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self.generate_batch([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """One request for each prompt, added before the first step."""
        import numpy as np

        config = self._library.GenerationConfig()
        config.max_new_tokens = new_tokens
        config.ignore_eos = True
        config.do_sample = False
        handles = []
        for prompt in prompts:
            ids = self._tensor(np.array([prompt], dtype=np.int64))
            handles.append(self._pipeline.add_request(self._requests, ids, config))
            self._requests += 1
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            yield [(index, token) for index, handle in enumerate(handles) for token in _arrived(handle)]


def _arrived(handle: Any) -> Iterator[int]:
    """The tokens of a request that have not been read yet."""
    while handle.can_read():
        for output in handle.read().values():
            yield from output.generated_ids
