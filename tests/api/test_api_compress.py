"""`honed.compress` from end to end on tiny models: what other tools read, repeatability, and interrupted runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType

import honed
from divisible_models import save_llama, save_qwen2
from gguf_builder import write_model
from honed.api.compress import Progress, compress
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.huggingface.checkpoint import dense_weight
from honed.checkpoints.huggingface.directory import Directory
from honed.encodings.codebook import TABLES, Codebook
from honed.encodings.sparse import Sparse
from honed.errors import ArtifactError, FormatError, ParameterError, UnsupportedError
from honed.models.registry import read_model
from honed.plan.build import build_plan
from honed.plan.lowered import MatrixWeight

TOKENS = torch.tensor([[1, 5, 9, 3, 20, 14, 7, 30, 2, 11]])
W8A8: dict[str, Any] = {"passes": [{"pass": "round_to_nearest", "weights": {"bits": 8, "group": None}}]}
DENSE_HEAD = {"modules": "lm_head", "setting": "dense"}
SYMMETRIC = {
    "passes": [
        {
            "pass": "round_to_nearest",
            "weights": {"bits": 4, "group": 32, "search": True},
            "overrides": [{"modules": "*.down_proj", "setting": {"weights": {"bits": 8, "group": 32}}}],
        }
    ]
}

GPTQ: dict[str, Any] = {"passes": [{"pass": "gptq", "weights": {"bits": 4, "group": 32}}]}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("api") / "llama")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_qwen2(tmp_path_factory.mktemp("api") / "qwen")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model.eval()(TOKENS).logits
    return result


def expected_logits(source: Path, artifact: Path) -> torch.Tensor:
    """transformers on the weights that we decode, of a portable one the head dense as other tools have it."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    state = model.state_dict()
    opened = Artifact(artifact)
    portable = set(opened.names) if opened.manifest["portable"] else set()
    for name in opened.names:
        # Smoothing moves factors between the last norm and the head: for other tools, those of the shards.
        of_shards = name in {"lm_head.weight", "model.norm.weight", "model.embed_tokens.weight"} & portable
        weight = dense_weight(Directory(artifact), name) if of_shards else opened.weight(name)
        state[name].copy_(torch.from_numpy(weight.decode()))
    return logits(model)


