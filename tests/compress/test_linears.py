from __future__ import annotations

import pytest

from honed.compress.linears import HEAD, find_linears, head_parts
from honed.models.factored import FactorGroup, with_factors
from honed.models.registry import FAMILIES, read_encoder, read_model
from honed.models.samples import sample_configs
from tiny_encoder import TinyEncoder
from tiny_models import SIZES
from unknown_op import odd_model


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_linears_are_found_by_what_the_model_calls(kind: str, tied: bool) -> None:
    found = find_linears(read_model({**SIZES, "model_type": kind, "tie_word_embeddings": tied}))
    assert len(found.layers) == 2 * 7
    assert found.tied is tied
    assert found.head is not None
    assert found.head.name == ("model.embed_tokens.weight" if tied else "lm_head.weight")
    assert found.head_name == HEAD
    assert not {weight.name for weight in found.layers} & {found.head.name, found.embedding.name}


def test_what_an_unknown_op_gives_is_multiplied_like_anything_else() -> None:
    found = find_linears(odd_model())
    assert len(found.layers) == 2 * 7 + 3
    assert "unknown.weight" not in {weight.name for weight in found.layers}
    assert found.tied


def test_an_encoder_has_no_head_and_its_pooler_is_no_layer() -> None:
    found = find_linears(TinyEncoder())
    assert (found.head, found.head_name, found.tied) == (None, None, False)
    assert len(found.layers) == 2 * 6
    assert "pooler.weight" not in {weight.name for weight in found.layers}


SAMPLE = sample_configs(FAMILIES["bert"])[0]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("BertForSequenceClassification", {"pooler.dense.weight", "classifier.weight"}),
        ("BertForTokenClassification", {"classifier.weight"}),
        ("BertForQuestionAnswering", {"qa_outputs.weight"}),
        ("BertForMaskedLM", {"cls.predictions.transform.dense.weight"}),
        ("BertModel", set()),
    ],
)
def test_what_a_head_of_an_encoder_is_made_of_is_no_layer(name: str, parts: set[str]) -> None:
    model = read_encoder({**SAMPLE, "architectures": [name]})
    found = find_linears(model)
    assert head_parts(model) == parts
    assert len(found.layers) == 2 * 6
    assert not {weight.name for weight in found.layers} & parts
    assert found.tied is (name == "BertForMaskedLM")
    assert found.head_name == (HEAD if found.tied else None)


@pytest.mark.parametrize("added", [False, True])
def test_a_factored_head_is_what_gives_the_logits(added: bool) -> None:
    plain = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": False})
    group = FactorGroup(("lm_head.weight",), 8, added)
    found = find_linears(with_factors(plain, (group,)))
    assert found.head is not None
    assert found.head.name == found.head_name == ("lm_head.weight" if added else "lm_head.factor_out.weight")
    layers = {weight.name for weight in found.layers}
    assert "lm_head.factor_in.weight" in layers
    assert ("lm_head.factor_out.weight" in layers) is added
