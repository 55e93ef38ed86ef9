"""config.json of a directory that `honed inspect` is asked about: all that is wrong with it, within one bound."""

from __future__ import annotations

from pathlib import Path

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.api.inspection.report import examine
from honed.errors import HonedError
from targets import config


def read(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    config.write_weights(folder, data)
    report = examine(str(folder))
    if not report["runs"]:  # told in the time and memory in which it would be refused
        raise HonedError(str(report["faults"]))


TARGET = Target("inspect_config", read, config.seeds, mutate_json)
