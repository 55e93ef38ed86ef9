"""A checkpoint as a GGUF file for llama.cpp, quantized by llama.cpp itself, and what such a file costs a token.

The dense weights are written as bfloat16 with the `gguf` package, in the environment of the peer, and quantized there;
the intermediate file is deleted. Models with scaled rotary frequencies are refused rather than written wrongly.
Not here: how tensors are called and how they lie there (`gguf_tensors.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.isolate import call_isolated
from honed.bench.peers.base import Announce, Footprint, PeerError
from honed.bench.peers.conversion import converted
from honed.bench.peers.gguf_tensors import architecture_of, stored_tensors

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint
    from honed.checkpoints.gguf.metadata import Metadata

_FILE_TYPES = {"q4_0": 2, "q8_0": 7}
"""LLAMA_FTYPE_MOSTLY_... of llama.h."""
_BFLOAT16_FILE = 32
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6
_MARGIN = 64 << 20


def quantized_file(
    checkpoint: Checkpoint, dtype: str, *, python: str, version: str, threads: int, announce: Announce
) -> Path:
    """The file, made now if it is not there yet by `python`, in whose environment llama.cpp has this version.

    PeerError for a model that cannot be written as GGUF.
    """
    from honed.bench.peers.dense_copy import dense_directory

    def make(directory: Path) -> None:
        announce(f"converting {checkpoint.path.name} for llama.cpp to {dtype}")
        job = {
            "source": str(source),
            "target": str(directory / "model.gguf"),
            "file_type": _FILE_TYPES[dtype],
            "threads": threads,
            "splitting": splitting_name(source / "tokenizer.json"),
        }
        call_isolated("honed.bench.peers.gguf_model:convert_in_worker", job, interpreter=python)

    source = dense_directory(checkpoint)
    size = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    return converted(checkpoint, f"llama.cpp-{version}-{dtype}", make, needed=2 * size + _MARGIN) / "model.gguf"


def file_footprint(file: Path) -> tuple[Footprint, str]:
    """What a token costs with the weights of this file and 16-bit keys and values; and how most bytes are held."""
    from honed.checkpoints.gguf.header import parse_header
    from honed.checkpoints.mapping import map_file

    header = parse_header(map_file(file), file)
    matrices = {name: entry for name, entry in header.tensors.items() if len(entry.shape) == 2}
    experts = {name: entry for name, entry in header.tensors.items() if len(entry.shape) == 3}
    share = _share(header.metadata) if experts else 1.0
    table = matrices.pop("token_embd.weight")
    head = matrices.pop("output.weight", table)
    by_format: dict[str, int] = {}
    for entry in (*matrices.values(), *experts.values()):
        by_format[entry.format.name] = by_format.get(entry.format.name, 0) + entry.nbytes
    label = max(by_format, key=lambda name: by_format[name])
    kv_rows = sum(e.shape[0] for name, e in matrices.items() if name.endswith((".attn_k.weight", ".attn_v.weight")))
    expert_bytes = sum(entry.nbytes for entry in experts.values())
    of_experts = sum(math.prod(entry.shape) for entry in experts.values())
    footprint = Footprint(
        weight_bytes=sum(entry.nbytes for entry in matrices.values()) + head.nbytes + round(share * expert_bytes),
        kv_bytes_per_position=2 * kv_rows,
        prompt_operations=2
        * (sum(entry.shape[0] * entry.shape[1] for entry in matrices.values()) + round(share * of_experts)),
        head_operations=2 * head.shape[0] * head.shape[1],
        # Quantized weights meet activations that llama.cpp quantizes to int8.
        arithmetic="other" if label in ("F32", "F16", "BF16") else "int8",
        expert_bytes=expert_bytes,
        expert_share=share,
    )
    return footprint, label


def _share(metadata: Metadata) -> float:
    """Of the experts, those that a token goes through."""
    architecture = metadata.text("general.architecture")
    count = metadata.integer(f"{architecture}.expert_count")
    chosen = metadata.integer(f"{architecture}.expert_used_count")
    return chosen / count if count and chosen else 1.0


def splitting_name(tokenizer: Path) -> str:
    """llama.cpp's name for how a byte-level tokenizer.json splits text; `default` where it is none that is known."""
    from honed.checkpoints.gguf.splitting_name import names_alike

    return next(iter(names_alike(json.loads(tokenizer.read_text("utf-8")))), "default")


