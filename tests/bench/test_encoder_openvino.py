"""The environment of OpenVINO for encoders, and that `honed bench` finds its adapter."""

from __future__ import annotations

from honed.api.encode_benchmark import ENCODER_PEERS
from honed.bench.peers.encoder_openvino import ENVIRONMENT


def test_every_package_is_pinned() -> None:
    assert all("==" in name for step in ENVIRONMENT.installs for name in step.requirements)


def test_both_types_of_weights_are_offered() -> None:
    named = {name: dtype for name, (path, dtype) in ENCODER_PEERS.items() if path.endswith(":OpenvinoEncoderPeer")}
    assert named == {"openvino-int8": "int8", "openvino-float32": "float32"}