def test_a_codebook_is_ours_alone(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    report = compress(llama, "nf4", out=out, threads=1)
    artifact = Artifact(out)
    name = "model.layers.0.mlp.up_proj.weight"
    weight = artifact.weight(name)
    assert isinstance(weight, Codebook)
    assert (weight.table, weight.group, weight.activation.group) == (TABLES["normal_float"], 32, 32)
    line = next(tensor for tensor in report.tensors if tensor.name == name)
    source = Directory(llama).tensor(name)
    error = np.linalg.norm(weight.decode() - source) / np.linalg.norm(source)
    assert float(error) == pytest.approx(line.relative_error, rel=1e-4)
    assert "no other tool" in (out / "README.md").read_text()
    # Without a declaration it would give its layers random weights, and warn.
    with pytest.raises(ValueError, match="codebook"):
        AutoModelForCausalLM.from_pretrained(out)
    with honed.load(out) as model:
        assert model.generate([1, 5, 9], max_tokens=4, temperature=0).tokens


def test_pruned_layers_are_stored_without_their_zeros_and_run(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    int8: dict[str, Any] = {"weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
    head = {"modules": "lm_head", "setting": int8}
    sparse = {**int8, "weights": {**int8["weights"], "sparse": 0.5}}
    pruned = {"pass": "magnitude", "pattern": "2:4"}
    for name, setting in (("dense", int8), ("sparse", sparse)):
        rounded = {"pass": "round_to_nearest", **setting, "overrides": [head]}
        compress(llama, {"passes": [pruned, rounded]}, out=tmp_path / name, threads=1)
    dense, stored = Artifact(tmp_path / "dense"), Artifact(tmp_path / "sparse")
    layer = "model.layers.0.mlp.up_proj.weight"
    assert isinstance(stored.weight(layer), Sparse)
    assert stored.weight(layer).nbytes < 0.7 * dense.weight(layer).nbytes
    for name in dense.names:
        np.testing.assert_array_equal(stored.weight(name).decode(), dense.weight(name).decode())
    replies = []
    for name in ("dense", "sparse"):
        with honed.load(tmp_path / name) as model:
            replies.append(model.generate([1, 5, 9], max_tokens=8, temperature=0).tokens)
    assert replies[0] == replies[1]
    assert "no other tool" in (tmp_path / "sparse" / "README.md").read_text()
    with pytest.raises(ValueError, match="sparse"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "sparse")
    with pytest.raises(ParameterError, match=r"portable = True: .*weights without their zeros"):
        recipe = {"passes": [pruned, {"pass": "round_to_nearest", **sparse, "overrides": [head]}]}
        compress(llama, recipe, out=tmp_path / "portable", portable=True, threads=1)


def test_tables_that_were_learned_stand_in_the_manifest_and_layers_with_one_input_run_as_one(
    llama: Path, tmp_path: Path
) -> None:
    learned = {"bits": 4, "group": 32, "codebook": "learned", "search": True}
    recipe = {"passes": [{"pass": "round_to_nearest", "weights": learned, "activations": {"group": 32}}]}
    report = compress(llama, recipe, out=tmp_path / "out", threads=1)
    artifact = Artifact(tmp_path / "out")
    q, k, up, down = (
        artifact.weight(f"model.layers.0.{name}_proj.weight")
        for name in ("self_attn.q", "self_attn.k", "mlp.up", "mlp.down")
    )
    assert all(isinstance(weight, Codebook) for weight in (q, k, up, down))
    assert q.scheme == k.scheme  # type: ignore[attr-defined]
    assert len({weight.table for weight in (q, up, down)} - set(TABLES.values())) == 3  # type: ignore[attr-defined]
    (line,) = (tensor for tensor in report.tensors if tensor.name == "model.layers.0.mlp.up_proj.weight")
    source = Directory(llama).tensor(line.name)
    assert np.linalg.norm(up.decode() - source) / np.linalg.norm(source) == pytest.approx(line.relative_error, rel=1e-4)
    assert "learned" in line.encoding
    with honed.load(tmp_path / "out") as model:
        assert model.generate([1, 5, 9], max_tokens=4, temperature=0).tokens
    matrices = build_plan(read_model(artifact.config), artifact, "auto").plan.weights
    together = {len(one.parts) for one in matrices if isinstance(one, MatrixWeight) and one.format == q.scheme}  # type: ignore[attr-defined]
    assert together == {3}


@pytest.mark.parametrize("recipe", ["int8", "int4", SYMMETRIC], ids=["int8", "int4", "mixed"])
@pytest.mark.parametrize("family", ["llama", "qwen"])
def test_transformers_reads_the_same_weights(
    family: str, recipe: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = request.getfixturevalue(family)
    out = tmp_path / "out"
    compress(source, recipe, out=out, portable=True, threads=1)
    theirs = logits(AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32))
    ours = expected_logits(source, out)
    # Zero points are decoded in the float16 of the scales there, everything else is exact.
    assert (theirs - ours).abs().max() <= (2e-3 if recipe == "int4" else 1e-5) * ours.abs().max()
    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = tokenizer("the of to")["input_ids"]
    assert ids == AutoTokenizer.from_pretrained(source)("the of to")["input_ids"]
    if family == "llama":  # for qwen2 transformers has a class of its own, which takes no word tokenizer
        assert ids == Artifact(out).tokenizer().encode("the of to")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "the of"}], tokenize=False) == "the of"


def test_transformers_reads_an_untied_model_that_is_stored_once(qwen: Path, tmp_path: Path) -> None:
    """Nothing in it is ours alone: the encoded head is a linear layer like the others."""
    from transformers import AutoModelForCausalLM

    compress(qwen, "int8", out=tmp_path / "out", threads=1)
    theirs = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32))
    ours = expected_logits(qwen, tmp_path / "out")
    assert (theirs - ours).abs().max() <= 1e-5 * ours.abs().max()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Every weight is stored once." in card
    assert "- transformers with compressed-tensors: the same weights." in card


