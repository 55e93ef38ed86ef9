"""The environment of ONNX Runtime for encoders."""

from __future__ import annotations

from honed.bench.peers.encoder_onnxruntime import ENVIRONMENT


def test_every_package_is_pinned() -> None:
    assert all("==" in name for step in ENVIRONMENT.installs for name in step.requirements)
