"""A checkpoint as a GGUF file for llama.cpp, quantized by llama.cpp itself, and what such a file costs a token.

The dense weights are written as bfloat16 with the `gguf` package, in the environment of the peer, and quantized there;
the intermediate file is deleted. Models with scaled rotary frequencies are refused rather than written wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.bench.isolate import call_isolated
from honed.bench.peers.base import Announce, Footprint, PeerError
from honed.bench.peers.conversion import converted

if TYPE_CHECKING:
    from honed.checkpoints.base import Checkpoint

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
    table = matrices.pop("token_embd.weight")
    head = matrices.pop("output.weight", table)
    by_format: dict[str, int] = {}
    for entry in matrices.values():
        by_format[entry.format.name] = by_format.get(entry.format.name, 0) + entry.nbytes
    label = max(by_format, key=lambda name: by_format[name])
    kv_rows = sum(e.shape[0] for name, e in matrices.items() if name.endswith((".attn_k.weight", ".attn_v.weight")))
    footprint = Footprint(
        weight_bytes=sum(entry.nbytes for entry in matrices.values()) + head.nbytes,
        kv_bytes_per_position=2 * kv_rows,
        prompt_operations=2 * sum(entry.shape[0] * entry.shape[1] for entry in matrices.values()),
        head_operations=2 * head.shape[0] * head.shape[1],
        # Quantized weights meet activations that llama.cpp quantizes to int8.
        arithmetic="other" if label in ("F32", "F16", "BF16") else "int8",
    )
    return footprint, label


def splitting_name(tokenizer: Path) -> str:
    """llama.cpp's name for how a byte-level tokenizer.json splits text; `default` where it is none that is known."""
    from honed.checkpoints.gguf.pretokenizers import GPT2, SPLITTINGS

    parts = json.loads(tokenizer.read_text("utf-8")).get("pre_tokenizer") or {}
    patterns: list[str] = []
    for part in parts.get("pretokenizers", [parts]):
        match part.get("type"):
            case "Split":
                patterns.append(part["pattern"].get("Regex", ""))
            case "Digits":
                patterns.append(r"\p{N}" if part.get("individual_digits") else r"\p{N}+")
            case "ByteLevel" if part.get("use_regex", True):
                patterns += GPT2.patterns
    known = (name for name, splitting in SPLITTINGS.items() if splitting.patterns == tuple(patterns))
    return next(known, "default")


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
    architecture = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(str(target), architecture)
    _write_config(writer, config)
    _write_tokenizer(writer, source, config, splitting)
    for name, values in _tensors(source):
        stored = _gguf_name(name)
        if stored == "output.weight" and config.get("tie_word_embeddings", False):
            continue
        if values.ndim == 1:
            writer.add_tensor(stored, (values.astype(np.uint32) << 16).view(np.float32))
            continue
        heads = {"q_proj.weight": "num_attention_heads", "k_proj.weight": "num_key_value_heads"}
        suffix = ".".join(name.split(".")[-2:])
        if architecture == "llama" and suffix in heads:
            count = config.get(heads[suffix]) or config["num_attention_heads"]
            # The halves of a rotated pair next to each other (`checkpoints/gguf/names.py`).
            rows = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        else:
            rows = values
        raw = np.ascontiguousarray(rows).view(np.uint8)
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


def _tensors(source: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor as the bits of its bfloat16 values, mapped where it is stored so."""
    import numpy as np

    from honed.checkpoints.safetensors.reader import SafetensorsFile

    for path in sorted(source.glob("*.safetensors")):
        file = SafetensorsFile(path)
        for name, entry in file.entries.items():
            values = file.tensor(name)
            if entry.dtype != "BF16":
                bits = values.astype(np.float32).view(np.uint32)
                # Round to nearest, ties to even; weights are finite.
                values = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
            yield name, values


_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _gguf_name(name: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    parts = name.split(".")
    inner, suffix = ".".join(parts[3:-1]), parts[-1]
    if parts[:2] != ["model", "layers"] or inner not in _LAYER:
        raise PeerError(f"{name}: GGUF has no name for this weight that is known here")
    return f"blk.{parts[2]}.{_LAYER[inner]}.{suffix}"
