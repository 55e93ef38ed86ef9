"""What the settings of every pass are: frozen values that are read strictly and refuse unknown keys.

Not here: the settings of any pass, which stand in its file with their ranges and checks.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Part of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PassSettings(Settings):
    """Those of one pass. Each pass narrows `kind` to its own name."""

    kind: Annotated[str, Field(alias="pass")]
