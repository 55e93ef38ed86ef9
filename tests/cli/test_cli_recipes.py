"""`honed recipes` as it is called."""

from __future__ import annotations

import json
import subprocess
import sys

from honed.compress.builtin_recipes import DESCRIPTIONS, RECIPES


def honed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.main", "recipes", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_line_each_and_one_document() -> None:
    done = honed()
    assert done.returncode == 0, done.stderr
    for name, text in DESCRIPTIONS.items():
        assert any(line.startswith(name) and text in line for line in done.stdout.splitlines())
    listed = json.loads(honed("--json").stdout)["recipes"]
    assert [recipe["name"] for recipe in listed] == list(RECIPES)


def test_one_whole_and_a_wrong_name() -> None:
    assert "\n- pass: smooth\n" in honed("int8").stdout
    assert json.loads(honed("int8", "--json").stdout)["passes"][0]["pass"] == "smooth"
    wrong = honed("itn8")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'int8'" in wrong.stderr
