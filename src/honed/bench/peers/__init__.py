"""The systems that honed is measured against: one file each, found by name. Their libraries load in workers only."""

from __future__ import annotations

import importlib

from honed.bench.peers.base import Peer
from honed.errors import ParameterError

PEERS = {
    "pytorch": ("honed.bench.peers.pytorch:PytorchPeer", "bfloat16"),
    # On processors without bfloat16 arithmetic this is the faster of the two by far, and so the fair comparison.
    "pytorch-float32": ("honed.bench.peers.pytorch:PytorchPeer", "float32"),
}
"""Class of the adapter and the type of the weights that it runs."""


def find_peer(name: str) -> Peer:
    """The adapter of a system. ParameterError names the known ones."""
    if name not in PEERS:
        raise ParameterError("against", name, f"must be one of: {', '.join(sorted(PEERS))}")
    home, dtype = PEERS[name]
    module, _, attribute = home.partition(":")
    peer: Peer = getattr(importlib.import_module(module), attribute)(name, dtype)
    return peer
