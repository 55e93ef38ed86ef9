"""Compression passes of honed beside those of other packages, on one tiny model with one set of windows.

    python studies/peer_passes.py METHOD --peer-python PATH [--group 32] [--offset zero_point] [--seed 0] [--whole]
    python studies/peer_passes.py auto_round --peer-python PATH --whole --checkpoint FOLDER --text FILE --layers 1

PATH is the interpreter of an environment that has the package (`llmcompressor`, `gptqmodel` or `auto-round`), torch
and transformers. The model is a Llama of two layers with random weights, whose groups all have their least at -7 and
their largest at 8 steps of a scale that float16 holds, so that every package finds the same grid. Embeddings have a
spectrum that falls, and some features are large, as in a trained model.

Two things are told of each method. First, of layer 0, its attention and its MLP rounded (or pruned) by themselves, so
that the same enters each matrix on both sides: the share of weights that are equal, and what the error does to the
outputs. Then, of the whole model: the squared error of the hidden rows behind each layer over their square, on windows
that nothing was calibrated on. The result is in docs/measurements/peer-passes.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]
Named = dict[str, Floats]
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 256,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
WINDOWS, LENGTH = 64, 64
PARTS = ("self_attn", "mlp")
PACKAGES = ("llmcompressor", "gptqmodel", "auto-round", "torch", "transformers", "compressed-tensors")


@dataclass(frozen=True)
class Subject:
    """A Llama, and windows to calibrate on and to judge by."""

    config: dict[str, Any]
    weights: Named
    seen: Tokens
    fresh: Tokens

    def write(self, folder: Path) -> None:
        save_file({**self.weights, "seen": self.seen}, folder / "subject.safetensors")
        (folder / "config.json").write_text(json.dumps(self.config))


def subject(asked: argparse.Namespace) -> Subject:
    return tiny(asked) if asked.checkpoint is None else cut(asked)


def tiny(asked: argparse.Namespace) -> Subject:
    weights = tiny_weights(asked.group, asked.seed)
    seen, fresh = np.random.default_rng([asked.seed, 7]).integers(0, CONFIG["vocab_size"], (2, WINDOWS, LENGTH))
    return Subject(CONFIG, weights, seen, fresh)


def cut(asked: argparse.Namespace) -> Subject:
    """The first layers of a checkpoint, and of its vocabulary what its text uses."""
    from honed.checkpoints.open import open_checkpoint

    checkpoint = open_checkpoint(asked.checkpoint)
    ids = checkpoint.tokenizer().encode(asked.text.read_text(), add_special=False)[: 2 * WINDOWS * LENGTH]
    used, places = np.unique(np.array(ids), return_inverse=True)
    seen, fresh = places.reshape(2, WINDOWS, LENGTH).astype(np.int64)
    config = {**checkpoint.config, "num_hidden_layers": asked.layers, "vocab_size": len(used)}
    names = [name for name in checkpoint.names if ".layers." not in name or int(name.split(".")[2]) < asked.layers]
    weights = {name: checkpoint.weight(name).decode() for name in names}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = np.ascontiguousarray(weights[name][used])
    return Subject(config, weights, seen, fresh)


def tiny_weights(group: int, seed: int) -> Named:
    random = np.random.default_rng(seed)
    width, inner, words = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"]

    def matrix(rows: int, columns: int) -> Floats:
        # A scale has eight bits, so that 15 of it are exact and divide to it.
        scales = random.integers(128, 256, (rows, columns // group, 1)) / 2048 / np.sqrt(columns)
        scales = np.float32(2.0 ** np.round(np.log2(scales))) * random.integers(128, 256, scales.shape) / 128
        # The ends are no halves: packages round what lies between two codes in different ways.
        steps = np.clip(2.5 * random.standard_normal((rows, columns // group, group)), -6.4, 7.4)
        places = np.argsort(random.random(steps.shape), axis=-1)[..., :2]
        np.put_along_axis(steps, places, np.broadcast_to([-7.0, 8.0], places.shape), axis=-1)
        return np.asarray(steps * scales, np.float32).reshape(rows, columns)

    spectrum = np.arange(1, width + 1) ** -0.5
    table = random.standard_normal((words, width)) * spectrum @ np.linalg.qr(random.standard_normal((width, width)))[0]
    table[:, random.integers(0, width, 4)] *= 8
    found = {"model.embed_tokens.weight": table, "lm_head.weight": matrix(words, width), "model.norm.weight": None}
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        found |= dict.fromkeys((f"{at}.input_layernorm.weight", f"{at}.post_attention_layernorm.weight"))
        found |= {f"{at}.self_attn.{name}_proj.weight": matrix(width, width) for name in "qkvo"}
        found |= {f"{at}.mlp.{name}_proj.weight": matrix(inner, width) for name in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = matrix(width, inner)
    norms = {name: random.uniform(0.5, 1.5, width) for name, values in found.items() if values is None}
    return {name: np.asarray(values, np.float32) for name, values in {**found, **norms}.items()}


def llama(config: dict[str, Any], weights: Named) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(**config)).float().eval()
    model.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in weights.items()})
    return model


def linears(weights: Named, part: str) -> list[str]:
    return [name for name in weights if name.endswith("_proj.weight") and (part == "all" or f".{part}." in name)]


# What the other packages make of it: in their environments, where honed is not.


def by_llmcompressor(model: Any, tokens: Tokens, modifiers: list[Any]) -> None:
    from llmcompressor import oneshot
    from torch.utils.data import DataLoader

    rows = [{"input_ids": each[None], "attention_mask": torch.ones(1, LENGTH)} for each in torch.from_numpy(tokens)]
    loader = DataLoader(rows, batch_size=None)
    oneshot(model=model, processor=no_tokenizer(), dataset=loader, recipe=modifiers, num_calibration_samples=len(rows))


def no_tokenizer() -> Any:
    """Both packages ask for one, and read ids."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")), unk_token="a")


