"""Results of recipes as tests make them up: one of honed's with all figures, one of llama.cpp's, one that failed."""

from __future__ import annotations

from honed.bench.recipe_rows import LLAMA, OWN, Quality, RecipeResults, RecipeRow, Speed

QUALITY = Quality((0.003, 0.002, 0.004), (0.97, 0.96, 0.98), (14.8, 14.1, 15.2), 14.7, 4096)
SPEED = Speed(1000.0, 80.0, 2.0, 2.5, 1.1, 1.2, 3)
ROW = RecipeRow("int4", OWN, "d", 97_000_000, 5.7, 12.5, 600_000_000, QUALITY, SPEED)
FILE = RecipeRow("Q4_0", LLAMA, "e", 90_000_000, 5.3, quality=QUALITY)
FAILED = RecipeRow("nf4", OWN, "f", failed="no memory")
RESULTS = RecipeResults({"model": "m"}, (ROW, FILE, FAILED))
