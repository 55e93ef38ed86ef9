"""Against lm-eval's own model of transformers, where lm-eval is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from honed.api.evaluation.lm_eval_model import NAME, model_class, register, run_tasks
from honed.backends.options import RunOptions
from honed.errors import HonedError

INSTALLED = importlib.util.find_spec("lm_eval") is not None
needs_it = pytest.mark.skipif(not INSTALLED, reason="lm-eval is not installed")
quiet = pytest.mark.filterwarnings("ignore")
FLOAT32 = RunOptions(dtype="float32", kv="float32")


def requests(*arguments: Any) -> list[Any]:
    return [SimpleNamespace(args=one, arguments=one) for one in arguments]


@pytest.fixture(scope="module")
def both(tiny_llama: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=str(tiny_llama), dtype="float32", device="cpu", batch_size=1)
    return model_class()(str(tiny_llama), dtype="float32", kv="float32", batch_size=1), theirs


@needs_it
@quiet
def test_likelihoods_are_those_of_transformers(both: Any) -> None:
    given = requests(("the a of", " was hot"), ("the a of", " to"), ("hot ", "the"), ("", "the a"))
    for (ours, greedy), (theirs, also) in zip(*(model.loglikelihood(given) for model in both), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
        assert greedy == also


@needs_it
@quiet
def test_whole_texts_longer_than_the_context_too(both: Any) -> None:
    given = requests(("the a of was hot",), ("the a of was hot to and " * 60,))
    for ours, theirs in zip(*(model.loglikelihood_rolling(given) for model in both), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


@needs_it
@quiet
def test_replies_end_where_they_are_told(both: Any) -> None:
    settings = {"until": [" was"], "max_gen_toks": 8, "do_sample": False}
    ours, theirs = (model.generate_until(requests(("the a of", settings)))[0] for model in both)
    # Tokens are words here, and the space between prompt and reply is lost in transformers.
    assert ours.strip() == theirs and "was" not in ours


@needs_it
@quiet
def test_a_task_file_of_theirs_is_asked_from_here(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"q": "the a", "choices": ["of", "hot"], "answer": i % 2} for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "tiny_choices",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(task))
    found = run_tasks(str(tiny_llama), [str(path)], FLOAT32)
    assert found["tiny_choices"]["acc,none"] == 0.5, "the same answer to the same question"
    with pytest.raises(HonedError, match="lm-eval: "):
        run_tasks(str(tiny_llama), ["no_such_task_of_theirs"], FLOAT32)


@needs_it
@quiet
def test_it_is_registered_once_and_again() -> None:
    from lm_eval.api.registry import get_model

    register()
    register()
    assert get_model(NAME).__name__ == "HonedModel"


@pytest.mark.skipif(INSTALLED, reason="lm-eval is installed")
def test_without_it_one_sentence_says_so() -> None:
    for ask in (register, lambda: run_tasks("x", ["y"], FLOAT32)):
        with pytest.raises(HonedError, match="lm-eval is not installed: pip install 'lm-eval'"):
            ask()
