"""Searches for as long as one likes: `python tests/fuzz/fuzz.py --seconds 600 --target gguf` (`make fuzz`)."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzzing import registry
from fuzzing.engine import Reader, check_known, search


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="all", help=f"all, or one of {', '.join(registry.names())}")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all, shared by the targets")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="another one each time")
    given = parser.parse_args()
    names = registry.names() if given.target == "all" else [given.target]
    found = 0
    for name in names:
        target = registry.find(name)
        with Reader(target) as reader:
            faults = check_known(target, reader)
            report = search(target, reader, given.seed, seconds=given.seconds / len(names))
        faults += report.faults
        found += len(faults)
        print(  # noqa: T201
            f"{name}: seed {given.seed}, {report.inputs} inputs, {report.accepted} accepted, "
            f"{report.shapes} different answers, {len(faults)} faults",
            flush=True,
        )
        for fault in faults:
            print(f"  {fault}", flush=True)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
