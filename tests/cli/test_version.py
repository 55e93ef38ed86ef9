from __future__ import annotations

import json
import platform
import subprocess
import sys

import honed
from honed.native import extension


def test_json_says_what_else_decides() -> None:
    command = [sys.executable, "-m", "honed.cli.main", "version", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["honed"] == honed.__version__
    assert found["python"] == platform.python_version()
    assert found["isa"] in extension.isas()


def test_the_plain_line_imports_next_to_nothing() -> None:
    program = (
        "import sys; sys.argv = ['honed', '--version']; from honed.cli.main import main; main();"
        "print(sorted(set(sys.modules) & {'typer', 'numpy', 'tokenizers', 'honed._native'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"honed {honed.__version__}\n[]\n"
