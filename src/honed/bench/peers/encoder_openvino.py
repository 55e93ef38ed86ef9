"""OpenVINO as an encoder: converted from torch, then quantized after training by NNCF, both weights and activations in
int8, as its documents have it for transformers; or the float32 graph as it is.

NNCF's ranges of activations are static, found on texts of the workload's own kind; the cosine says what that costs.
Pooling is numpy's. Inference precision is float32 where nothing is quantized, and bfloat16 only where the plugin
chooses it itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.encoders.contender import EncodeContender, EncodePlan, EncodeRunner
from honed.bench.isolate import call_isolated
from honed.bench.peers.base import Announce
from honed.bench.peers.conversion import converted
from honed.bench.peers.encoder_pytorch import plain_directory
from honed.bench.peers.encoder_rectangle import CLASSES, RectangleRunner, rectangle
from honed.bench.peers.environment import Environment, Install

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

VERSION = "2026.4.1"
NNCF_VERSION = "3.4.0"
ENVIRONMENT = Environment(
    "openvino-encoder",
    # torch, transformers and nncf are read by the conversion alone; the measured process imports none of them.
    (
        Install(
            (
                f"openvino=={VERSION}",
                f"nncf=={NNCF_VERSION}",
                "torch==2.13.0",
                "transformers==5.24.0",
                "numpy==2.4.6",
            )
        ),
    ),
    needed_bytes=4 << 30,
)
_MARGIN = 256 << 20
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_CALIBRATED_BATCH = 8
"""Texts that go through together while ranges are found."""


@dataclass(frozen=True)
class OpenvinoEncoderPeer:
    """dtype: int8, or float32."""

    name: str
    dtype: str

    def contenders(
        self, model: str, checkpoint: Checkpoint, plan: EncodePlan, announce: Announce
    ) -> Sequence[EncodeContender]:
        from honed.bench.encoders.workload import EncodeWorkload, workload_texts

        source = plain_directory(checkpoint)
        python = str(ENVIRONMENT.python(announce))
        tokenizer = checkpoint.tokenizer()
        # Other pieces of the same text than are measured would be fairer to the cosine, and no different in speed.
        calibration = workload_texts(
            lambda text: tokenizer.encode(text, add_special=False),
            tokenizer.completed,
            EncodeWorkload(texts=128, tokens=64, ragged=True),
        )
        job = {
            "source": str(source),
            "asked": plan.asked,
            "types": plan.types,
            "texts": [list(text) for text in calibration],
        }
        size = sum(path.stat().st_size for path in checkpoint.files)

        def make(directory: Path) -> None:
            announce(f"converting {checkpoint.path.name} for {self.name}")
            call_isolated(
                "honed.bench.peers.encoder_openvino:convert_in_worker",
                {**job, "target": str(directory)},
                interpreter=python,
            )

        form = f"openvino-encoder-{VERSION}-nncf-{NNCF_VERSION}-{plan.asked}"
        file = converted(checkpoint, form, make, needed=4 * size + _MARGIN) / f"{self.dtype}.xml"
        return [
            EncodeContender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.encoder_openvino:open_runner",
                arguments={
                    "file": str(file),
                    "threads": plan.workload.threads,
                    "dtype": self.dtype,
                    "asked": plan.asked,
                    "pooling": plan.pooling,
                    "normalize": plan.normalize,
                },
                texts=plan.texts,
                file_bytes=file.with_suffix(".bin").stat().st_size,
                workload=plan.workload,
                interpreter=python,
            )
        ]


def convert_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source (a directory that
    transformers reads), target (an empty one), asked, types, texts (token ids that ranges are found on)."""
    import numpy as np

    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    runtime, nncf = importlib.import_module("openvino"), importlib.import_module("nncf")
    target = Path(arguments["target"])
    model = (
        getattr(transformers, CLASSES[arguments["asked"]])
        .from_pretrained(arguments["source"], local_files_only=True)
        .eval()
    )
    names = _INPUTS[: 3 if arguments["types"] else 2]

    class Rows(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True)))[0]

    ids = torch.ones((2, 8), dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    shape = runtime.PartialShape([-1, -1])
    found = runtime.convert_model(
        Rows().eval(),
        example_input=(ids, mask, torch.zeros_like(ids))[: len(names)],
        input=[(shape, runtime.Type.i64)] * len(names),
    )
    for given, name in zip(found.inputs, names, strict=True):
        given.get_tensor().set_names({name})
    runtime.save_model(found, target / "float32.xml", compress_to_fp16=False)

    def batch(texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        ids, mask = (np.array(values, dtype=np.int64) for values in rectangle(texts))
        return {name: (ids, mask, np.zeros_like(ids))[place] for place, name in enumerate(names)}

    texts = arguments["texts"]
    batches = [batch(texts[first : first + _CALIBRATED_BATCH]) for first in range(0, len(texts), _CALIBRATED_BATCH)]
    quantized = nncf.quantize(
        runtime.Core().read_model(target / "float32.xml"),
        nncf.Dataset(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(batches),
    )
    runtime.save_model(quantized, target / "int8.xml", compress_to_fp16=False)


def open_runner(arguments: Mapping[str, Any]) -> EncodeRunner:
    """Loads in the worker. arguments: file, threads, dtype, asked, pooling, normalize."""
    runtime = importlib.import_module("openvino")
    compiled = runtime.Core().compile_model(
        arguments["file"],
        "CPU",
        {"INFERENCE_NUM_THREADS": arguments["threads"], "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1},
    )
    request = compiled.create_infer_request()

    def run(given: Mapping[str, Any]) -> Any:
        return request.infer(given, share_inputs=True, share_outputs=True)[0]

    return RectangleRunner(run, [given.get_any_name() for given in compiled.inputs], arguments)
