"""A tiny model with a chat template, for the verbs that talk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

TEMPLATE = (
    """{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}this{% endif %}"""
)


@pytest.fixture(scope="session")
def chatty_llama(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny_llama with a template of one word a role, one a word, and one at the end."""
    directory = tmp_path_factory.mktemp("chatty") / "llama"
    shutil.copytree(tiny_llama, directory)
    (directory / "chat_template.jinja").write_text(TEMPLATE)
    return directory
