"""The page as a person uses it, in the system's Chromium without a window. HONED_SCREENSHOTS names a directory that
pictures of it are written to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import honed
from chatty_model import with_template
from honed.server.registry import Model
from running_server import RunningServer

pytestmark = pytest.mark.thorough
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def server(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two tiny models of the same words. HONED_PAGE_MODELS: real ones in their place, as name=model,name=model."""
    directory = with_template(tiny_llama, tmp_path_factory.mktemp("page") / "model")
    named = os.environ.get("HONED_PAGE_MODELS")
    sources = dict(pair.split("=", 1) for pair in named.split(",")) if named else {"one": directory, "two": directory}

    def loader(source: str | Path) -> Callable[[], Model]:
        return lambda: honed.load(source)

    with RunningServer({name: loader(source) for name, source in sources.items()}) as running:
        with running.client() as client:
            client.post("/models/load", json={"model": next(iter(sources))})
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, server: RunningServer) -> Iterator[Any]:
    """The page; what its console says beside logs is a failure."""
    context = browser.new_context(viewport={"width": 1200, "height": 820}, accept_downloads=True)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None)
    opened.goto(server.url)
    opened.wait_for_selector("#model option", state="attached")
    opened.click("text=Sampling and schema")
    opened.fill("[data-set=max_tokens]", "48")
    opened.fill("[data-set=temperature]", "0")
    opened.keyboard.press("Tab")
    opened.click("text=Sampling and schema")
    yield opened
    context.close()
    assert not faults


def picture(page: Any, name: str) -> None:
    directory = os.environ.get("HONED_SCREENSHOTS")
    if directory:
        page.screenshot(path=f"{directory}/{name}.png")


def ask(page: Any, text: str) -> str:
    """Types a message and waits for the whole reply; its text."""
    replies = page.locator(".message.assistant .told").count()
    page.fill("#prompt", text)
    page.keyboard.press("Enter")
    page.locator(".message.assistant .told").nth(replies).wait_for(timeout=60_000)
    return str(page.locator(".message.assistant .body").nth(replies).inner_text())


def test_a_chat_with_edit_and_regenerate(page: Any) -> None:
    first = ask(page, "What is the capital of France?")
    assert first.strip()
    assert "first token" in page.locator(".told").first.inner_text()
    assert "tokens of the context used" in page.inner_text("#used")
    second = ask(page, "And what of to and in?")
    picture(page, "chat")
    assert page.locator(".message").count() == 4
    page.locator(".message.assistant").last.get_by_text("Regenerate").click()
    page.wait_for_function("() => document.querySelectorAll('.message.assistant .told').length == 2")
    assert page.locator(".message.assistant .body").last.inner_text() == second  # greedy
    page.locator(".message.user").first.get_by_text("Edit").click()
    page.fill("[aria-label='Edited message']", "the of")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.message.assistant .told').length == 1")
    assert page.locator(".message").count() == 2


def test_conversations_outlive_the_page_and_travel(page: Any, tmp_path: Path) -> None:
    reply = ask(page, "the of to")
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    page.locator(".list button").first.click()
    assert page.locator(".message.assistant .body").inner_text() == reply
    with page.expect_download() as downloaded:
        page.click("text=Export")
    path = tmp_path / "conversations.json"
    downloaded.value.save_as(path)
    saved = json.loads(path.read_text())
    assert [message["role"] for message in saved[0]["messages"]] == ["user", "assistant"]
    page.locator(".list .delete").first.click()
    assert page.locator(".list li").count() == 0
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".list li")
    path.write_text('{"messages": 5}')
    page.set_input_files("input[type=file]", path)
    page.wait_for_function("() => document.getElementById('notice').textContent.includes('no conversations')")


def test_a_reply_is_stopped_from_the_keyboard(page: Any, server: RunningServer) -> None:
    page.click("text=Sampling and schema")
    page.fill("[data-set=max_tokens]", "100000")
    page.keyboard.press("Tab")
    page.fill("#prompt", "the of and to " * 3)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.getElementById('send').textContent == 'Send'")
    with server.client() as client:
        requests = client.get("/requests").json()["requests"]
    assert requests[0]["state"] in ("aborted", "finished")


