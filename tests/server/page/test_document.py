from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from honed.server.page import document
from honed.server.page.document import page

FOLDER = Path(document.__file__).parent


def test_the_page_is_one_small_document_that_asks_nobody() -> None:
    html = page().html.decode()
    assert len(page().html) < 200_000
    assert "/*STYLE*/" not in html and "/*SCRIPT*/" not in html
    # Names of the SVG standard and of examples in texts are no addresses that are asked.
    addresses = set(re.findall(r"https?://[\w./-]+", html)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
    assert not re.search(r"<(script|link|img|iframe)[^>]*\s(src|href)=[\"'](?!data:)", html)


def test_every_script_of_the_folder_is_in_it_once() -> None:
    assert {path.stem for path in FOLDER.glob("*.js")} == set(document.SCRIPTS)
    html = page().html.decode()
    for name in document.SCRIPTS:
        assert html.count((FOLDER / f"{name}.js").read_text()) == 1


def test_the_policy_lets_its_own_script_and_style_run_and_nothing_else() -> None:
    html = page().html.decode()
    for kind in ("script", "style"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page().policy
    assert "default-src 'none'" in page().policy and "unsafe" not in page().policy


def test_no_script_makes_markup_of_text() -> None:
    for path in FOLDER.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), path
