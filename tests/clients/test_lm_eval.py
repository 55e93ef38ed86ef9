"""lm-eval's `local-completions` and `local-chat-completions`: what it computes from replies is what the engine says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from asked_models import KEY, REPLIES
from chatty_model import with_template
from foreign_library import foreign
from running_server import RunningServer
from scripted_model import scripted_model
from tiny_models import whole

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]  # its warnings are its own
TINY = [("the of and", " to in is"), ("it you", " that"), ("he was for on are", " with as his they be"), ("at", " one")]
REAL = [
    ("The capital of France is", " Paris"),
    ("The capital of France is", " a small town in the north of Norway"),
    ("def add(a, b):\n    return", " a + b"),
    ("Naïve Bären 🦊", " fressen Äpfel 🍎"),
]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def lm_eval() -> Iterator[Any]:
    with foreign("lm_eval", OPENAI_API_KEY=KEY, HF_HUB_OFFLINE="1") as module:
        yield module


@dataclass(frozen=True)
class Likelihood:
    """Of one continuation. log: natural logarithm."""

    log: float
    greedy: bool


def directly(model: Any, context: str, continuation: str) -> Likelihood:
    """By one step of a backend over all tokens, without the engine, cache or server."""
    prompt = model.tokenizer.encode(context, add_special=False)
    tokens = np.array(model.tokenizer.encode(context + continuation, add_special=False), dtype=np.int32)
    logits = np.asarray(model.backend.forward(whole(tokens)), dtype=np.float64)[:-1]
    logprobs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    logprobs -= logits.max(-1, keepdims=True)
    rows = range(len(prompt) - 1, len(tokens) - 1)
    chosen = [(logprobs[row, tokens[row + 1]], logprobs[row].argmax() == tokens[row + 1]) for row in rows]
    return Likelihood(float(sum(value for value, _ in chosen)), all(best for _, best in chosen))


def asked(lm_eval: Any, server: RunningServer, pairs: list[tuple[str, str]], **given: Any) -> list[Likelihood]:
    """By lm-eval, over HTTP."""
    models = import_module("lm_eval.models.openai_completions")
    instance = import_module("lm_eval.api.instance").Instance
    lm = models.LocalCompletionsAPI(
        base_url=f"{server.url}/v1/completions", model="x", max_retries=1, auth_token=KEY, **given
    )
    requests = [
        instance(request_type="loglikelihood", doc={}, arguments=pair, idx=number) for number, pair in enumerate(pairs)
    ]
    return [Likelihood(value, greedy) for value, greedy in lm.loglikelihood(requests, disable_tqdm=True)]


def agree(found: list[Likelihood], expected: list[Likelihood]) -> None:
    assert [one.greedy for one in found] == [one.greedy for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log == pytest.approx(other.log, abs=TOLERANCE)


@pytest.mark.parametrize("tokenized", [True, False])
def test_likelihoods_are_those_of_the_engine(lm_eval: Any, tiny_llama: Path, tmp_path: Path, tokenized: bool) -> None:
    directory = with_template(tiny_llama, tmp_path / "model")
    with honed.load(directory) as model:
        best = [_greedy(model, context) for context, _ in TINY]
        pairs = [*TINY, *best]
        expected = [directly(model, *pair) for pair in pairs]
    assert [one.greedy for one in expected].count(True) >= len(best)
    with RunningServer({"x": lambda: honed.load(directory)}, api_keys=(KEY,)) as server:
        for batch in (1, 4):  # the second time they are in the prefix cache, whose logprobs are the same
            found = asked(lm_eval, server, pairs, batch_size=batch, tokenized_requests=tokenized)
            agree(found, expected)


def _greedy(model: Any, context: str) -> tuple[str, str]:
    tokens = np.array(model.tokenizer.encode(context, add_special=False), dtype=np.int32)
    logits = np.asarray(model.backend.forward(whole(tokens)))
    return context, " " + model.tokenizer.decode([int(logits[-1].argmax())])


@pytest.mark.real_model
def test_likelihoods_of_a_real_model(lm_eval: Any, smollm2_gguf: Path) -> None:
    with honed.load(str(smollm2_gguf)) as model:
        expected = [directly(model, *pair) for pair in REAL]
    assert expected[0].log > expected[1].log
    with RunningServer({"x": lambda: honed.load(str(smollm2_gguf))}, api_keys=(KEY,)) as server:
        agree(asked(lm_eval, server, REAL, batch_size=2), expected)


@pytest.mark.parametrize(
    ("api", "path"), [("local-completions", "completions"), ("local-chat-completions", "chat/completions")]
)
def test_a_task_is_run(lm_eval: Any, api: str, path: str) -> None:
    question = "The quick" if path == "completions" else "hello"
    rows = import_module("datasets").Dataset.from_list([{"q": question, "a": REPLIES[question].strip()}])
    task = import_module("lm_eval.api.task").ConfigurableTask(
        config={
            "task": "said",
            "custom_dataset": lambda **_: {"test": rows},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{q}}",
            "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 40, "temperature": 0},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
            "filter_list": [
                {"name": "strip", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
            ],
        }
    )
    # The tokenizer of the server is found by itself for completions; chats need none.
    given = {"tokenizer_backend": None} if "chat" in path else {}
    # One model: lm-eval asks for the tokenizer without naming any.
    with RunningServer({"m": lambda: scripted_model(REPLIES)[0]}, api_keys=(KEY,)) as server:
        found = lm_eval.simple_evaluate(
            model=api,
            model_args={
                "model": "m",
                "base_url": f"{server.url}/v1/{path}",
                "max_retries": 1,
                "auth_token": KEY,
                **given,
            },
            tasks=[task],
            apply_chat_template="chat" in path,
            bootstrap_iters=0,
        )
    assert found["results"]["said"]["exact_match,strip"] == 1