def test_what_a_model_writes_is_never_markup(page: Any) -> None:
    hostile = "<img src=x onerror=alert(1)> **b** `<i>` [x](javascript:alert(1)) https://a.example/?q=<b>"
    counts = page.evaluate(
        """(text) => {
            const box = document.createElement('div');
            box.append(...markdown(text));
            const count = (kinds) => box.querySelectorAll(kinds).length;
            const links = [...box.querySelectorAll('a')].map((a) => a.protocol);
            return [count('img, i, script'), links, count('strong, code')];
        }""",
        hostile,
    )
    assert counts == [0, ["https:"], 2]


def test_markdown(page: Any) -> None:
    listed = "- one\n  - two\n- three\n\n3. x\n4. y\n\n> q\n\n"
    text = f"# T\n\npara *a*\nmore\n\n{listed}| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx < 1\n"
    html = page.evaluate(
        "(text) => { const box = document.createElement('p'); box.append(...markdown(text)); return box.innerHTML; }",
        text,
    )
    assert "<h2>T</h2>" in html and "<em>a</em>" in html and "<blockquote><p>q</p></blockquote>" in html
    assert '<ol start="3"><li>x</li><li>y</li></ol>' in html
    assert "<li>three</li>" in html and "<ul><li>two</li></ul>" in html
    assert "<td>1</td><td>2</td>" in html and "x &lt; 1" in html


def test_completion_and_undo(page: Any) -> None:
    page.get_by_role("tab", name="Complete").click()
    page.fill("#raw", "the of")
    page.click("#complete")
    page.wait_for_function("() => document.getElementById('raw').value.length > 6")
    page.wait_for_function("() => document.getElementById('complete').textContent == 'Complete'")
    page.click("text=Undo")
    assert page.input_value("#raw") == "the of"


def test_two_models_side_by_side(page: Any) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.fill("#both", "What is the capital of France?")
    page.click("text=Ask both")
    page.wait_for_function(
        "() => document.querySelectorAll('.two .soft').length == 2 && "
        "[...document.querySelectorAll('.two .soft')].every((p) => p.textContent.includes('first token'))",
        timeout=60_000,
    )
    picture(page, "compare")
    verdict = page.inner_text("form > p[role=status]")
    assert ("are the same" in verdict) == (page.locator("mark").count() == 0)
    if not os.environ.get("HONED_PAGE_MODELS"):
        assert "are the same" in verdict  # two copies of one model


def test_the_dashboard_shows_and_cancels(page: Any, server: RunningServer) -> None:
    ask(page, "the of to")
    page.get_by_role("tab", name="Dashboard").click()
    page.wait_for_selector("#requests tbody tr")
    page.wait_for_timeout(1500)
    picture(page, "dashboard")
    assert page.locator("svg.chart").count() >= 6
    assert page.locator("#requests tbody tr").count() >= 1


def test_keyboard_theme_and_a_narrow_screen(page: Any) -> None:
    page.get_by_role("tab", name="Chat").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Complete").get_attribute("aria-selected") == "true"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.get_by_role("tab", name="Chat").click()
    page.set_viewport_size({"width": 360, "height": 740})
    picture(page, "phone")
    for name in ("Chat", "Complete", "Compare", "Dashboard"):
        page.get_by_role("tab", name=name).click()
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_a_server_with_a_key_asks_for_it(browser: Any, tiny_llama: Path) -> None:
    with RunningServer({"one": lambda: honed.load(tiny_llama)}, api_keys=("secret-key",)) as running:
        page = browser.new_page()
        page.on("dialog", lambda dialog: dialog.accept("secret-key"))
        page.goto(running.url)
        page.wait_for_function("() => document.getElementById('notice').textContent.includes('key')")
        page.click("#key")
        page.wait_for_selector("#model option", state="attached")
        page.close()
