"""PyTorch through transformers: bfloat16 or float32 weights, eager mode, its own KV cache, greedy.

The loop below calls the model directly and computes only the logits that it needs, which is a little faster than
`generate()`: the comparison leans towards the peer. torch is imported in the measured process only.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from honed.bench.contender import Contender
from honed.bench.peers.base import Announce, Footprint, Runner, Step
from honed.bench.peers.environment import Environment, Install
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import Workload, workload_prompts

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

_LIBRARIES = ("torch", "transformers")
ENVIRONMENT = Environment("pytorch", (Install(("torch==2.13.0", "transformers==5.24.0", "numpy==2.4.6")),))


@dataclass(frozen=True)
class PytorchPeer:
    """Plans measurements of transformers' AutoModelForCausalLM: in the running environment where that has both
    libraries, else in one of its own."""

    name: str
    dtype: str

    def unavailable(self) -> str | None:
        return None

    def contenders(
        self, model: str, checkpoint: Checkpoint, workload: Workload, announce: Announce
    ) -> Sequence[Contender]:
        from honed.bench.peers.dense_copy import dense_directory

        installed = all(importlib.util.find_spec(name) is not None for name in _LIBRARIES)
        interpreter = None if installed else str(ENVIRONMENT.python(announce))
        directory = dense_directory(checkpoint)
        return [
            Contender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.pytorch:open_runner",
                arguments={"directory": str(directory), "threads": workload.threads, "dtype": self.dtype},
                prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
                file_bytes=sum(file.stat().st_size for file in directory.glob("*.safetensors")),
                workload=workload,
                environment={
                    "OMP_NUM_THREADS": str(workload.threads),
                    "HF_HUB_OFFLINE": "1",
                    "TOKENIZERS_PARALLELISM": "false",
                },
                interpreter=interpreter,
            )
        ]

    def own_tool(self, contender: Contender, announce: Announce) -> OwnTool | NoTool:
        return OwnTool(
            name="whole calls of generate()",
            function="honed.bench.peers.pytorch_tool:measure_in_worker",
            arguments={
                **contender.arguments,
                "prompts": [list(prompt) for prompt in contender.prompts],
                "new_tokens": contender.timed_tokens,
            },
            interpreter=contender.interpreter,
            environment=contender.environment,
        )


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads in the worker. arguments: directory, threads, dtype."""
    torch, transformers, model = open_model(arguments)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments["directory"], local_files_only=True)
    return PytorchRunner(torch, model, tokenizer, arguments["dtype"])


def open_model(arguments: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """torch, transformers and the loaded model."""
    torch, transformers = (importlib.import_module(name) for name in _LIBRARIES)
    torch.set_num_threads(arguments["threads"])
    keyword = dtype_keyword(transformers, getattr(torch, arguments["dtype"]))
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments["directory"], local_files_only=True, **keyword)
    return torch, transformers, model.eval()


def dtype_keyword(transformers: Any, dtype: Any) -> dict[str, Any]:
    """That of `from_pretrained`, which was renamed in transformers 4.56."""
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    return {"dtype" if version >= (4, 56) else "torch_dtype": dtype}


class PytorchRunner:
    """The measured side. `torch` is passed in, since this module must not import it."""

    def __init__(self, torch: Any, model: Any, tokenizer: Any, dtype: str) -> None:
        self._torch = torch
        self._model = model
        self._tokenizer = tokenizer
        self._dtype = dtype
        # Renamed in transformers 5.
        self._cache = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    @property
    def isa(self) -> str | None:
        return str(self._torch.backends.cpu.get_cpu_capability()).lower()

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def footprint(self) -> Footprint:
        """The limit on arithmetic is left open: which units run a bfloat16 product is the library's secret."""
        head = self._model.get_output_embeddings().weight
        table = self._model.get_input_embeddings().weight
        matrices = [p for p in self._model.parameters() if p.ndim == 2 and p is not head and p is not table]
        layers = sum(p.numel() for p in matrices)
        config = self._model.config
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return Footprint(
            weight_bytes=(layers + head.numel()) * head.element_size(),
            kv_bytes_per_position=2
            * config.num_hidden_layers
            * config.num_key_value_heads
            * head_dim
            * head.element_size(),
            prompt_operations=2 * layers,
            head_operations=2 * head.numel(),
            arithmetic="other",
        )

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text)["input_ids"]
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (tokens[0] for tokens in self._decode([prompt], new_tokens))

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        return (list(enumerate(tokens)) for tokens in self._decode(prompts, new_tokens))

    def _decode(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[list[int]]:
        torch = self._torch
        ids = torch.tensor([list(prompt) for prompt in prompts])
        cache = None
        for _ in range(new_tokens):
            with torch.inference_mode():
                out = self._model(ids, use_cache=True, logits_to_keep=1, **{self._cache: cache})
                cache = getattr(out, self._cache)
                ids = out.logits[:, -1].argmax(dim=-1, keepdim=True)
            yield ids[:, 0].tolist()