def test_transformers_refuses_a_table_that_it_could_not_look_up_in(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    compress(llama, "int8", out=tmp_path / "out", threads=1)
    with pytest.raises(ValueError, match=r"(?s)honed alone; compress --portable"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "no other tool" in card
    assert "`honed compress --portable`" in card


def test_bytes_are_those_of_the_encodings_and_the_tokenizer(tmp_path: Path) -> None:
    source = save_llama(tmp_path / "source", vocab_size=6000, hidden_size=256, intermediate_size=1024)
    for recipe in ("int8", "int4", "nf4"):
        out = tmp_path / recipe
        compress(source, recipe, out=out, threads=1)
        artifact = Artifact(out)
        weights = sum(artifact.scheme(name).nbytes(artifact.weight(name).shape) for name in artifact.names)
        tokenizer = (out / "tokenizer.json").stat().st_size
        total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        assert total == pytest.approx(weights + tokenizer, rel=0.01), recipe


def test_a_result_that_is_larger_than_its_source_is_noted_once(llama: Path, tmp_path: Path) -> None:
    assert compress(llama, "int8", out=tmp_path / "int8", threads=1).notes == ()
    four_bits = tmp_path / "four-bits"
    compress(llama, "int4", out=four_bits, portable=True, threads=1)
    (four_bits / "honed.json").unlink()
    report = compress(four_bits, W8A8, out=tmp_path / "larger", threads=1)
    made, given = report.bytes / 1e6, report.source_bytes / 1e6
    assert report.notes == (f"the weights take {made:.1f} MB, more than the {given:.1f} MB of the source",)


def test_minimums_are_zero_points_to_others_and_only_where_they_shall_read_them(tmp_path: Path) -> None:
    tokens = [*map(chr, range(33, 72)), '!"']
    tokenizer: dict[str, Any] = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "merges": ['! "'],
        "eos_token_id": 0,
    }
    settings = {f"tokenizer.ggml.{key}": value for key, value in tokenizer.items()}
    source = write_model(tmp_path / "model.gguf", changed=settings, kind=GGMLQuantizationType.Q4_1)
    recipe = {"passes": [{"pass": "round_to_nearest", "weights": {"bits": 4, "group": 32, "offset": "source"}}]}
    once = compress(source, recipe, out=tmp_path / "once", threads=1)
    portable = compress(source, recipe, out=tmp_path / "portable", portable=True, threads=1)
    assert not any("minimums" in note for note in once.notes)
    assert any("other tools see the nearest integer zero points" in note for note in portable.notes)
    ours, theirs = Directory(tmp_path / "once").names, Directory(tmp_path / "portable").names
    assert not any(name.endswith("zero_point") for name in ours)
    assert not any(name.endswith("minimum") for name in theirs)
    assert sum(name.endswith("zero_point") for name in theirs) == sum(name.endswith("minimum") for name in ours) - 1
    first, second = Artifact(once.path), Artifact(portable.path)
    assert all(np.array_equal(first.weight(name).decode(), second.weight(name).decode()) for name in first.names)
    assert "a coarser model" in (tmp_path / "portable" / "README.md").read_text()
    assert "float minimums (`weight_minimum`)" in (tmp_path / "once" / "README.md").read_text()


def test_codebooks_are_never_portable(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"portable = True: .*codebooks.*14 layers.*int4-zero-point"):
        compress(llama, "nf4", out=tmp_path / "out", portable=True)
    assert not any(tmp_path.iterdir())


def test_per_channel_int8_is_declared_with_its_activations(llama: Path, tmp_path: Path) -> None:
    """W8A8: transformers quantizes the activations as well, so it agrees up to their rounding."""
    from transformers import AutoModelForCausalLM

    compress(llama, W8A8, out=tmp_path / "out", portable=True, threads=1)
    theirs = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32))
    ours = expected_logits(llama, tmp_path / "out")
    difference = (theirs - ours).abs().max() / ours.abs().max()
    assert 1e-5 < difference < 0.03


