"""The native backend against transformers and the interpreter, and its promises to the bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.backends.base import Batch, RowChoice
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.base import Checkpoint
from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.sparse import SparseScheme
from honed.errors import FormatError, MachineError, NativeError, ParameterError
from honed.native import extension
from honed.plan.build import ALL_FUSIONS
from honed.runtime.request import Sampling
from honed.runtime.sampling import Sampler, choose_row
from tiny_models import FAMILIES, TABLE, TOKENS, MemoryCheckpoint, golden, whole

ISAS = extension.isas()
Logits = NDArray[np.float32]
Encode = Callable[[str, Encoded], Encoded]


def load(
    checkpoint: Checkpoint, isa: str | None = None, threads: int = 1, fusions: tuple[str, ...] = ALL_FUSIONS
) -> NativeBackend:
    config = NativeConfig(isa=isa, threads=threads, fusions=fusions, kv_tokens=256, step_tokens=64)
    return NativeBackend.load(checkpoint, config)


def mixed(name: str, weight: Encoded) -> Encoded:
    """A different encoding for each kind of layer, q unlike k and v, gate unlike up."""
    if "q_proj" in name:
        return encode_int8(weight, name=name)
    if "gate_proj" in name:
        return encode_int8(weight, name=name, group=32, activation=ActivationScales(32))
    if "down_proj" in name:
        return encode_int8(weight, name=name, activation=ActivationScales(64))
    if "o_proj" in name:
        return encode_int4(weight, name=name, group=32, offset="minimum", activation=ActivationScales(32))
    if "up_proj" in name:
        return encode_int4(weight, name=name, group=32, search=False, activation=ActivationScales(32))
    return weight


def int8(name: str, weight: Encoded) -> Encoded:
    return encode_int8(weight, name=name)


def int4(name: str, weight: Encoded) -> Encoded:
    return encode_int4(weight, name=name, group=64, offset="symmetric", search=False)


def grouped(name: str, weight: Encoded) -> Encoded:
    return encode_int8(weight, name=name, group=32, activation=ActivationScales(32))


def zero_points(name: str, weight: Encoded) -> Encoded:
    return encode_int4(weight, name=name, group=32, search=False, activation=ActivationScales(32))


def minimums(name: str, weight: Encoded) -> Encoded:
    return encode_int4(weight, name=name, group=32, offset="minimum", search=False)


def codebook(name: str, weight: Encoded) -> Encoded:
    activation = ActivationScales(32 if "mlp" in name else None)
    table = TABLES["power_of_two" if "up_proj" in name else "normal_float"]
    return encode_codebook(weight, name=name, table=table, search=False, activation=activation)


def sparse(name: str, weight: Encoded) -> Encoded:
    values = weight.decode().copy()
    values[:, ::2] = 0
    return encode(Dense(values, "float32"), SparseScheme(0.4, 32, 32 if "mlp" in name else None), name=name)


def half(name: str, weight: Encoded) -> Encoded:
    return Dense(weight.decode().astype(np.float16), "float16")


NORMED_AND_SCALED = ["granite", "olmo2", "cohere", "cohere2", "glm4", "smollm3_types"]
"""Parallel blocks, norms behind, multiples of rows, pairs that are neighbours, layers that rotate nothing."""
STORED_OTHERWISE = ["gpt2", "gpt_neox", "gpt_neox_sequential", "opt_350m", "phi3", "starcoder2"]
EXPERTS = ["mixtral", "qwen2_moe", "granitemoe", "olmoe"]
EACH_KIND = ["smollm2", "qwen3", "llama_biases", *NORMED_AND_SCALED, *STORED_OTHERWISE, *EXPERTS]
STORED = ["gpt2", "gpt_neox", "opt_350m", "phi3"]
FUSED = ["qwen2", "smollm2", "mistral", *NORMED_AND_SCALED, *STORED, "qwen2_moe"]
RAGGED = ["qwen2", "mistral", *NORMED_AND_SCALED, *STORED, "starcoder2_variants", "qwen2_moe", "qwen3_moe_mixed"]
ENCODINGS = {"int8": int8, "int4": int4, "minimums": minimums, "mixed": mixed, "codebook": codebook, "half": half}
ENCODINGS |= {"sparse": sparse}


def encoded(name: str, family: str = "qwen2") -> MemoryCheckpoint:
    return MemoryCheckpoint.encoding(golden(family).checkpoint, ENCODINGS[name])


def by_steps(backend: NativeBackend, tokens: NDArray[np.int32], size: int) -> Logits:
    pieces = [(start, tokens[start : start + size]) for start in range(0, len(tokens), size)]
    return np.concatenate([backend.forward(whole(piece, first=start)) for start, piece in pieces])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers_whole_and_by_steps(family: str, isa: str) -> None:
    made = golden(family)
    backend = load(made.checkpoint, isa)
    assert made.agrees(backend.forward(whole(made.tokens)))
    assert made.agrees(by_steps(load(made.checkpoint, isa), made.tokens, 1))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("family", EACH_KIND)
def test_every_encoding_equals_the_interpreter_to_the_bit(family: str, encoding: str, isa: str) -> None:
    checkpoint = encoded(encoding, family)
    tokens = golden(family).tokens
    oracle = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_tokens=256))
    np.testing.assert_array_equal(load(checkpoint, isa).forward(whole(tokens)), oracle.forward(whole(tokens)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("encode", [int8, grouped, int4, zero_points, minimums, codebook], ids=lambda f: f.__name__)
def test_a_tied_table_is_looked_up_in_the_packed_head_and_nowhere_else(encode: Encode, isa: str) -> None:
    tied, batch = MemoryCheckpoint.tying(golden("smollm2").checkpoint, encode), whole(golden("smollm2").tokens)
    beside = tied.untying()
    backend = load(tied, isa, threads=2)
    logits = backend.forward(batch)
    np.testing.assert_array_equal(logits, load(beside, isa).forward(batch))
    oracle = InterpreterBackend.load(tied, InterpreterConfig(kv_tokens=256))
    np.testing.assert_array_equal(logits, oracle.forward(batch))
    rows, width = tied.weight(TABLE).shape
    assert backend.weight_bytes == load(beside, isa).weight_bytes - 4 * (rows - 1) * width


@pytest.mark.parametrize("encoding", ["int8", "int4", "mixed", "half"])
@pytest.mark.parametrize("family", FUSED)
def test_no_fusion_changes_a_bit(family: str, encoding: str) -> None:
    checkpoint, tokens = encoded(encoding, family), golden(family).tokens
    plain = load(checkpoint, fusions=()).forward(whole(tokens))
    for fusion in ALL_FUSIONS:
        without = tuple(name for name in ALL_FUSIONS if name != fusion)
        np.testing.assert_array_equal(load(checkpoint, fusions=without).forward(whole(tokens)), plain)
    np.testing.assert_array_equal(load(checkpoint).forward(whole(tokens)), plain)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("encoding", ["int8", "int4", "mixed", "half"])
@pytest.mark.parametrize("family", ["qwen2", "qwen3_moe"])
def test_chunks_threads_and_steps_change_no_bit(family: str, encoding: str, isa: str) -> None:
    checkpoint, tokens = encoded(encoding, family), golden(family).tokens
    expected = load(checkpoint, isa).forward(whole(tokens))
    for size in (1, 7, 16, 40):
        np.testing.assert_array_equal(by_steps(load(checkpoint, isa), tokens, size), expected)
    np.testing.assert_array_equal(load(checkpoint, isa, threads=2).forward(whole(tokens)), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("encoding", ["int8", "mixed", "half"])
@pytest.mark.parametrize(
    "family",
    [
        "qwen2",
        "mistral",
        *NORMED_AND_SCALED,
        "gpt2",
        "gpt_neox",
        "opt_350m",
        "phi3",
        "starcoder2_variants",
        "qwen2_moe",
        "qwen3_moe_mixed",
    ],
)
def test_a_sequence_is_the_same_in_a_ragged_batch(family: str, encoding: str, isa: str) -> None:
    checkpoint, tokens = encoded(encoding, family), golden(family).tokens
    vocabulary = load(checkpoint, isa).vocabulary
    others = (tokens[::-1].copy(), (tokens * 3 % vocabulary).astype(np.int32))
    prompts = [tokens, *others]
    alone = [load(checkpoint, isa).forward(whole(prompt)) for prompt in prompts]
    backend = load(checkpoint, isa)
    pages = [(5, 2), (0, 7), (4, 1)]
    backend.forward(whole(prompts[0][:40], pages=pages[0]))  # the first is decoding when the others come
    backend.forward(whole(prompts[1][:11], pages=pages[1]))
    parts = [(0, 40, 41), (1, 11, 30), (2, 0, 25)]
    logits = backend.forward(
        Batch(
            tokens=np.concatenate([prompts[s][a:b] for s, a, b in parts]).astype(np.int32),
            positions=np.concatenate([np.arange(a, b) for _, a, b in parts]).astype(np.int32),
            sequences=np.concatenate([np.full(b - a, s) for s, a, b in parts]).astype(np.int32),
            page_tables=np.array(pages, dtype=np.int32),
            selected=np.array([0, 19, 44], dtype=np.int32),
        )
    )
    expected = [alone[0][40], alone[1][29], alone[2][24]]
    np.testing.assert_array_equal(logits, np.stack(expected))


def test_more_selected_rows_than_one_run_gives_are_the_same_to_the_bit() -> None:
    made = golden("llama3")
    whole_run = load(made.checkpoint).forward(whole(made.tokens))
    for selected in (1, 8, TOKENS - 1):
        config = NativeConfig(selected=selected, kv_tokens=128, threads=1)
        pieces = NativeBackend.load(made.checkpoint, config).forward(whole(made.tokens))
        np.testing.assert_array_equal(pieces, whole_run)


def test_a_batch_that_selects_nothing_writes_the_cache() -> None:
    made = golden("llama2")
    expected = load(made.checkpoint).forward(whole(made.tokens))
    backend = load(made.checkpoint)
    batch = whole(made.tokens[:-1])
    silent = Batch(batch.tokens, batch.positions, batch.sequences, batch.page_tables, np.zeros(0, np.int32))
    assert backend.forward(silent).shape == (0, backend.vocabulary)
    last = backend.forward(whole(made.tokens[-1:], first=TOKENS - 1))
    np.testing.assert_array_equal(last[0], expected[-1])


def test_a_tied_head_encoded_apart_changes_the_logits_only() -> None:
    source = golden("smollm2").checkpoint
    table = source.weight("model.embed_tokens.weight")
    weights = {name: source.weight(name) for name in source.names}
    head = encode_int8(table, name="head")
    apart = MemoryCheckpoint(source.config, weights, head)
    untied = dict(source.config) | {"tie_word_embeddings": False}
    explicit = MemoryCheckpoint(untied, weights | {"lm_head.weight": head})
    tokens = golden("smollm2").tokens
    logits = load(apart).forward(whole(tokens))
    np.testing.assert_array_equal(logits, load(explicit).forward(whole(tokens)))
    assert not np.array_equal(logits, load(source).forward(whole(tokens)))


def test_auto_rounds_half_precision_to_bfloat16_and_keeps_float32() -> None:
    checkpoint = encoded("half")
    tokens = golden("qwen2").tokens
    exact = NativeBackend.load(checkpoint, NativeConfig(dtype="float32", kv_tokens=128))
    auto = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128))
    rounded = NativeBackend.load(checkpoint, NativeConfig(dtype="bfloat16", kv_tokens=128))
    assert auto.weight_bytes == rounded.weight_bytes < exact.weight_bytes
    np.testing.assert_array_equal(auto.forward(whole(tokens)), rounded.forward(whole(tokens)))
    assert not np.array_equal(auto.forward(whole(tokens)), exact.forward(whole(tokens)))


def test_a_weight_that_is_not_finite_is_named() -> None:
    source = golden("llama2").checkpoint
    name = "model.layers.1.mlp.up_proj.weight"
    values = np.array(source.weight(name).decode())
    values[3, 5] = np.nan
    weights = {other: source.weight(other) for other in source.names} | {name: Dense(values, "float32")}
    with pytest.raises(FormatError, match=r"model\.layers\.1\.mlp\.up_proj\.weight.*NaN"):
        load(MemoryCheckpoint(source.config, weights))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dtype": "float16"}, "dtype"),
        ({"kv_dtype": "float16"}, "kv_dtype"),
        ({"threads": 0}, "threads"),
        ({"isa": "mmx"}, "isa"),
        ({"step_tokens": 0}, "step_tokens"),
        ({"selected": 0}, "selected"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ParameterError, match=f"^{named} = "):
        NativeConfig(**settings)  # type: ignore[arg-type]


def test_a_batch_over_the_limit_and_a_cache_of_nothing_are_refused() -> None:
    checkpoint = golden("llama2").checkpoint
    with pytest.raises(ParameterError, match="kv_tokens"):
        NativeBackend.load(checkpoint, NativeConfig(kv_tokens=0))
    backend = NativeBackend.load(checkpoint, NativeConfig(step_tokens=8, kv_tokens=64))
    with pytest.raises(ParameterError, match="at most 8"):
        backend.forward(whole(golden("llama2").tokens))


def test_a_forced_set_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_ISA", "mmx")
    with pytest.raises(NativeError, match="HONED_ISA = 'mmx'"):
        load(golden("llama2").checkpoint)


def test_a_cache_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise MemoryError

    monkeypatch.setattr(extension, "Cache", full)
    with pytest.raises(NativeError, match="KV cache of 256 tokens; ask for fewer"):
        load(golden("llama2").checkpoint)


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ("honed.backends.packing.Packer.pack_all", RuntimeError("can't start new thread"), "can't start new thread"),
        ("honed.backends.packing.Packer.pack_all", MemoryError(), "not enough memory for the packed weights"),
        ("honed.native.extension.Executor", RuntimeError("threads = 9: the system gives 2"), "the system gives 2"),
    ],
    ids=["packing threads", "packing memory", "executor threads"],
)
def test_what_the_system_refuses_is_a_fault_of_the_machine(
    place: str, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(place, refused)
    with pytest.raises(MachineError, match=said) as caught:
        load(encoded("int8"))
    assert caught.value.exit_code == 1


def test_profile_names_every_op_and_changes_no_result() -> None:
    made = golden("llama2")
    backend = load(made.checkpoint)
    batch = whole(made.tokens)
    before = backend.forward(batch)
    timings = backend.profile(batch)
    assert timings[0][0] == "embed"
    assert [code for code, _ in timings].count("attention") == 2
    assert all(seconds >= 0 for _, seconds in timings)
    np.testing.assert_array_equal(backend.forward(batch), before)


def test_what_the_backend_says_of_itself() -> None:
    backend = load(golden("qwen3").checkpoint, isa="portable", threads=2)
    assert (backend.name, backend.isa, backend.threads) == ("native", "portable", 2)
    assert (backend.vocabulary, backend.context, backend.pages, backend.step_tokens) == (97, 256, 8, 64)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_greedy_choice_is_the_argmax_of_the_logits(isa: str, threads: int) -> None:
    made = golden("smollm2")
    backend = load(made.checkpoint, isa, threads)
    batch = whole(made.tokens)
    expected = backend.forward(batch).argmax(axis=1).tolist()
    backend.compute(batch)
    assert [choice.token for choice in backend.choose([RowChoice()] * len(expected))] == expected


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("factor", [1.1, 0.5, 3.0])
def test_penalties_of_the_greedy_choice_are_those_of_the_sampler(isa: str, factor: float) -> None:
    made = golden("smollm2")
    backend = load(made.checkpoint, isa, 2)
    batch = whole(made.tokens)
    logits = backend.forward(batch)
    sampling = Sampling(temperature=0, repetition_penalty=factor)
    rows = range(0, len(logits), 2)
    seen = {row: [int(token) for token in np.argsort(-logits[row])[: row % 5]] for row in rows}
    given = [RowChoice(seen=seen.get(row, ()), repetition_penalty=factor) for row in range(len(logits))]
    expected = [Sampler(sampling, seen.get(row, [])).choose(logits[row]) for row in range(len(logits))]
    backend.compute(batch)
    assert [choice.token for choice in backend.choose(given)] == expected
    assert (expected != logits.argmax(axis=1).tolist()) == (factor > 1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "sampling", [Sampling(seed=3), Sampling(top_p=0.9, seed=3), Sampling(top_k=5, logprobs=3, seed=3)]
)
def test_tokens_are_chosen_as_from_the_logits_of_forward(isa: str, sampling: Sampling) -> None:
    made = golden("smollm2")
    backend = load(made.checkpoint, isa, 2)
    batch = whole(made.tokens)
    sampler = Sampler(sampling, made.tokens.tolist())
    rows = [sampler.row([0] * place) for place in range(len(batch.selected))]
    expected = [choose_row(*pair) for pair in zip(backend.forward(batch), rows, strict=True)]
    backend.compute(batch)
    assert backend.choose(rows) == expected


def test_more_than_a_backend_says_is_refused() -> None:
    made = golden("smollm2")
    config = NativeConfig(threads=1, kv_tokens=256, step_tokens=64, selected=2)
    backend = NativeBackend.load(made.checkpoint, config)
    assert backend.choices == 2
    with pytest.raises(ParameterError, match="selected rows of the batch = 41: must be at most 2"):
        backend.compute(whole(made.tokens))
