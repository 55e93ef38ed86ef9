"""all-MiniLM-L6-v2 against transformers, as sentence-transformers runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import honed
from honed.text.corpora import python_topics

pytestmark = pytest.mark.real_model
BACKENDS = ("native", "pytorch")
TEXTS = [
    "A cat sits on the mat.",
    "A kitten is lying on a rug.",
    "Shares fell on Monday.",
    "",
    "na\u00efve \u4f60\u597d \U0001f600",
    *(line.strip() for line in python_topics().text.splitlines()[100:140] if line.strip()),
    python_topics().text[:4000],
]


def by_transformers(directory: Path, texts: list[str]) -> NDArray[np.float32]:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModel.from_pretrained(directory).eval()
    rows = []
    for text in texts:
        given = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            rows.append(model(**given).last_hidden_state[0].mean(0).numpy())
    found = np.stack(rows)
    unit: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


@pytest.fixture(scope="module")
def expected(minilm: Path) -> NDArray[np.float32]:
    return by_transformers(minilm, TEXTS)


@pytest.mark.filterwarnings("ignore::honed.notes.HonedWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_vectors_equal_those_of_transformers(minilm: Path, backend: str, expected: NDArray[np.float32]) -> None:
    with honed.load(minilm, dtype="float32", backend=backend) as model:
        rows = model.embed(TEXTS)
    assert rows.dtype == np.float32
    assert (rows * expected).sum(axis=1).min() > 1 - 1e-5
    assert np.abs(rows - expected).max() < 1e-4
    assert rows[0] @ rows[1] > 0.5 > rows[0] @ rows[2]


@pytest.mark.filterwarnings("ignore::honed.notes.HonedWarning")
def test_int8_stays_close(minilm: Path, tmp_path: Path, expected: NDArray[np.float32]) -> None:
    honed.compress(minilm, "int8", out=tmp_path / "int8")
    with honed.load(tmp_path / "int8") as model:
        rows = model.embed(TEXTS)
    assert (rows * expected).sum(axis=1).min() > 0.995