def test_a_recipe_that_encodes_nothing_gives_a_dense_model(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    out, recipe = tmp_path / "dense", {"passes": [{"pass": "smooth", "junctions": "layers"}]}
    assert compress(llama, recipe, out=out, threads=1).tensors == ()
    found = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    assert not hasattr(found.config, "quantization_config")
    theirs = logits(found)
    assert (theirs - expected_logits(llama, out)).abs().max() <= 1e-5 * theirs.abs().max()
    with honed.load(out) as model:
        assert model.generate([1, 5, 9], max_tokens=4, temperature=0).tokens


def test_the_same_input_gives_the_same_bytes(llama: Path, tmp_path: Path) -> None:
    for name, threads in (("a", 1), ("b", 2)):
        compress(llama, "int4", out=tmp_path / name, threads=threads)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first == second
    assert {"honed.json", "README.md", "config.json", "model.safetensors"} <= set(first)
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_the_report_and_the_progress(llama: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    report = compress(llama, "int8", out=tmp_path / "out", progress=seen.append)
    assert [state.done for state in seen] == list(range(1, seen[0].total + 1))
    assert len(report.tensors) == 2 * 7 + 1
    assert all(0 < tensor.relative_error < 0.02 for tensor in report.tensors)
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*.safetensors")]
    assert report.bytes == sum(sizes)
    assert report.source_bytes == (llama / "model.safetensors").stat().st_size
    assert report.as_json()["path"] == str(tmp_path / "out")


def test_what_was_read_of_the_source_is_given_back_after_each_weight(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    give_back = Directory.give_back

    def counting(directory: Directory) -> None:
        given.append(1)
        give_back(directory)

    monkeypatch.setattr(Directory, "give_back", counting)
    report = compress(llama, "int4-gptq", out=tmp_path / "a", calibration_tokens=256, threads=1)
    assert len(given) > len(report.tensors)


def test_widths_that_are_not_whole_groups_are_noted(tmp_path: Path) -> None:
    source = save_llama(tmp_path / "source", hidden_size=48)
    report = compress(source, "int4", out=tmp_path / "out", threads=1)
    assert any("48 inputs are not whole groups" in note for note in report.notes)
    assert np.isfinite(Artifact(tmp_path / "out").weight("model.layers.0.mlp.up_proj.weight").decode()).all()


def test_everything_is_refused_before_the_first_weight(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="recipe"):
        compress(llama, "int5", out=tmp_path / "out")
    with pytest.raises(ParameterError, match="threads = 0"):
        compress(llama, "int8", out=tmp_path / "out", threads=0)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "keep").write_text("x")
    with pytest.raises(ArtifactError, match="exists already"):
        compress(llama, "int8", out=tmp_path / "there")
    assert {path.name for path in tmp_path.iterdir()} == {"there"}
    compress(llama, "int8", out=tmp_path / "once")
    with pytest.raises(UnsupportedError, match="compressed already"):
        compress(tmp_path / "once", "int4", out=tmp_path / "twice")


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"]
)
def test_a_value_that_is_not_finite_is_found_and_leaves_nothing(llama: Path, tmp_path: Path, name: str) -> None:
    from safetensors.numpy import load_file, save_file

    bad = tmp_path / "bad"
    bad.mkdir()
    for path in llama.iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    tensors = load_file(bad / "model.safetensors")
    tensors[name] = tensors[name].copy()
    tensors[name].flat[5] = np.nan
    save_file(tensors, bad / "model.safetensors", {"format": "pt"})
    with pytest.raises((UnsupportedError, FormatError), match=rf"{name.replace('.', '[.]')}.*(nan|NaN)"):
        compress(bad, "int8", out=tmp_path / "out", threads=1)
    assert {path.name for path in tmp_path.iterdir()} == {"bad"}


def run_and_signal(source: Path, out: Path, number: int, after: int) -> int:
    """Compresses in a process that sends itself a signal after some weights; gives its exit status."""
    script = (
        "import os, sys\n"
        "from honed.api.compress import compress\n"
        "source, out, number, after = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])\n"
        "compress(source, 'int8', out=out, overwrite=True, threads=1,\n"
        "         progress=lambda state: os.kill(os.getpid(), number) if state.done == after else None)\n"
    )
    command = [sys.executable, "-c", script, str(source), str(out), str(number), str(after)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("after", [1, 10, 20])
def test_a_kill_at_any_point_leaves_the_old_one_and_a_new_run_gives_the_same_bytes(
    llama: Path, tmp_path: Path, after: int
) -> None:
    out = tmp_path / "out"
    assert run_and_signal(llama, out, signal.SIGKILL, after) == -signal.SIGKILL
    assert not out.exists()
    compress(llama, "int8", out=out, threads=1)
    first = contents(out)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert run_and_signal(llama, out, signal.SIGKILL, after) == -signal.SIGKILL
    assert contents(out) == first


def test_an_interrupt_removes_the_temporaries(llama: Path, tmp_path: Path) -> None:
    assert run_and_signal(llama, tmp_path / "out", signal.SIGINT, 5) != 0
    assert not any(tmp_path.iterdir())


def test_numpy_is_enough(llama: Path, tmp_path: Path) -> None:
    """Without torch, and without anything else that only tests have."""
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'gguf', 'compressed_tensors'): sys.modules[name] = None\n"
        "from honed.api.compress import compress\n"
        "compress(sys.argv[1], 'int4', out=sys.argv[2], threads=1)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", script, str(llama), str(tmp_path / "out")]
    subprocess.run(command, check=True, env=environment)
    assert (tmp_path / "out" / "honed.json").exists()


def test_a_model_does_not_load_from_a_changed_artifact(llama: Path, tmp_path: Path) -> None:
    from honed.api.load import load

    compress(llama, "int8", out=tmp_path / "out", threads=1)
    with load(tmp_path / "out", threads=1) as model:
        assert model.generate("the of to", max_tokens=2, temperature=0).tokens
    weights = tmp_path / "out" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match=r"model\.safetensors: SHA-256"):
        load(tmp_path / "out", threads=1)


