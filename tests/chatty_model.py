"""A tiny model that can chat: a directory with a template of words that its tokenizer knows."""

from __future__ import annotations

import shutil
from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}this{% endif %}"
)


def with_template(model: Path, target: Path) -> Path:
    """A copy of a model's directory at `target`, with the template: a token a role, and one at the end."""
    shutil.copytree(model, target)
    (target / "chat_template.jinja").write_text(TEMPLATE)
    return target
