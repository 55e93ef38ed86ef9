"""Model directories from the Hugging Face Hub, through huggingface-hub and its cache."""

from __future__ import annotations

import re
from pathlib import Path

from honed.errors import SourceError

PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# Only what is read here: never pickled weights, never code.
_WEIGHTS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json", "honed/head.safetensors"]
_SETTINGS = ["config.json", "generation_config.json", "honed.json"]
_TOKENIZER = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"]


def fetch(repository: str, revision: str | None) -> Path:
    """The snapshot of a revision (a branch, tag or commit; None: main), downloaded where the cache lacks it.

    Errors: SourceError in one sentence, offline and for unknown, gated or private repositories alike.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    shown = repository if revision is None else f"{repository}@{revision}"
    try:
        wanted = _WEIGHTS + _SETTINGS + _TOKENIZER
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except GatedRepoError:
        reason = "its owner grants access on request; log in with: hf auth login"
    except RevisionNotFoundError:
        reason = f"the repository has no revision {revision}"
    except RepositoryNotFoundError:
        reason = "there is no such public repository (for a private one log in with: hf auth login)"
    except LocalEntryNotFoundError:
        reason = "it is not in the cache and the Hub cannot be reached"
    except Exception as error:  # the library lets those of its HTTP client through
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    raise SourceError(f"Hugging Face {shown}: {reason}")
