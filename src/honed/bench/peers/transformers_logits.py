"""What transformers gives for token ids in float32: the reference that tiny models of every family are held against.

Runs in this process, where torch and transformers are installed. Not here: measuring how fast it is (`pytorch.py`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_installed() -> bool:
    """Whether torch and transformers are there to compare with."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))


def decoder_logits(directory: Path, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """Logits of every token of one text: [tokens, vocabulary]."""
    import torch
    from transformers import AutoModelForCausalLM

    model = _loaded(AutoModelForCausalLM, directory)
    with torch.inference_mode():
        return _values(model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0])


def encoder_rows(directory: Path, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    """The rows of every token of texts that are run one by one: [tokens, width]."""
    import torch
    from transformers import AutoModel

    model = _loaded(AutoModel, directory)
    with torch.inference_mode():
        rows = [model(torch.from_numpy(text.astype(np.int64))[None]).last_hidden_state[0] for text in texts]
        return _values(torch.cat(rows))


def _loaded(kind: Any, directory: Path) -> Any:
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return kind.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


def _values(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.float().numpy().copy()
    return values
