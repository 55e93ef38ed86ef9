"""Names of other systems, and what their adapters may import where they are measured."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers import GROUPS, PEERS, find_peer, peer_names
from honed.errors import ParameterError


def test_lists_repetition_and_groups() -> None:
    assert peer_names(["pytorch, llama.cpp", "llama.cpp-q8_0", "", "pytorch"]) == [
        "pytorch",
        "llama.cpp-q4_0",
        "llama.cpp-q8_0",
    ]


def test_unknown_system_is_told_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"against = 'tensorflow': must be one of: .*llama\.cpp, .*pytorch"):
        peer_names(["pytorch,tensorflow"])


@pytest.mark.parametrize("name", PEERS)
def test_every_name_leads_to_an_adapter_of_that_name(name: str) -> None:
    assert find_peer(name).name == name


def test_groups_name_systems() -> None:
    assert {name for names in GROUPS.values() for name in names} <= PEERS.keys()


LIGHT = """
import sys
def imported(arguments, spawned):
    import importlib
    for name in arguments["modules"]:
        importlib.import_module(name)
    return sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))
"""


def test_measured_side_needs_the_standard_library_alone(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment where nothing is installed, as in that of a peer as far as honed is concerned."""
    directory = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory / "v")], check=True)
    (directory / "light_functions.py").write_text(LIGHT)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    homes = sorted({home.partition(":")[0] for home, _ in PEERS.values()})
    tools = [tool for tool in (f"{home}_tool" for home in homes) if importlib.util.find_spec(tool)]
    modules = ["honed.bench.measure", *homes, *tools]
    found = call_isolated(
        "light_functions:imported", {"modules": modules}, interpreter=str(directory / "v" / "bin" / "python")
    )
    assert [name for name in found if not name.startswith("_")] == ["honed", "light_functions"]
