"""The engine itself: it sees every way in which an input can do harm, goes on after it, and repeats what it does."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from fuzzing import engine, registry
from fuzzing.byte_mutations import mutate_bytes
from fuzzing.gguf_mutations import mutate_gguf
from fuzzing.json_mutations import mutate_json
from fuzzing.target import Mutate
from gguf_builder import small_file

TARGET = registry.find("_misbehaving")


def test_every_kind_of_harm_is_a_fault_and_the_next_input_is_read() -> None:
    harms = {
        b"raise": "KeyError",
        b"abort": "SIGABRT",
        b"hang": "no answer within 5 s",
        b"compute": "s of CPU, over 0.5",
        b"endless": "SIGPROF",
        b"take": "MiB, over 40",
        b"flood": "MemoryError",
    }
    with engine.Reader(TARGET) as reader:
        for data, expected in harms.items():
            answer = reader.answer(data)
            assert answer.outcome == "fault", data
            # On a crowded machine the time of the clock may end before that of the CPU.
            assert expected in answer.message or (data == b"endless" and "no answer" in answer.message), data
            assert reader.answer(b"accept").outcome == "accepted", data
        assert reader.answer(b"refuse").message == "HonedError: no"
        assert reader.answer(b"write").outcome == "accepted"
        assert reader.answer(b"look").outcome == "accepted"  # nothing is left of the input before


def test_a_fault_is_kept_once_and_says_how_to_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FOUND", tmp_path)
    target = replace(TARGET, mutate=lambda data, chance, others: chance.choice([b"raise", b"refuse"]))
    with engine.Reader(target) as reader:
        report = engine.search(target, reader, seed=1, inputs=12)
    (fault,) = report.faults
    assert (report.inputs, report.accepted, report.shapes) == (12, 0, 2)
    assert fault.kept.read_bytes() == b"raise"
    assert f"mv {fault.kept} {engine.CORPUS / '_misbehaving'}/" in str(fault)


@pytest.mark.parametrize(
    ("mutate", "data"),
    [
        (mutate_bytes, bytes(range(100))),
        (mutate_json, json.dumps({"a": [1, 2.5, "x", None], "b": {"c": True}}).encode()),
        (mutate_json, b"not JSON"),
        (mutate_gguf, small_file().bytes()),
        (mutate_gguf, b"GGUF"),
        (mutate_bytes, b""),
    ],
    ids=["bytes", "json", "no-json", "gguf", "no-gguf", "empty"],
)
def test_mutations_differ_and_repeat(mutate: Mutate, data: bytes) -> None:
    def many(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [mutate(data, chance, [data, b"another"]) for _ in range(300)]

    made = many(1)
    assert made == many(1)
    assert made != many(2)
    assert len(set(made)) > 20


@pytest.mark.parametrize("name", registry.names())
def test_mutations_of_every_target_stand_any_input(name: str) -> None:
    target = registry.find(name)
    chance = random.Random(3)
    pool = list(target.seeds())
    assert len(set(pool)) == len(pool)
    for _ in range(300):  # mutations of mutations
        pool[chance.randrange(len(pool))] = target.mutate(chance.choice(pool), chance, pool)[: 1 << 16]