def convert_in_worker(arguments: Mapping[str, Any], spawned: float) -> None:
    """The function that `isolate` calls in the environment of the peer. arguments: source (a dense directory), target,
    file_type, threads, splitting."""
    from honed.bench.peers.llama_cpp_package import bindings

    target = Path(arguments["target"])
    dense = target.with_name("dense.gguf")
    write_gguf(Path(arguments["source"]), dense, arguments["splitting"])
    api = bindings()
    api.llama_backend_init()
    params = api.llama_model_quantize_default_params()
    params.nthread = arguments["threads"]
    params.ftype = arguments["file_type"]
    if api.llama_model_quantize(str(dense).encode(), str(target).encode(), params) != 0:
        raise PeerError(f"{dense}: llama.cpp's quantizer refused it")
    dense.unlink()


def write_gguf(source: Path, target: Path, splitting: str) -> None:
    """A dense Hugging Face directory as a bfloat16 GGUF file. Needs numpy and the `gguf` package."""
    import gguf
    import numpy as np

    config = json.loads((source / "config.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(str(target), architecture_of(config))
    _write_config(writer, config)
    _write_tokenizer(writer, source, config, splitting)
    for stored, values, kind in stored_tensors(source, config):
        if kind == "F32":
            writer.add_tensor(stored, values)
        else:
            raw = np.ascontiguousarray(values).view(np.uint8)
            writer.add_tensor(stored, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_config(writer: Any, config: Mapping[str, Any]) -> None:
    rope = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or rope
    if scaling and scaling.get("rope_type", scaling.get("type", "default")) != "default":
        raise PeerError("config.json: rope_scaling: models with scaled frequencies are not converted to GGUF here")
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(config.get("rope_theta") or rope.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(_BFLOAT16_FILE)
    _write_experts(writer, config)
    if architecture_of(config) in ("granite", "granitemoe"):
        writer.add_embedding_scale(float(config.get("embedding_multiplier", 1.0)))
        writer.add_residual_scale(float(config.get("residual_multiplier", 1.0)))
        writer.add_logit_scale(float(config.get("logits_scaling", 1.0)))
        writer.add_attention_scale(float(config.get("attention_multiplier", 1.0)))


def _write_experts(writer: Any, config: Mapping[str, Any]) -> None:
    count = config.get("num_local_experts") or config.get("num_experts")
    if not count:
        return
    architecture = architecture_of(config)
    # Known to llama.cpp by the architecture, and not read from files.
    normed = config.get("norm_topk_prob", False) if architecture in ("qwen2moe", "qwen3moe", "olmoe") else None
    if normed not in (None, architecture == "qwen3moe"):
        raise PeerError(f"config.json: norm_topk_prob {normed}: llama.cpp has no {architecture} with that")
    writer.add_expert_count(count)
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if config.get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if config.get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])


def _write_tokenizer(writer: Any, source: Path, config: Mapping[str, Any], splitting: str) -> None:
    """Vocabulary, merges and special tokens of a tokenizer.json; rows of the embedding that have no token become unused
    ones."""
    document = json.loads((source / "tokenizer.json").read_text("utf-8"))
    model = document["model"]
    if model.get("type", "BPE") != "BPE":
        raise PeerError(f"tokenizer.json: model.type {model['type']!r} is not converted to GGUF here, only BPE")
    added = {token["id"]: token for token in document.get("added_tokens", ())}
    by_id = {index: token for token, index in model["vocab"].items()} | {i: t["content"] for i, t in added.items()}
    byte_level = "ByteLevel" in json.dumps([document.get("pre_tokenizer"), document.get("decoder")])
    tokens, kinds = [], []
    for index in range(config["vocab_size"]):
        token = by_id.get(index)
        tokens.append(f"[unused{index}]" if token is None else token)
        if token is None:
            kinds.append(_UNUSED)
        elif index in added:
            kinds.append(_CONTROL if added[index].get("special") else _USER_DEFINED)
        else:
            kinds.append(_BYTE if not byte_level and len(token) == 6 and token.startswith("<0x") else _NORMAL)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if byte_level:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(splitting)
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    else:
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([-float(index) for index in range(len(tokens))])
    for role, add in (("bos_token_id", writer.add_bos_token_id), ("eos_token_id", writer.add_eos_token_id)):
        value = config.get(role)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, int) and 0 <= value < len(tokens):
            add(value)
    writer.add_add_bos_token(False)
