"""ONNX Runtime as an encoder: exported by torch, fused by its own optimizer, then weights in int8 and activations
quantized as they come (dynamic quantization), each with its own tools.

Scales are per output channel. On x86 without dot products of bytes its kernels saturate where weights take all eight
bits, so that weights get seven there (`reduce_range`), as its documents advise. The optimizer's fused attention,
LayerNorm and GELU are taken for BERT; pooling is numpy's.
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
from honed.bench.peers.encoder_rectangle import CLASSES, RectangleRunner
from honed.bench.peers.environment import Environment, Install

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

VERSION = "1.32.0"
ENVIRONMENT = Environment(
    "onnxruntime-encoder",
    # torch, transformers and onnx are read by the conversion alone; the measured process imports none of them.
    (
        Install(
            (
                f"onnxruntime=={VERSION}",
                "onnx==1.23.2",
                "onnxscript==0.7.2",
                "torch==2.13.0",
                "transformers==5.24.0",
                "numpy==2.4.6",
            )
        ),
    ),
    needed_bytes=4 << 30,
)
_OPSET = 17
_MARGIN = 256 << 20
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FLOAT = 1
"""onnx.TensorProto.FLOAT, for what its shape inference does not know of fused ops."""


@dataclass(frozen=True)
class OnnxruntimeEncoderPeer:
    """dtype: int8, or float32 for the fused graph as it is."""

    name: str
    dtype: str

    def contenders(
        self, model: str, checkpoint: Checkpoint, plan: EncodePlan, announce: Announce
    ) -> Sequence[EncodeContender]:
        from honed.native import extension

        source = plain_directory(checkpoint)
        python = str(ENVIRONMENT.python(announce))
        features = extension.features()
        has_dot = features["architecture"] != "x86_64" or any("vnni" in name for name in features["instruction_sets"])
        job = {
            "source": str(source),
            "asked": plan.asked,
            "types": plan.types,
            "heads": plan.heads,
            "width": plan.width,
            "reduce_range": not has_dot,
        }
        size = sum(path.stat().st_size for path in checkpoint.files)

        def make(directory: Path) -> None:
            announce(f"converting {checkpoint.path.name} for {self.name}")
            call_isolated(
                "honed.bench.peers.encoder_onnxruntime:convert_in_worker",
                {**job, "target": str(directory)},
                interpreter=python,
            )

        form = f"onnxruntime-encoder-{VERSION}-{plan.asked}-int8{'' if has_dot else '-reduced'}"
        directory = converted(checkpoint, form, make, needed=4 * size + _MARGIN)
        file = directory / f"{self.dtype}.onnx"
        return [
            EncodeContender(
                system=self.name,
                model=model,
                open_function="honed.bench.peers.encoder_onnxruntime:open_runner",
                arguments={
                    "file": str(file),
                    "threads": plan.workload.threads,
                    "dtype": self.dtype,
                    "asked": plan.asked,
                    "pooling": plan.pooling,
                    "normalize": plan.normalize,
                },
                texts=plan.texts,
                file_bytes=file.stat().st_size,
                workload=plan.workload,
                interpreter=python,
            )
        ]


def convert_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source (a directory that
    transformers reads), target (an empty one), asked, types, heads, width, reduce_range."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    target = Path(arguments["target"])
    model = (
        getattr(transformers, CLASSES[arguments["asked"]])
        .from_pretrained(arguments["source"], local_files_only=True, attn_implementation="eager")
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
    exported = target / "exported.onnx"
    torch.onnx.export(
        Rows().eval(),
        (ids, mask, torch.zeros_like(ids))[: len(names)],
        str(exported),
        input_names=list(names),
        output_names=["rows"],
        dynamic_axes={name: {0: "text", 1: "token"} for name in (*names, "rows")},
        opset_version=_OPSET,
        # Its optimizer knows the patterns of this exporter.
        dynamo=False,
    )
    optimizer = importlib.import_module("onnxruntime.transformers.optimizer")
    fused = optimizer.optimize_model(
        str(exported), model_type="bert", num_heads=arguments["heads"], hidden_size=arguments["width"], opt_level=0
    )
    fused.save_model_to_file(str(target / "float32.onnx"))
    quantization = importlib.import_module("onnxruntime.quantization")
    quantization.quantize_dynamic(
        str(target / "float32.onnx"),
        str(target / "int8.onnx"),
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=arguments["reduce_range"],
        extra_options={"DefaultTensorType": _FLOAT},
    )
    exported.unlink()


def open_runner(arguments: Mapping[str, Any]) -> EncodeRunner:
    """Loads in the worker. arguments: file, threads, dtype, asked, pooling, normalize."""
    library = importlib.import_module("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = arguments["threads"]
    options.inter_op_num_threads = 1
    session = library.InferenceSession(arguments["file"], options, providers=["CPUExecutionProvider"])

    def run(given: Mapping[str, Any]) -> Any:
        return session.run(None, dict(given))[0]

    return RectangleRunner(run, [given.name for given in session.get_inputs()], arguments)
