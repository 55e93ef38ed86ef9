"""Against log softmax of all logits at once, by a reference in torch of the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import honed
from honed.backends.base import Batch
from honed.errors import ParameterError
from honed.evaluate import likelihood as module
from honed.evaluate.likelihood import Scorer, likelihood, room


def test_equal_to_transformers_in_one_step_or_several(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    prompt, continuation = [1, 5, 9, 3], [7, 2, 11, 4, 6]
    theirs = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    with torch.no_grad():
        rows = theirs(torch.tensor([prompt + continuation])).logits[0].log_softmax(-1).double().numpy()
    expected = sum(rows[len(prompt) - 1 + i, token] for i, token in enumerate(continuation))
    with honed.load(tiny_llama, dtype="float32") as model:
        assert isinstance(model, honed.LanguageModel)
        found = likelihood(model.backend, prompt, continuation)
        assert found.logprob == pytest.approx(expected, abs=1e-4)
        assert (found.tokens, found.greedy) == (5, False)
        monkeypatch.setattr(module, "STEP_ROWS", 2)
        assert likelihood(model.backend, prompt, continuation).logprob == pytest.approx(found.logprob, abs=1e-9)
        best = model.generate(prompt, max_tokens=3, temperature=0).tokens
        assert likelihood(model.backend, prompt, best).greedy


def test_a_prompt_loses_its_beginning_where_it_is_too_long(tiny_llama: Path) -> None:
    with honed.load(tiny_llama, dtype="float32") as model:
        assert isinstance(model, honed.LanguageModel)
        limit = room(model.backend)
        long = np.random.default_rng(1).integers(1, 30, limit + 40).tolist()
        kept = long[-(limit + 1 - 2) :]
        assert likelihood(model.backend, long, [3, 4]) == likelihood(model.backend, kept, [3, 4])
        with pytest.raises(ParameterError, match="must have one"):
            likelihood(model.backend, [], [1])
        with pytest.raises(ParameterError, match="must have from 1 to"):
            likelihood(model.backend, [1], [])


def test_a_shared_beginning_is_not_run_again_and_the_bits_are_the_same(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with honed.load(tiny_llama, dtype="float32") as model:
        assert isinstance(model, honed.LanguageModel)
        scorer, forward = Scorer(model.backend), model.backend.forward
        rows: list[int] = []

        def counted(batch: Batch) -> NDArray[np.float32]:
            rows.append(len(batch.tokens))
            return forward(batch)

        monkeypatch.setattr(model.backend, "forward", counted)
        prompt = list(range(1, 21))
        pairs = [(prompt, [5]), (prompt, [6, 7]), (prompt[:10], [8]), ([3, *prompt], [5])]
        found = [scorer.score(*pair) for pair in pairs]
        assert rows == [20, 2, 1, 21]
        assert found == [likelihood(model.backend, *pair) for pair in pairs]
        model.generate(prompt, max_tokens=2, temperature=0)  # writes to the same pages
        assert scorer.score(prompt, [5]) == found[0]