@pytest.mark.real_model
@pytest.mark.slow
def test_the_demo_model_to_int8_is_read_by_transformers_and_by_us(smollm2_gguf: Path, tmp_path: Path) -> None:
    """From a GGUF file, whose config and tokenizer exist only as its metadata."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "int8"
    report = compress(smollm2_gguf, "int8", out=out, portable=True)
    (note,) = report.notes
    assert "more than the 98" in note
    assert sum(tensor.relative_error for tensor in report.tensors) / len(report.tensors) < 0.007
    tokenizer = AutoTokenizer.from_pretrained(out)
    text = "The capital of France is"
    assert tokenizer(text)["input_ids"] == Artifact(out).tokenizer().encode(text)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    with torch.no_grad():
        last = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1]
    assert tokenizer.decode(int(last.argmax())).strip() == "Paris"


def test_int8_is_calibrated_and_says_on_what(llama: Path, tmp_path: Path) -> None:
    compress(llama, "int8", out=tmp_path / "smooth", threads=1)
    compress(llama, W8A8, out=tmp_path / "plain", threads=1)
    smooth, plain = (Artifact(tmp_path / name) for name in ("smooth", "plain"))
    calibration = smooth.manifest["calibration"]
    assert set(calibration) == {"text", "sha256", "windows", "window_tokens"}
    assert calibration["windows"] * calibration["window_tokens"] > 500
    assert plain.manifest["calibration"] is None
    norm = "model.layers.0.input_layernorm.weight"
    assert not np.array_equal(smooth.weight(norm).decode(), plain.weight(norm).decode())


def test_a_caller_says_what_is_learned_from_and_how_much(llama: Path, tmp_path: Path) -> None:
    ways: dict[str, dict[str, Any]] = {"recipe": {}, "asked": {"calibration": "sampled", "calibration_tokens": 256}}
    found = []
    for name, given in ways.items():
        recipe = {**GPTQ, "calibration": {"text": "built-in", "tokens": 128, "window": 32}}
        compress(llama, recipe, out=tmp_path / name, **given)
        found.append(Artifact(tmp_path / name).manifest["calibration"])
    assert [(one["text"], one["windows"]) for one in found] == [("built-in", 4), ("sampled", 8)]
    with pytest.raises(ParameterError, match="calibration = 'sampled': is asked for by no pass"):
        compress(llama, "int4-zero-point", out=tmp_path / "out", calibration="sampled")
    with pytest.raises(FormatError, match="row 1: has neither messages nor"):
        (tmp_path / "mine.jsonl").write_text('{"nothing": 1}\n')
        compress(llama, GPTQ, out=tmp_path / "out", calibration=tmp_path / "mine.jsonl")
    assert not (tmp_path / "out").exists()


def test_a_smoothed_tied_head_has_its_norm_beside_it_and_others_read_the_original(llama: Path, tmp_path: Path) -> None:
    from honed.checkpoints.artifact.layout import HEAD_FILE
    from honed.checkpoints.safetensors.reader import SafetensorsFile

    norm, original = "model.norm.weight", dense_weight(Directory(llama), "model.norm.weight").decode()
    out = tmp_path / "smooth"
    compress(llama, "int8", out=out, portable=True, threads=1)
    artifact, head = Artifact(out), Artifact(out).head()
    ours = artifact.weight(norm).decode()
    assert norm in SafetensorsFile(out / HEAD_FILE).entries
    assert np.array_equal(dense_weight(Directory(out), norm).decode(), original)
    factors = original / ours
    assert len(np.unique(factors)) > 1
    assert set(np.log2(factors) % 1) == {0.0}
    assert head is not None
    table = dense_weight(Directory(llama), "model.embed_tokens.weight").decode()
    # Norm and head multiply to what they did, up to the rounding of the head.
    assert np.linalg.norm(head.decode() / factors - table) < 0.01 * np.linalg.norm(table)

    dense = {"passes": [{"pass": "smooth"}, {**W8A8["passes"][0], "overrides": [DENSE_HEAD]}]}
    compress(llama, dense, out=tmp_path / "dense", threads=1)
    artifact = Artifact(tmp_path / "dense")
    assert artifact.head() is None
    assert not (tmp_path / "dense" / HEAD_FILE).exists()
    assert np.array_equal(artifact.weight(norm).decode(), original)
