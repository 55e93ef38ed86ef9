"""The page at `/`: one document without anything from elsewhere, put together from the files of this folder.

`index.html` is the frame, `style.css` its looks, and the scripts share one scope, in the order below. The page talks to
the routes that every client has, and to `/stats` and `/requests`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from honed.records import dataclass

SCRIPTS = (
    *("dom", "markdown", "api", "settings", "conversations", "chat", "completion", "compare", "dashboard"),
    "main",
)
"""Each uses those before it only, but when it is called."""


@dataclass(frozen=True)
class Page:
    """The document, and the Content-Security-Policy that lets it run: its own script and style, by their hashes, calls
    of its own server, and nothing else. So a text that a model wrote could do nothing even if it became markup."""

    html: bytes
    policy: str


@cache
def page() -> Page:
    """The whole, made once."""
    folder = files(__package__ or "")
    style = folder.joinpath("style.css").read_text("utf-8")
    script = '"use strict";\n' + "\n".join(folder.joinpath(f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    frame = folder.joinpath("index.html").read_text("utf-8")
    html = frame.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html.encode(), policy)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
