"""What recipes did to one model: a row each, kept in a JSON file as they come, so that a run that ended goes on.

Not here: measuring (`api/bench_recipes.py`), text (`recipe_page.py`) and drawing (`recipe_plot.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import FormatError

SOURCE, OWN, LLAMA = "source", "honed", "llama.cpp"
"""Whose a row is: the model as it came, a recipe's, or a file of llama.cpp's quantizer."""


@dataclass(frozen=True)
class Quality:
    """Against the source in float32, each with the ends of its interval: mean KL divergence in nats a token, share of
    tokens with the same most probable one, perplexity. tokens: that were predicted."""

    kl: tuple[float, float, float]
    top1: tuple[float, float, float]
    perplexity: tuple[float, float, float]
    reference_perplexity: float
    tokens: int


@dataclass(frozen=True)
class Speed:
    """Tokens a second, medians; and how many times as fast as bfloat16 and as int8, run by run in turns."""

    prefill_tok_s: float
    decode_tok_s: float
    prefill_of_dense: float
    decode_of_dense: float
    prefill_of_int8: float
    decode_of_int8: float
    runs: int


@dataclass(frozen=True)
class RecipeRow:
    """name: of a recipe, or of a type of llama.cpp's. depends_on: a digest of all that the row follows from. bytes: of
    the weight files. made_s, made_peak_bytes: in a process of its own; None of what was not made by a recipe. failed:
    why there are no figures."""

    name: str
    system: str
    depends_on: str
    bytes: int | None = None
    bits_per_weight: float | None = None
    made_s: float | None = None
    made_peak_bytes: int | None = None
    quality: Quality | None = None
    speed: Speed | None = None
    failed: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RecipeRow:
        """The inverse. KeyError or TypeError for something else."""
        quality, speed = value["quality"], value["speed"]
        found = None
        if quality is not None:
            intervals = {name: tuple(quality[name]) for name in ("kl", "top1", "perplexity")}
            found = Quality(**{**quality, **intervals})
        return cls(**{**value, "quality": found, "speed": None if speed is None else Speed(**speed)})


@dataclass(frozen=True)
class RecipeResults:
    """about: the model, its bytes, the machine, and how everything was measured."""

    about: Mapping[str, Any]
    rows: tuple[RecipeRow, ...]

    def find(self, system: str, name: str) -> RecipeRow | None:
        return next((row for row in self.rows if (row.system, row.name) == (system, name)), None)

    def with_row(self, row: RecipeRow) -> RecipeResults:
        """In the place of the row of that name, or behind all others."""
        others = [row if (one.system, one.name) == (row.system, row.name) else one for one in self.rows]
        return RecipeResults(self.about, tuple(others if row in others else [*others, row]))

    def to_json(self) -> dict[str, Any]:
        return {"about": dict(self.about), "rows": [row.to_json() for row in self.rows]}


def read_results(path: Path) -> RecipeResults:
    """FormatError where the file holds something else; without a file nothing has been measured."""
    if not path.exists():
        return RecipeResults({}, ())
    try:
        value = json.loads(path.read_text("utf-8"))
        return RecipeResults(value["about"], tuple(map(RecipeRow.from_json, value["rows"])))
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(path, "results", f"are not those of bench-recipes ({error}); give another file") from error
