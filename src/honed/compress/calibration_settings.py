"""What a recipe may say of the tokens that its passes are told of. Not here: where they are found, which is
`api/calibration.py`; a recipe reads no files."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from honed.compress.settings import Settings

BUILT_IN, SAMPLED = "built-in", "sampled"


class CalibrationSettings(Settings):
    """text: `built-in`, `sampled` (what the model itself writes) or a file (.txt, .jsonl, .csv, .parquet). null:
    built-in where passes ask for mean squares only, which a thousand tokens tell; what the model writes where they ask
    for more. tokens: null is 1,024 of the built-in text and 65,536 of others. window: tokens that are one text. seed:
    of what is sampled, and of which windows of a long file are taken.
    """

    text: Annotated[str, Field(min_length=1)] | None = None
    tokens: Annotated[int, Field(ge=64, le=1 << 24)] | None = None
    window: Annotated[int, Field(ge=16, le=8192)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
