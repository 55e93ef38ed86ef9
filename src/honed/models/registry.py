"""From the `model_type` of a config to its model: one line a family.

Who needs a model of one kind asks for that kind, and a user of the other one is told what runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from honed.errors import UnsupportedError, quoted
from honed.models import (
    bert,
    cohere,
    distilbert,
    gemma2,
    gemma3,
    glm4,
    gpt2,
    gpt_neox,
    gpt_oss,
    granite,
    granitemoe,
    llama,
    mistral,
    mixtral,
    modernbert,
    olmo2,
    olmoe,
    opt,
    phi3,
    qwen2,
    qwen2_moe,
    qwen3,
    qwen3_moe,
    roberta,
    smollm3,
    starcoder2,
)
from honed.models.base import Config, DecoderModel, EncoderModel
from honed.models.config import Fields
from honed.models.factored import FACTORS_FIELD, FactoredDecoder, FactoredEncoder, read_factors
from honed.models.family import Family
from honed.models.foreign_fields import refuse_foreign_fields

DECODERS: dict[str, Family] = {
    family.model_type: family
    for family in (
        gemma2.FAMILY,
        gemma3.FAMILY,
        llama.FAMILY,
        mistral.FAMILY,
        qwen2.FAMILY,
        qwen3.FAMILY,
        granite.FAMILY,
        olmo2.FAMILY,
        cohere.FAMILY,
        cohere.FAMILY2,
        glm4.FAMILY,
        glm4.FIRST_FAMILY,
        smollm3.FAMILY,
        mixtral.FAMILY,
        qwen2_moe.FAMILY,
        qwen3_moe.FAMILY,
        olmoe.FAMILY,
        granitemoe.FAMILY,
        gpt2.FAMILY,
        gpt_neox.FAMILY,
        gpt_oss.FAMILY,
        opt.FAMILY,
        phi3.FAMILY,
        starcoder2.FAMILY,
    )
}
ENCODERS: dict[str, Family] = {
    family.model_type: family
    for family in (
        bert.FAMILY,
        distilbert.FAMILY,
        modernbert.FAMILY,
        roberta.FAMILY,
        roberta.XLM_FAMILY,
    )
}
FAMILIES: dict[str, Family] = {**DECODERS, **ENCODERS}


def read_model(config: Config, source: Path | str = "config") -> DecoderModel:
    """The model that generates which a config describes; `source` is the file named in errors.

    Errors: UnsupportedError for an unknown model_type, an encoder, an activation or kind of rotary scaling that is not
    known, and for what the family does not have (`foreign_fields.py`); FormatError for a field that is missing, of the
    wrong type, out of bounds or at odds with another. No memory is taken for weights.
    """
    kind = family_of(config, source).model_type
    if kind not in DECODERS:
        raise UnsupportedError(
            f"{source}: model_type {kind} is an encoder, which gives texts vectors and has no next token: honed embed "
            "runs it, and honed eval measures it"
        )
    return _decoder(DECODERS[kind], config, source)


def read_encoder(config: Config, source: Path | str = "config") -> EncoderModel:
    """The encoder that a config describes. Errors as of `read_model`; UnsupportedError for what generates."""
    kind = family_of(config, source).model_type
    if kind not in ENCODERS:
        raise UnsupportedError(
            f"{source}: model_type {kind} generates text, and vectors of texts are not had from it yet: honed embed "
            f"runs encoders ({', '.join(sorted(ENCODERS))})"
        )
    return _encoder(ENCODERS[kind], config, source)


def read_any(config: Config, source: Path | str = "config") -> DecoderModel | EncoderModel:
    """The model of either kind that a config describes. Errors as of `read_model`."""
    family = family_of(config, source)
    read = _decoder if family.model_type in DECODERS else _encoder
    return read(family, config, source)


def _decoder(family: Family, config: Config, source: Path | str) -> DecoderModel:
    """With the factors that a config gives it."""
    model = cast("DecoderModel", family.read(config, source))
    return model if config.get(FACTORS_FIELD) is None else FactoredDecoder(model, read_factors(model, config, source))


def _encoder(family: Family, config: Config, source: Path | str) -> EncoderModel:
    model = cast("EncoderModel", family.read(config, source))
    return model if config.get(FACTORS_FIELD) is None else FactoredEncoder(model, read_factors(model, config, source))


def is_encoder(config: Config) -> bool:
    """Whether a config names an encoder that is known here."""
    kind = config.get("model_type")
    return isinstance(kind, str) and kind in ENCODERS


def family_of(config: Config, source: Path | str = "config") -> Family:
    """The family that a config names, and is one of. Errors: as of `read_model` about `model_type`, and about fields
    that it does not have."""
    fields = Fields(config, source)
    kind = fields.text("model_type")
    if kind not in FAMILIES:
        import difflib

        near = difflib.get_close_matches(kind[:100], FAMILIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnsupportedError(
            f"{source}: model_type {quoted(kind)} is not supported; {hint}supported are {', '.join(sorted(FAMILIES))}"
        )
    refuse_foreign_fields(fields, kind, FAMILIES[kind].own_fields)
    return FAMILIES[kind]
