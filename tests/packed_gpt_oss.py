"""A tiny gpt-oss as it circulates, its experts in MXFP4, and what transformers gives for it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from tiny_models import GPT_OSS, SIZES

CONFIG: dict[str, Any] = {**SIZES, **GPT_OSS, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
CONFIG |= {"num_hidden_layers": 3, "sliding_window": 7}
TOKENS = np.random.default_rng(4).integers(0, 97, 33).astype(np.int32)


@functools.cache
def packed_tensors() -> dict[str, torch.Tensor]:
    """Of a random model, experts packed."""
    torch.manual_seed(5)
    model = _model(CONFIG)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in [name for name in tensors if name.endswith("_proj") and "experts" in name]:
        count, inputs, outputs = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.randint(0, 256, (count, outputs, inputs // 32, 16), dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.randint(121, 125, (count, outputs, inputs // 32), dtype=torch.uint8)
    return tensors


def _model(config: dict[str, Any]) -> Any:
    made = transformers.AutoConfig.for_model("gpt_oss", **config, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(made).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model


def packed(folder: Path, **changed: torch.Tensor) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(packed_tensors() | changed, folder / "model.safetensors", {"format": "pt"})
    config = {**CONFIG, "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"]}
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@functools.cache
def expected() -> NDArray[np.float32]:
    """Logits by transformers, of the weights that it unpacks."""
    model = _model(CONFIG)
    tensors = dict(packed_tensors())
    for name in [name.removesuffix("_blocks") for name in tensors if name.endswith("_blocks")]:
        tensors[name] = convert_moe_packed_tensors(tensors.pop(f"{name}_blocks"), tensors.pop(f"{name}_scales"))
    model.load_state_dict(tensors)
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(torch.from_numpy(TOKENS[None].astype(np.int64))).logits[0].numpy()
    return logits
