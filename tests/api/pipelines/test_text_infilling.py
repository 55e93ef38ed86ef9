from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import honed
from honed.errors import ParameterError, UnsupportedError
from honed.text.infill import infill_prompt


@pytest.fixture
def filling(tiny_llama: Path, tmp_path: Path) -> Path:
    """A model whose tokenizer has tokens for filling in, of ids that the model has."""
    path = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    document = json.loads((path / "tokenizer.json").read_text())
    for place, text in enumerate(("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>")):
        token = 20 + place
        vocabulary = document["model"]["vocab"]
        old = next(word for word, number in vocabulary.items() if number == token)
        del vocabulary[old]
        vocabulary[text] = token
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        document["added_tokens"].append({"id": token, "content": text, **flags})
    (path / "tokenizer.json").write_text(json.dumps(document))
    return path


def test_what_stands_between(filling: Path, tiny_llama: Path) -> None:
    with honed.pipeline("infill", filling, temperature=0, max_new_tokens=6) as ours:
        prompt = infill_prompt(ours.tokenizer, "the of", "and to")
        assert prompt is not None
        expected = ours.model.generate(prompt, max_tokens=6, temperature=0, stop=["<fim_pad>"]).text
        assert ours("the of", "and to") == {"generated_text": expected}
        several = ours([{"prefix": "the of", "suffix": "and to"}, {"prefix": "", "suffix": ""}])
        assert several[0] == {"generated_text": expected} == ours({"prefix": "the of", "suffix": "and to"})
        for given in (("the",), ({"prefix": "the"},)):
            with pytest.raises(ParameterError):
                ours(*given)
    with honed.pipeline("text-infilling", tiny_llama) as without, pytest.raises(UnsupportedError, match="filling in"):
        without("a", "b")
