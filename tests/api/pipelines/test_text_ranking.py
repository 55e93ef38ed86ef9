"""Against sigmoids of transformers' logits, which is what a cross-encoder of sentence-transformers gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import honed
from headed_models import headed
from honed.errors import ParameterError, UnsupportedError

QUERY, DOCUMENTS = "Ann lives?", ["the lazy dog", "Ann lives in Berlin", "北京是中国的首都"]


def logits(path: Path) -> list[float]:
    import torch
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        return [float(model(**tokenizer(QUERY, one, return_tensors="pt")).logits) for one in DOCUMENTS]


@pytest.mark.parametrize("activation", [None, "Sigmoid", "Identity", "Tanh"])
def test_a_cross_encoder(activation: str | None, tmp_path: Path) -> None:
    import torch

    path = headed("bert", "ForSequenceClassification", num_labels=1)
    expected = torch.tensor(logits(path))
    if activation is not None:
        path = Path(shutil.copytree(path, tmp_path / "model"))
        config = json.loads((path / "config.json").read_text())
        config["sentence_transformers"] = {"activation_fn": f"torch.nn.modules.activation.{activation}"}
        (path / "config.json").write_text(json.dumps(config))
    if activation == "Tanh":
        with pytest.raises(UnsupportedError, match="Tanh"):
            honed.pipeline("text-ranking", path)
        return
    scores = (expected if activation == "Identity" else expected.sigmoid()).tolist()
    with honed.pipeline("rerank", path, dtype="float32") as ours:
        found = ours(QUERY, DOCUMENTS, return_documents=True)
        assert [one["corpus_id"] for one in found] == sorted(range(3), key=lambda index: -scores[index])
        for one in found:
            assert one["score"] == pytest.approx(scores[one["corpus_id"]], abs=1e-4)
            assert one["text"] == DOCUMENTS[one["corpus_id"]]
        top = ours({"query": QUERY, "documents": DOCUMENTS}, top_k=1)
        assert top == [{"corpus_id": found[0]["corpus_id"], "score": found[0]["score"]}]
        assert ours([{"query": QUERY, "documents": DOCUMENTS}], top_k=1) == [top]
        for given in (QUERY, {"query": QUERY}):
            with pytest.raises(ParameterError):
                ours(given)


def test_other_encoders() -> None:
    with (
        honed.load(headed("bert", "ForSequenceClassification", num_labels=3)) as model,
        pytest.raises(UnsupportedError, match="3 labels"),
    ):
        honed.pipeline("text-ranking", model)
