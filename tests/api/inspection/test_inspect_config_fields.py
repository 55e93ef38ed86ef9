"""Fields that no family reads."""

from __future__ import annotations

from honed.api.inspection.config_fields import foreign_fields, read_fields


def test_fields_of_families_are_found_by_watching_them_read() -> None:
    assert read_fields() >= {"hidden_size", "n_embd", "num_experts_per_tok", "word_embed_proj_dim", "dim"}


def test_what_is_off_or_says_nothing_is_left_out() -> None:
    config: dict[str, object] = {
        "q_lora_rank": 8,
        "use_mla": True,
        "hidden_size": 8,
        "initializer_range": 0.02,
        "hidden_dropout_prob": 0.1,
    }
    config |= {"use_something": False, "nothing": None, "scale_by": 1.0}
    assert [(fault.name, fault.value) for fault in foreign_fields(config)] == [
        ("q_lora_rank", "8"),
        ("use_mla", "True"),
    ]
