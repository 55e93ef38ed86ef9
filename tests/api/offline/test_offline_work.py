from __future__ import annotations

from pathlib import Path

import pytest

import honed
from chatty_model import with_template
from honed.api.language_model import LanguageModel
from honed.api.offline.work import GenerateOptions, task_of, work_of
from honed.errors import ParameterError
from honed.runtime.options import SamplingOptions


@pytest.fixture(scope="module")
def model(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    found = honed.load(with_template(tiny_llama, tmp_path_factory.mktemp("offline") / "model"))
    assert isinstance(found, LanguageModel)
    return found


def test_replies_are_those_of_generate(model: LanguageModel) -> None:
    work = work_of(model, GenerateOptions(max_tokens=8))
    expected = model.generate([{"role": "user", "content": "the of"}], max_tokens=8)
    assert work(0, {"prompt": "the of"}) == {
        "output": expected.text,
        "finish_reason": expected.finish_reason,
        "prompt_tokens": expected.prompt_tokens,
        "completion_tokens": len(expected.tokens),
    }
    assert work(0, {"messages": [{"role": "user", "content": "the of"}], "prompt": "x"})["output"] == expected.text
    raw = work_of(model, GenerateOptions(max_tokens=8, raw=True))
    assert raw(0, {"prompt": "the of"})["output"] == model.generate("the of", max_tokens=8).text


def test_equal_prompts_have_different_seeds(model: LanguageModel) -> None:
    work = work_of(model, GenerateOptions(max_tokens=8, sampling=SamplingOptions(temperature=2.0, seed=5)))
    texts = [work(row, {"prompt": "the of"})["output"] for row in (0, 1, 0)]
    assert texts[0] == texts[2] != texts[1]


def test_a_row_that_cannot_be_run_has_an_error(model: LanguageModel) -> None:
    work = work_of(model, GenerateOptions(max_tokens=8, column="q"))
    assert "names" not in work(0, {"q": "the"})
    assert "'prompt'" in work(0, {"prompt": "the"})["error"]
    assert "messages" in work(0, {"q": 5})["error"]
    assert "shorten it" in work_of(model, GenerateOptions(raw=True))(0, {"prompt": "the " * 10_000})["error"]


def test_the_task_follows_from_the_model(model: LanguageModel) -> None:
    assert task_of(model, None) == task_of(model, "generate") == "generate"
    with pytest.raises(ParameterError, match="is for generate"):
        task_of(model, "embed")
    with pytest.raises(ParameterError, match="must be one of"):
        task_of(model, "paint")
