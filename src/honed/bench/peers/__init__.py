"""The systems that honed is measured against: one file each, found by name. Their libraries load in workers only."""

from __future__ import annotations

import importlib

from honed.bench.peers.base import Peer
from honed.errors import ParameterError

PEERS = {"pytorch": "honed.bench.peers.pytorch:PytorchPeer"}


def find_peer(name: str) -> Peer:
    """The adapter of a system. ParameterError names the known ones."""
    if name not in PEERS:
        raise ParameterError("against", name, f"must be one of: {', '.join(sorted(PEERS))}")
    module, _, attribute = PEERS[name].partition(":")
    peer: Peer = getattr(importlib.import_module(module), attribute)()
    return peer
