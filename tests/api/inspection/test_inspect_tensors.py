"""What tensors count for by their headers."""

from __future__ import annotations

from honed.api.inspection.tensors import by_encoding, logical_shapes, parameters, safetensors_tensor


def test_codes_count_and_what_lies_beside_them_does_not() -> None:
    tensors = [
        safetensors_tensor("a.qweight", (8, 64), "I32", 2048),
        safetensors_tensor("a.scales", (2, 64), "F16", 256),
        safetensors_tensor("a.g_idx", (64,), "I32", 256),
        safetensors_tensor("b.weight", (64, 3), "BF16", 384),
        safetensors_tensor("c_blocks", (4, 16), "U8", 64),
        safetensors_tensor("c_scales", (4, 1), "U8", 4),
        safetensors_tensor("d.weight", (10, 2), "F8_E4M3", 20),
    ]
    assert parameters(tensors, 4) == 8 * 64 * 8 + 64 * 3 + 128 + 20
    assert parameters(tensors, 8) == 8 * 64 * 4 + 64 * 3 + 128 + 20
    assert by_encoding(tensors)["dense bfloat16"] == {"tensors": 1, "bytes": 384}
    shapes = logical_shapes({tensor.name: tensor for tensor in tensors}, quantized=True)
    assert shapes == {"a.weight": None, "b.weight": (64, 3), "c_blocks": None, "d.weight": (10, 2)}
