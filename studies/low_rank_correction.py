"""Whether factors that are added to a rounded layer are worth their bytes: the error of its outputs, with and without.

    python studies/low_rank_correction.py MODEL TEXT [TOKENS] [LAYER]

Of the linear layers of one layer of a Llama: rounded to nearest (scales searched, inputs weighted) and by GPTQ, to int4
in groups of 32 and 128; then with the best product of rank 16, 32 and 64 for the error of either (Zhang et al. 2024,
"LQER"; Liu et al. 2024, "EoRA"), its factors in int8. Weights are turned by a random orthogonal matrix first, as a file
of 4 bits flatters whoever rounds to 4 bits again (`rotated_copy.py`). Errors are shares of the energy of the outputs on
TEXT; a bit more divides them by four. The result is in docs/measurements/factorization.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.open import open_checkpoint
from honed.compress.error_feedback import feedback, round_with_feedback
from honed.compress.low_rank import low_rank
from honed.compress.observe import observe
from honed.compress.weights import SourceWeights
from honed.encodings.column_grid import Gridded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import Int4Scheme, Int8Scheme
from honed.models.registry import read_model

Wide = NDArray[np.float64]
READS_RESIDUAL = {"self_attn.q_proj": True, "self_attn.o_proj": False, "mlp.gate_proj": True, "mlp.down_proj": False}
WINDOW = 512


def rounded(weight: NDArray[np.float32], gram: Wide, group: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    scheme = Int4Scheme(group, "symmetric")

    def plainly(values: NDArray[np.float32], inputs: slice) -> Gridded:
        importance = gram.diagonal()[inputs]
        found = encode(Dense(values, "float32"), scheme, name="w", search=True, importance=importance)
        assert isinstance(found, Gridded)
        return found

    yield "round to nearest", plainly(weight, slice(None)).decode()
    found = feedback(gram, damping=0.01, by_activation=True)
    yield "gptq", round_with_feedback(weight, found, plainly, refit=False).decode()


def in_int8(factor: NDArray[np.float32], group: int | None) -> Wide:
    scheme = Int8Scheme(32 if group else None)
    return encode(Dense(factor, "float32"), scheme, name="f", search=False).decode().astype(np.float64)


def report(weight: NDArray[np.float32], gram: Wide) -> None:
    def error(difference: Wide) -> float:
        return float(np.trace(difference @ gram @ difference.T) / np.trace(weight @ gram @ weight.T))

    for group in (32, 128):
        if weight.shape[1] % group:
            continue
        for how, values in rounded(weight, gram, group):
            left = weight - values
            print(f"| {how}, groups of {group} | {4 + 16 / group:.3f} | {error(left.astype(np.float64)):.5f} |")
            best = low_rank(left, gram, damping=0.01)
            for rank in (16, 32, 64):
                outer, inner = best.factors(rank)
                bits = 4 + 16 / group + 8 * rank * sum(weight.shape) / weight.size
                after = error(left - in_int8(outer, None) @ in_int8(inner, 32))
                print(f"| {how}, groups of {group}, rank {rank} | {bits:.3f} | {after:.5f} |", flush=True)


def main() -> None:
    checkpoint = open_checkpoint(sys.argv[1])
    tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 8192
    layer = int(sys.argv[4]) if len(sys.argv) > 4 else 14
    model = read_model(checkpoint.config, checkpoint.path)
    ids = checkpoint.tokenizer().encode(Path(sys.argv[2]).read_text(), add_special=False)
    windows = [list(ids[first : first + WINDOW]) for first in range(0, min(tokens, len(ids) - WINDOW + 1), WINDOW)]
    grams = observe(model, SourceWeights(model, checkpoint.weight), windows, {"gram"}, threads=1).gram
    for part, reads in READS_RESIDUAL.items():
        name = f"model.layers.{layer}.{part}.weight"
        values, gram = checkpoint.weight(name).decode().astype(np.float64), grams[name]
        width = values.shape[1 if reads else 0]
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
        values, gram = (values @ turn, turn.T @ gram @ turn) if reads else (turn.T @ values, gram)
        print(f"\n{name}\n\n| how | bits a weight | error |\n| --- | --- | --- |")
        report(values.astype(np.float32), gram)


if __name__ == "__main__":
    main()
