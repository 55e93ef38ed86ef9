"""The systems that honed is measured against: one file each, found by name. Their libraries load in workers only."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from honed.bench.peers.base import Peer
from honed.errors import ParameterError

PEERS = {
    "ctranslate2": ("honed.bench.peers.ctranslate2:Ctranslate2Peer", "int8"),
    "llama.cpp-q4_0": ("honed.bench.peers.llama_cpp:LlamaCppPeer", "q4_0"),
    "llama.cpp-q8_0": ("honed.bench.peers.llama_cpp:LlamaCppPeer", "q8_0"),
    # A GGUF source as it is, in whatever encoding.
    "llama.cpp-file": ("honed.bench.peers.llama_cpp:LlamaCppPeer", "file"),
    "onnxruntime-int4": ("honed.bench.peers.onnxruntime:OnnxruntimePeer", "int4"),
    "onnxruntime-int8": ("honed.bench.peers.onnxruntime:OnnxruntimePeer", "int8"),
    "openvino-int4": ("honed.bench.peers.openvino:OpenvinoPeer", "int4"),
    "openvino-int8": ("honed.bench.peers.openvino:OpenvinoPeer", "int8"),
    "pytorch": ("honed.bench.peers.pytorch:PytorchPeer", "bfloat16"),
    # On processors without bfloat16 arithmetic this is the faster of the two by far, and so the fair comparison.
    "pytorch-float32": ("honed.bench.peers.pytorch:PytorchPeer", "float32"),
}
"""Class of the adapter, called with the name and with the type of the weights that it runs."""

GROUPS = {
    "llama.cpp": ("llama.cpp-q4_0", "llama.cpp-q8_0"),
    "onnxruntime": ("onnxruntime-int4", "onnxruntime-int8"),
    "openvino": ("openvino-int4", "openvino-int8"),
}
"""Names that stand for several."""


def peer_names(asked: Iterable[str]) -> list[str]:
    """The systems that the values of `--against` name, each once: lists with commas, and groups taken apart.

    ParameterError names the known ones.
    """
    names: dict[str, None] = {}
    for part in (part.strip() for text in asked for part in text.split(",")):
        if not part:
            continue
        if part not in PEERS and part not in GROUPS:
            raise ParameterError("against", part, f"must be one of: {', '.join(sorted({*PEERS, *GROUPS}))}")
        names.update(dict.fromkeys(GROUPS.get(part, (part,))))
    return list(names)


def find_peer(name: str) -> Peer:
    """The adapter of one of `PEERS`."""
    home, dtype = PEERS[name]
    module, _, attribute = home.partition(":")
    peer: Peer = getattr(importlib.import_module(module), attribute)(name, dtype)
    return peer
