"""PyTorch through transformers as an encoder: float32, its scaled dot product attention, pooled in torch.

That is what sentence-transformers runs, without the tokenizer: token ids come in for every system alike. torch is
imported in the measured process only.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.encoders.contender import EncodeContender, EncodePlan, EncodeRunner, Vectors
from honed.bench.peers.base import Announce, PeerError
from honed.bench.peers.encoder_rectangle import CLASSES, rectangle
from honed.bench.peers.pytorch import ENVIRONMENT, dtype_keyword

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

_LIBRARIES = ("torch", "transformers")


@dataclass(frozen=True)
class PytorchEncoderPeer:
    """In the running environment where that has both libraries, else in one of its own."""

    name: str
    dtype: str

    def contenders(
        self, model: str, checkpoint: Checkpoint, plan: EncodePlan, announce: Announce
    ) -> Sequence[EncodeContender]:
        directory = plain_directory(checkpoint)
        installed = all(importlib.util.find_spec(name) is not None for name in _LIBRARIES)
        threads = plan.workload.threads
        return [
            EncodeContender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.encoder_pytorch:open_runner",
                arguments={
                    "directory": str(directory),
                    "threads": threads,
                    "dtype": self.dtype,
                    "asked": plan.asked,
                    "pooling": plan.pooling,
                    "normalize": plan.normalize,
                },
                texts=plan.texts,
                file_bytes=sum(path.stat().st_size for path in checkpoint.files),
                workload=plan.workload,
                environment={
                    "OMP_NUM_THREADS": str(threads),
                    "HF_HUB_OFFLINE": "1",
                    "TOKENIZERS_PARALLELISM": "false",
                },
                interpreter=None if installed else str(ENVIRONMENT.python(announce)),
            )
        ]


def plain_directory(checkpoint: Checkpoint) -> Path:
    """The directory of a checkpoint as transformers reads it. PeerError for any other kind."""
    if checkpoint.kind != "huggingface" or not checkpoint.path.is_dir():
        raise PeerError(f"{checkpoint.path}: other systems read encoders from Hugging Face directories only")
    return checkpoint.path


def open_runner(arguments: Mapping[str, Any]) -> EncodeRunner:
    """Loads in the worker. arguments: directory, threads, dtype, asked, pooling, normalize."""
    torch, transformers = (importlib.import_module(name) for name in _LIBRARIES)
    torch.set_num_threads(arguments["threads"])
    keyword = dtype_keyword(transformers, getattr(torch, arguments["dtype"]))
    of = getattr(transformers, CLASSES[arguments["asked"]])
    model = of.from_pretrained(arguments["directory"], local_files_only=True, **keyword)
    return PytorchEncoderRunner(torch, model.eval(), arguments)


class PytorchEncoderRunner:
    """The measured side. `torch` is passed in, since this module must not import it."""

    def __init__(self, torch: Any, model: Any, arguments: Mapping[str, Any]) -> None:
        self._torch = torch
        self._model = model
        self._arguments = arguments

    @property
    def isa(self) -> str | None:
        return str(self._torch.backends.cpu.get_cpu_capability())

    @property
    def dtype(self) -> str:
        return str(self._arguments["dtype"])

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        torch = self._torch
        ids, mask = rectangle(texts)
        with torch.inference_mode():
            ids, mask = torch.tensor(ids), torch.tensor(mask)
            found = self._model(input_ids=ids, attention_mask=mask)
            if self._arguments["asked"] == "classes":
                return found.logits.float()
            if self._arguments["asked"] == "tags":
                return [row[: len(text)].float().reshape(-1) for row, text in zip(found.logits, texts, strict=True)]
            rows = found.last_hidden_state.float()
            match self._arguments["pooling"]:
                case "mean":
                    weights = mask.unsqueeze(-1).float()
                    pooled = (rows * weights).sum(1) / weights.sum(1)
                case "cls":
                    pooled = rows[:, 0]
                case _:
                    pooled = rows[torch.arange(len(texts)), mask.sum(1) - 1]
            return torch.nn.functional.normalize(pooled, dim=1) if self._arguments["normalize"] else pooled

    def numbers(self, vectors: Any) -> Vectors:
        return [vector.tolist() for vector in vectors]
