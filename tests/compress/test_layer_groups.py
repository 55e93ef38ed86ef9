"""Groups are what shares an input, whatever the family."""

from __future__ import annotations

import pytest

from honed.compress.layer_groups import find_layer_groups
from honed.compress.linears import HEAD, find_linears
from honed.models.registry import read_any
from tiny_encoder import TinyEncoder
from tiny_models import FAMILIES, tiny_config


def test_groups_of_a_model_with_a_tied_head() -> None:
    groups = find_layer_groups(read_any(tiny_config("smollm2")))
    labels = [group.label for group in groups]
    layer = "model.layers.0"
    assert labels[:4] == [
        f"{layer}.self_attn.q_proj,k_proj,v_proj",
        f"{layer}.self_attn.o_proj",
        f"{layer}.mlp.gate_proj,up_proj",
        f"{layer}.mlp.down_proj",
    ]
    assert groups[0].shape == (54 + 18 + 18, 54)
    assert groups[0].weights == 90 * 54
    assert [group.block for group in groups[:4]] == [0, 0, 1, 1]
    assert groups[-1].names == (HEAD,)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_layer_is_in_one_group(family: str) -> None:
    model = read_any(tiny_config(family))
    linears = find_linears(model)
    names = [name for group in find_layer_groups(model) for name in group.names]
    expected = {weight.name for weight in linears.layers} | ({linears.head_name} - {None})
    assert len(names) == len(set(names))
    assert set(names) == expected


def test_an_encoder_has_no_head() -> None:
    groups = find_layer_groups(TinyEncoder())
    assert groups
    assert HEAD not in {name for group in groups for name in group.names}
