"""The state of a training in a folder, from which it goes on as if it had not stopped, and the log beside it.

`state.pt` is replaced as a whole, so that whatever ends the process there is one that is complete. `log.jsonl` has a
line for each step and judgement. Where tensorboard is installed, its own files of the same values lie there too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from honed.errors import ParameterError

STATE, LOG = "state.pt", "log.jsonl"
_FORMAT = 2


class Keeping:
    """`fingerprint` is of all that a training depends on. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self._folder, self._fingerprint = folder, fingerprint

    def load(self) -> Mapping[str, Any] | None:
        """What `save` was given last; None where nothing was. ParameterError where it is of another training."""
        if self._folder is None or not (self._folder / STATE).exists():
            return None
        found: dict[str, Any] = torch.load(self._folder / STATE, map_location="cpu", weights_only=True)
        if found.get("format") != _FORMAT or found.get("fingerprint") != self._fingerprint:
            problem = "is of a training of other models, tokens or settings; name another folder, or remove it"
            raise ParameterError("training state", str(self._folder / STATE), problem)
        return found

    def save(self, state: Mapping[str, Any]) -> None:
        """Tensors, numbers and texts, in lists and dictionaries."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / f"{STATE}.new"
        with beside.open("wb") as file:
            torch.save({**state, "format": _FORMAT, "fingerprint": self._fingerprint}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._folder / STATE)


class Log:
    """Lines of values by name, each of a step."""

    def __init__(self, folder: Path | None) -> None:
        self._file, self._board = None, None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / LOG).open("a", encoding="utf-8")
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
