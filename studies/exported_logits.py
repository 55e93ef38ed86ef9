"""Whether llama.cpp makes of an exported file what honed makes of it: logits of both, token by token.

    python studies/exported_logits.py FILE.gguf [FILE.gguf ...] [--tokens 256] [--threads 2]

The tokens are the first of the Python topics. honed runs each file twice: every weight decoded to float32, which is what
the file says, and as it runs files by default, with activations in int8. llama.cpp (its Python package, installed where
it is not yet) rounds activations as well, but to scales of its own, so of quantized files its logits are near and not
equal. Printed: KL(float32 || other) in nats, mean and largest, top-1 agreement, and the largest difference of logits
over their spread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import honed
from honed.api.load import load_language_model
from honed.bench.peers.llama_cpp_package import environment
from honed.evaluate.compare import _logits
from honed.evaluate.windows import cut_windows
from honed.text.corpora import python_topics

WORKER = """
import sys, numpy as np, llama_cpp
file, tokens, threads, out = sys.argv[1:]
ids = np.load(tokens).tolist()
model = llama_cpp.Llama(file, n_ctx=len(ids), n_batch=len(ids), n_threads=int(threads), n_threads_batch=int(threads),
                        logits_all=True, verbose=False)
model.eval(ids)
np.save(out, np.array(model.scores[: len(ids)], dtype=np.float32))
"""


def own(file: str, tokens: int, threads: int, dtype: str | None) -> tuple[list[int], NDArray[np.float32]]:
    """Token ids, and logits [tokens, vocabulary]."""
    options = honed.RunOptions(threads=threads, context=tokens, **({} if dtype is None else {"dtype": dtype}))
    with load_language_model(file, options) as model:
        tokenizer = model.tokenizer
        ids = tokenizer.encode(python_topics().text, add_special=False)
        begin = tokenizer.begin_token if tokenizer.adds_begin_token else None
        (window,) = cut_windows(ids, window_tokens=tokens, windows=1, begin_token=begin)
        step = min(64, model.backend.step_tokens)
        parts = [slice(first, min(first + step, tokens)) for first in range(0, tokens, step)]
        rows = [_logits("model", model.backend, window, part).copy() for part in parts]
        return window.inputs.tolist(), np.concatenate(rows)


def llama(file: str, ids: list[int], threads: int) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as scratch:
        tokens, out = Path(scratch) / "tokens.npy", Path(scratch) / "logits.npy"
        np.save(tokens, np.array(ids))
        python = str(environment().python(print))
        subprocess.run([python, "-c", WORKER, file, str(tokens), str(threads), str(out)], check=True)
        found: NDArray[np.float32] = np.load(out)
        return found


def told(exact: NDArray[np.float32], other: NDArray[np.float32]) -> str:
    p, q = (logits.astype(np.float64) - logits.max(1, keepdims=True) for logits in (exact, other))
    p -= np.log(np.exp(p).sum(1, keepdims=True))
    q -= np.log(np.exp(q).sum(1, keepdims=True))
    kl = (np.exp(p) * (p - q)).sum(1)
    agreement = (exact.argmax(1) == other.argmax(1)).mean()
    off = np.abs(exact - other).max() / np.ptp(exact)
    return f"{kl.mean():.2e} | {kl.max():.2e} | {100 * agreement:.1f} % | {off:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    print("| file | run by | KL, mean | largest | same first choice | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for file in given.files:
        ids, exact = own(file, given.tokens, given.threads, "float32")
        _, rounded = own(file, given.tokens, given.threads, None)
        print(f"| {Path(file).name} | honed | {told(exact, rounded)} |")
        print(f"| {Path(file).name} | llama.cpp | {told(exact, llama(file, ids, given.threads))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