def scheme(asked: argparse.Namespace) -> dict[str, Any]:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    symmetric = asked.offset == "symmetric"
    arguments = QuantizationArgs(
        num_bits=4, symmetric=symmetric, strategy="group", group_size=asked.group, observer="minmax"
    )
    return {"layers": QuantizationScheme(targets=targets(asked.part), weights=arguments)}


def targets(part: str) -> list[str]:
    return [rf"re:.*\.{'(self_attn|mlp)' if part == 'all' else part}\..*_proj$"]


def peer_gptq(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    from llmcompressor.modifiers.gptq import GPTQModifier

    order = {"stored": None, "activation": "static"}[asked.order]
    given = {"actorder": order, "dampening_frac": 0.01, "block_size": 128}
    by_llmcompressor(model, tokens, [GPTQModifier(config_groups=scheme(asked), **given)])


def peer_awq(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    torch.Tensor.pin_memory = lambda self: self  # which it calls without asking whether there is a GPU
    by_llmcompressor(model, tokens, [AWQModifier(), QuantizationModifier(config_groups=scheme(asked))])


def peer_smooth(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    by_llmcompressor(model, tokens, [SmoothQuantModifier(smoothing_strength=0.5)])


def pruning(asked: argparse.Namespace) -> dict[str, Any]:
    return {"sparsity": 0.5, "mask_structure": asked.pattern, "targets": targets(asked.part)}


def peer_wanda(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    from llmcompressor.modifiers.pruning import WandaPruningModifier

    by_llmcompressor(model, tokens, [WandaPruningModifier(**pruning(asked))])


def peer_sparse_gpt(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    from llmcompressor.modifiers.pruning import SparseGPTModifier

    by_llmcompressor(model, tokens, [SparseGPTModifier(**pruning(asked), block_size=128, dampening_frac=0.01)])


def peer_gptqmodel(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    """By the class that gptqmodel has for one layer, each told of what enters it in the model as it was."""
    from gptqmodel.quantization import QuantizeConfig
    from gptqmodel.quantization.gptq import GPTQ

    config = QuantizeConfig(
        bits=4,
        group_size=asked.group,
        desc_act=asked.order == "activation",
        sym=asked.offset == "symmetric",
        damp_percent=0.01,
        act_group_aware=False,
        static_groups=asked.groups == "static",
    )
    found: dict[str, GPTQ] = {}
    hooks = []
    for name, module in model.named_modules():
        if f"{name}.weight" in linears(dict.fromkeys(model.state_dict()), asked.part):
            found[name] = GPTQ(module, config)
            found[name].quantizer.configure(perchannel=True)
            hooks.append(
                module.register_forward_hook(
                    lambda _, given, out, name=name: found[name].add_batch(given[0].detach(), out.detach())
                )
            )
    with torch.no_grad():
        for each in tokens:
            model(torch.from_numpy(each)[None])
        for hook in hooks:
            hook.remove()
        for name, rounding in found.items():
            model.get_submodule(name).weight.copy_(rounding.quantize(blocksize=128)[0])


def peer_auto_round(model: Any, tokens: Tokens, asked: argparse.Namespace) -> None:
    from auto_round import AutoRound

    names = linears(dict.fromkeys(model.state_dict()), "all")
    left = [name for name in names if name not in linears(dict.fromkeys(model.state_dict()), asked.part)]
    rounding = AutoRound(
        model,
        tokenizer=no_tokenizer(),
        bits=4,
        group_size=asked.group,
        sym=asked.offset == "symmetric",
        layer_config={name.removesuffix(".weight"): {"bits": 16, "data_type": "float"} for name in left},
        iters=asked.iterations,
        batch_size=asked.batch,
        seqlen=LENGTH,
        nsamples=len(tokens),
        dataset=[torch.from_numpy(each)[None] for each in tokens],
        amp=False,
        enable_torch_compile=False,
        seed=asked.seed,
        scale_dtype="fp16",
    )
    rounding.quantize()


PEERS: dict[str, Callable[[Any, Tokens, argparse.Namespace], None]] = {
    "gptq": peer_gptq,
    "gptqmodel": peer_gptqmodel,
    "awq": peer_awq,
    "smooth": peer_smooth,
    "wanda": peer_wanda,
    "sparse_gpt": peer_sparse_gpt,
    "auto_round": peer_auto_round,
}


def as_peer(asked: argparse.Namespace) -> None:
    from transformers import AutoModelForCausalLM

    weights = load_file(asked.folder / "subject.safetensors")
    tokens = weights.pop("seen")
    llama(json.loads((asked.folder / "config.json").read_text()), weights).save_pretrained(asked.folder / "model")
    model = AutoModelForCausalLM.from_pretrained(asked.folder / "model", dtype=torch.float32).eval()
    PEERS[asked.method](model, tokens, asked)
    state = {name: values.detach().float().contiguous().numpy() for name, values in model.state_dict().items()}
    save_file({name: np.ascontiguousarray(state[name]) for name in weights}, asked.folder / "peer.safetensors")
    (asked.folder / "versions.json").write_text(json.dumps(dict(versions())))


def versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


# What honed makes of it.


def ours(method: str, weights: Named, of: Subject, asked: argparse.Namespace) -> Named:
    from honed.compress.base import ModelState
    from honed.compress.pipeline import run_recipe
    from honed.compress.recipe import read_recipe
    from honed.compress.weights import SourceWeights
    from honed.encodings.dense import Dense
    from honed.models.registry import read_model

    model = read_model(of.config)
    recipe = read_recipe({"passes": passes(method, asked)})
    state = ModelState({}, model, SourceWeights(model, lambda name: Dense(weights[name], "float32")))
    made = run_recipe(state, recipe, threads=1, calibration=of.seen.tolist()).state
    return {name: made.weights[name].decode() for name in weights}


def passes(method: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    left = [] if asked.part == "all" else [f"*.{part}.*" for part in PARTS if part != asked.part]
    stored = {
        "weights": {"bits": 4, "group": asked.group, "offset": asked.offset},
        "overrides": [{"modules": modules, "setting": "dense"} for modules in ["lm_head", *left]],
    }
    pattern = "unstructured" if asked.pattern == "0:0" else asked.pattern
    pruned = {"pattern": pattern, "overrides": [{"modules": modules, "share": 0} for modules in left]}
    order = {"damping": 0.01, "order": asked.order}
    learned = {"iterations": asked.iterations, "batch": asked.batch, "precision": "float32", "seed": asked.seed}
    found: dict[str, list[dict[str, Any]]] = {
        "nearest": [{"pass": "round_to_nearest", **stored}],
        "gptq": [{"pass": "gptq", **stored, **order}],
        "gptqmodel": [{"pass": "gptq", **stored, **order, "groups": asked.groups}],
        "awq": [{"pass": "awq", **stored}],
        "smooth": [{"pass": "smooth", "strength": 0.5, "junctions": "layers"}],
        "wanda": [{"pass": "wanda", **pruned}],
        "sparse_gpt": [{"pass": "sparse_gpt", **pruned, "damping": 0.01, "order": "stored"}],
        "auto_round": [{"pass": "auto_round", **stored, **learned}],
    }
    return found[method]


# How they compare.


def entering(of: Subject, weights: Named) -> Named:
    """The inputs of the linear layers of the model, [rows, in]."""
    model, found = llama(of.config, weights), dict[str, Floats]()

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(_: Any, given: Any, __: Any) -> None:
            found[name] = given[0].reshape(-1, given[0].shape[-1]).numpy()

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(keep(f"{name}.weight"))
    with torch.no_grad():
        model(torch.from_numpy(of.seen))
    return found


def behind_layers(of: Subject, weights: Named) -> list[Floats]:
    """Rows [windows, tokens, features] that leave each layer, before the last norm."""
    model, found = llama(of.config, weights), list[Floats]()
    for layer in model.model.layers:
        layer.register_forward_hook(lambda _, __, out: found.append(out.numpy()))
    with torch.no_grad():
        model(torch.from_numpy(of.fresh))
    return found


def matrix_by_matrix(of: Subject, made: Sequence[Named], part: str) -> None:
    inputs = entering(of, of.weights)
    for name in linears(of.weights, part):
        if ".layers.0." not in name:
            continue
        x, weight = inputs[name], of.weights[name]
        peer, own = made[0][name], made[1][name]
        # The steps of a group are an eighth of its largest weight.
        alike = float((np.abs(peer - own) <= 2.0**-10 * np.abs(weight).max()).mean())
        zeros = float(((peer == 0) == (own == 0)).mean())
        whole = np.square(x @ weight.T).sum()
        errors = " | ".join(f"{np.square(x @ (one[name] - weight).T).sum() / whole:.6f}" for one in made)
        print(f"| {name.split('.', 3)[3].removesuffix('.weight')} | {alike:.5f} | {zeros:.5f} | {errors} |", flush=True)


def factors(of: Subject, peer: Named, own: Named, *, formula: bool) -> None:
    """What norms were divided by, in powers of two. SmoothQuant has a formula, so each is compared with its own too."""
    inputs, source = entering(of, of.weights), of.weights
    readers = {"input_layernorm": ("q", "k", "v"), "post_attention_layernorm": ("gate", "up")}
    for name in (name for name in source if name.endswith("layernorm.weight")):
        layer, norm = name.split(".")[2:4]
        parts = "self_attn" if norm == "input_layernorm" else "mlp"
        behind = [f"model.layers.{layer}.{parts}.{reader}_proj.weight" for reader in readers[norm]]
        first, second = (np.log2(source[name] / each[name]) for each in (peer, own))
        cells = [first.std(), second.std(), np.corrcoef(first, second)[0, 1]]
        if formula:
            x, largest = inputs[behind[0]], np.log2(np.max([np.abs(source[one]).max(axis=0) for one in behind], axis=0))
            theirs = (np.log2(np.ptp(x, axis=0)) - 1 - largest) / 2
            mine = (np.log2(np.sqrt(np.square(x).mean(axis=0))) - largest) / 2
            equal = (np.rint(mine - mine.mean()) == second).mean()
            cells += [np.abs(first - theirs).max(), equal, np.corrcoef(theirs, mine)[0, 1]]
        print(f"| {layer}.{norm} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |")


def by_peer(of: Subject, asked: argparse.Namespace) -> Named:
    left_out = ("method", "told", "peer_python", "folder", "checkpoint", "text", "layers", "whole")
    given = [f"--{name}={value}" for name, value in vars(asked).items() if name not in left_out]
    with tempfile.TemporaryDirectory() as folder:
        of.write(Path(folder))
        command = [asked.peer_python, __file__, asked.method, "--folder", folder, *given]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
        asked.told = (Path(folder) / "versions.json").read_text()
        return load_file(Path(folder) / "peer.safetensors")


def compare(asked: argparse.Namespace) -> None:
    of = subject(asked)
    moves = asked.method in ("awq", "smooth")

    def made(part: str) -> list[Named]:
        """What is made of the part by the peer, by honed, and by rounding to nearest."""
        given = argparse.Namespace(**{**vars(asked), "part": part})
        found = [by_peer(of, given), ours(asked.method, of.weights, of, given)]
        asked.told = given.told
        return [*found, ours("nearest", of.weights, of, given)]

    if not moves and not asked.whole:
        head("layer 0", "equal", "zeros alike", "error, peer", "honed", "nearest")
        for part in PARTS:
            matrix_by_matrix(of, made(part), part)
    peer, own, nearest = made("all")
    names = ["peer", "honed", "nearest"]
    compared = [peer, own, nearest]
    if moves:
        formula = ["peer from its formula", "honed by its own", "correlation of formulas"]
        head("factors at", "spread, peer", "honed", "correlation", *(formula if asked.method == "smooth" else ()))
        factors(of, peer, own, formula=asked.method == "smooth")
        # Both only prepare weights: what they are worth shows when all are rounded the same way.
        compared[:2] = (ours("nearest", each, of, asked) for each in (peer, own))
    if asked.method == "auto_round":
        names.append("gptq")
        compared.append(ours("gptq", of.weights, of, argparse.Namespace(**{**vars(asked), "order": "activation"})))
    head("rows behind layer", *names)
    aims, reached = behind_layers(of, of.weights), [behind_layers(of, each) for each in compared]
    for layer, aim in enumerate(aims):
        errors = [np.square(one[layer] - aim).sum() / np.square(aim).sum() for one in reached]
        print(f"| {layer} | " + " | ".join(f"{each:.6f}" for each in errors) + " |")
    print(f"\n{asked.told}")


def head(*names: str) -> None:
    print(f"\n| {' | '.join(names)} |\n" + "| --- " * len(names) + "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=sorted(PEERS))
    parser.add_argument("--peer-python")
    parser.add_argument("--offset", choices=("zero_point", "symmetric"), default="zero_point")
    parser.add_argument("--order", choices=("stored", "activation"), default="stored")
    parser.add_argument("--groups", choices=("static", "moved"), default="static", help="of gptqmodel")
    parser.add_argument("--pattern", choices=("0:0", "2:4"), default="0:0")
    parser.add_argument("--group", type=int, choices=(32, 64, 128), default=32)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8, help=f"of auto_round; with {WINDOWS} nothing is left to chance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="not matrix by matrix")
    parser.add_argument("--checkpoint", help="its first layers instead of the tiny model")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--part", choices=("all", *PARTS), default="all", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.folder is not None:
        as_peer(asked)
    else:
        compare(asked)


if __name__ == "__main__":
    main()
