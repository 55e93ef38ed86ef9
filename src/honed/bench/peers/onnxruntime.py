"""ONNX Runtime GenAI: int4 or int8 weights in blocks, from its own model builder, on the CPU provider.

The builder's default for both is symmetric weights that meet activations quantized to int8 (accuracy level 4), the head
like the rest, float32 keys and values in a buffer that is shared from step to step. Chosen here: the head runs for the
last token of a prompt only, and blocks are larger than the default of 32 where they fit, which is faster.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
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
from honed.bench.workload import Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

VERSION = "0.18.0"
BLOCKS = (128, 64, 32)
"""Sizes of blocks, the fastest first; the first one that divides every row is taken."""
BITS = {"int4": 4, "int8": 8}
OPTIONS = {"accuracy_level": "4", "is_symmetric": "true", "prune_lm_head": "true"}
"""Of the builder (`--extra_options`)."""
ENVIRONMENT = Environment(
    "onnxruntime",
    # torch, transformers and onnx-ir are read by the builder alone; the measured process imports none of them.
    (
        Install(
            (
                f"onnxruntime-genai=={VERSION}",
                "onnxruntime==1.32.0",
                "onnx-ir==1.1.0",
                "torch==2.13.0",
                "transformers==5.24.0",
                "numpy==2.4.6",
            )
        ),
    ),
    needed_bytes=4 << 30,
)
_SCALE_BITS = 32
_MARGIN = 256 << 20


@dataclass(frozen=True)
class OnnxruntimePeer:
    """dtype: int4 or int8."""

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
        block = shape.group(BLOCKS)
        size = sum(file.stat().st_size for file in source.glob("*.safetensors"))

        def make(directory: Path) -> None:
            announce(f"converting {checkpoint.path.name} for {self.name}")
            job = {"source": str(source), "target": str(directory), "precision": self.dtype, "block": block}
            call_isolated("honed.bench.peers.onnxruntime:convert_in_worker", job, interpreter=python)

        # An int8 model holds its embedding table as float32: twice the size of the source, at most.
        form = f"onnxruntime-{VERSION}-{self.dtype}-block-{block}"
        directory = converted(checkpoint, form, make, needed=2 * size + _MARGIN)
        bits = BITS[self.dtype] + _SCALE_BITS / block
        footprint = shape.footprint(layer_bits=bits, head_bits=bits, kv_element_bytes=4, arithmetic="int8")
        return [
            Contender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.onnxruntime:open_runner",
                arguments={
                    "directory": str(directory),
                    "threads": workload.threads,
                    "dtype": f"{self.dtype} block {block}",
                    "footprint": asdict(footprint),
                },
                prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
                file_bytes=sum(file.stat().st_size for file in directory.glob("*.data")),
                workload=workload,
                interpreter=python,
            )
        ]

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        return OwnTool(
            name="the way of benchmark_e2e.py",
            function="honed.bench.peers.onnxruntime_tool:measure_in_worker",
            arguments={
                "directory": contender.arguments["directory"],
                "threads": contender.arguments["threads"],
                "prompts": [list(prompt) for prompt in contender.prompts],
                "new_tokens": contender.timed_tokens,
            },
            interpreter=contender.interpreter,
            environment=contender.environment,
        )


def convert_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source (a dense directory), target
    (an empty one), precision, block."""
    target = arguments["target"]
    options = [f"{name}={value}" for name, value in {**OPTIONS, "block_size": arguments["block"]}.items()]
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        command = ["-i", arguments["source"], "-o", target, "-p", arguments["precision"], "-e", "cpu", "-c", scratch]
        # Its command line is its interface: the functions behind it want arguments that it alone prepares.
        subprocess.run(
            [sys.executable, "-m", "onnxruntime_genai.models.builder", *command, "--extra_options", *options],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
            check=True,
        )


def session_overlay(threads: int, model: Mapping[str, Any] | None = None) -> str:
    """What of its configuration is set here: the number of threads, and entries of the model beside it."""
    session = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
    return json.dumps({"model": {**(model or {}), "decoder": {"session_options": session}}})


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads in the worker. arguments: directory, threads, dtype, footprint."""
    library = importlib.import_module("onnxruntime_genai")
    config = library.Config(arguments["directory"])
    # Without an end token no sequence of a batch turns into padding before the others end.
    config.overlay(session_overlay(arguments["threads"], {"eos_token_id": []}))
    return OnnxruntimeRunner(library, library.Model(config), arguments["dtype"], Footprint(**arguments["footprint"]))


class OnnxruntimeRunner:
    """The measured side. `library` is passed in, since this module must not import it."""

    def __init__(self, library: Any, model: Any, dtype: str, footprint: Footprint) -> None:
        self._library = library
        self._model = model
        self._tokenizer = library.Tokenizer(model)
        self._dtype = dtype
        self._footprint = footprint

    @property
    def footprint(self) -> Footprint:
        return self._footprint

    @property
    def isa(self) -> str | None:
        """It does not say."""
        return None

    @property
    def dtype(self) -> str:
        return self._dtype

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in self._tokenizer.encode(text)]

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self.generate_batch([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """The prompts in one pass, then all sequences in one pass a step."""
        import numpy as np

        ids = np.array(prompts, dtype=np.int32)
        params = self._library.GeneratorParams(self._model)
        params.set_search_options(
            batch_size=len(prompts), max_length=ids.shape[1] + new_tokens, do_sample=False, num_beams=1
        )
        generator = self._library.Generator(self._model, params)
        generator.append_tokens(ids)
        for _ in range(new_tokens):
            generator.generate_next_token()
            yield list(enumerate(generator.get_next_tokens().tolist()))
