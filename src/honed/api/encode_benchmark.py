"""Speed of encoders and of other systems with the same weights, measured in one run: names to contenders to a report.

Not here: how a measurement is made (`bench/encoders/`), and our side of it (`encode_runner.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from honed.backends.options import RunOptions
from honed.bench.encoders.contender import EncodeContender, EncodePeer, EncodePlan, EncodeSkipped
from honed.bench.encoders.report import EncodeReport, make_encode_report
from honed.bench.encoders.session import measure_encoders
from honed.bench.encoders.workload import EncodeWorkload, workload_texts
from honed.bench.report import OWN
from honed.bench.session import Progress
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.huggingface.sentence_files import read_sentence_settings
from honed.checkpoints.open import open_checkpoint
from honed.errors import HonedError, ParameterError
from honed.models.registry import read_encoder
from honed.parameters import choice

ENCODER_PEERS = {
    "onnxruntime-int8": ("honed.bench.peers.encoder_onnxruntime:OnnxruntimeEncoderPeer", "int8"),
    "onnxruntime-float32": ("honed.bench.peers.encoder_onnxruntime:OnnxruntimeEncoderPeer", "float32"),
    "openvino-int8": ("honed.bench.peers.encoder_openvino:OpenvinoEncoderPeer", "int8"),
    "openvino-float32": ("honed.bench.peers.encoder_openvino:OpenvinoEncoderPeer", "float32"),
    "pytorch-float32": ("honed.bench.peers.encoder_pytorch:PytorchEncoderPeer", "float32"),
}
"""Class of the adapter, called with the name and with the type of the weights that it runs."""
_GROUPS = {
    "onnxruntime": ("onnxruntime-int8",),
    "openvino": ("openvino-int8",),
    "pytorch": ("pytorch-float32",),
}
REFERENCE = "pytorch-float32"
"""Whose vectors the others are compared with."""


def benchmark_encoders(
    models: Sequence[str],
    workloads: Sequence[EncodeWorkload],
    *,
    against: Iterable[str] = (),
    options: RunOptions | None = None,
    progress: Progress | None = None,
) -> EncodeReport:
    """Measures every model on honed's engine, and each peer of `against` with the weights of the first model, which
    must be a directory that transformers reads. Systems take turns. What fails becomes a skipped row.

    Errors, all before anything is measured, are those of opening a model, and ParameterError for a workload that does
    not fit a model's context and for an unknown peer.
    """
    peers = [encoder_peer(name) for name in encoder_peer_names(against)]
    opened = [(name, open_checkpoint(name)) for name in models]
    contenders: list[EncodeContender | EncodeSkipped] = []

    def announce(what: str) -> None:
        if progress is not None:
            progress(0, 1, what)

    for workload in workloads:
        for name, checkpoint in opened:
            contenders.append(_own(name, checkpoint, workload, options or RunOptions()))
        name, checkpoint = opened[0]
        plan = _plan(name, checkpoint, workload)
        for peer in peers:
            try:
                contenders += peer.contenders(name, checkpoint, plan, announce)
            except HonedError as error:
                contenders.append(EncodeSkipped(peer.name, name, str(error), workload))
    skipped = [one for one in contenders if isinstance(one, EncodeSkipped)]
    ready = [one for one in contenders if isinstance(one, EncodeContender)]
    return make_encode_report([*measure_encoders(ready, progress), *skipped], REFERENCE)


def encoder_peer_names(against: Iterable[str]) -> list[str]:
    """The systems that these values name, each once. ParameterError names the known ones."""
    given = [name for names in against for name in names.split(",") if name]
    found = [name for one in given for name in _GROUPS.get(one, (one,))]
    return list(dict.fromkeys(choice("against", name, [*ENCODER_PEERS, *_GROUPS]) for name in found))


def encoder_peer(name: str) -> EncodePeer:
    """One of `ENCODER_PEERS`."""
    path, dtype = ENCODER_PEERS[name]
    module, _, adapter = path.partition(":")
    made: EncodePeer = getattr(importlib.import_module(module), adapter)(name, dtype)
    return made


def _own(name: str, checkpoint: Checkpoint, workload: EncodeWorkload, options: RunOptions) -> EncodeContender:
    return EncodeContender(
        system=OWN,
        model=name,
        open_function="honed.api.encode_runner:open_runner",
        arguments={"model": name, "asked": "vectors", "options": replace(options, threads=workload.threads).to_json()},
        texts=_plan(name, checkpoint, workload).texts,
        file_bytes=sum(path.stat().st_size for path in checkpoint.files),
        workload=workload,
    )


def _plan(name: str, checkpoint: Checkpoint, workload: EncodeWorkload) -> EncodePlan:
    model = read_encoder(checkpoint.config, checkpoint.path)
    context = model.dimensions.context
    if workload.tokens > context:
        raise ParameterError("tokens", workload.tokens, f"must be at most {context}, the context of {name}")
    settings = read_sentence_settings(checkpoint)
    tokenizer = checkpoint.tokenizer()
    texts = workload_texts(lambda text: tokenizer.encode(text, add_special=False), tokenizer.completed, workload)
    return EncodePlan(
        workload=workload,
        texts=texts,
        pooling=settings.pooling or "mean",
        normalize=settings.normalize,
        types=model.types > 0,
        heads=model.dimensions.heads,
        width=model.width,
    )
