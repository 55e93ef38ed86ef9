"""Parity with transformers, and the bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from honed.errors import ParameterError, TemplateError
from honed.text.chat_template import ChatTemplate
from honed.text.template_process import Limits

CHATML = """{%- for message in messages %}
    {%- if loop.first and message.role != 'system' %}
        {{- '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Headers, a date, a namespace that finds the system message, and continue.
HEADERS = """{{ bos_token }}
{%- if not date_string is defined %}{% set date_string = strftime_now("%Y") %}{% endif %}
{%- set found = namespace(system="") %}
{%- for message in messages %}
  {%- if message.role == "system" %}{% set found.system = message.content %}{% continue %}{% endif %}
{%- endfor %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nYear: " + date_string + "\\n" + found.system + "<|eot_id|>" }}
{% for message in messages if message.role != "system" %}
    {% if message.role not in ["user", "assistant", "tool"] %}
        {{ raise_exception("unknown role " ~ message.role) }}
    {% endif %}
    {% if message.role == "assistant" %}
        {% generation %}{{ message.content }}<|eot_id|>{% endgeneration %}
    {% else %}
<|start_header_id|>{{ message.role }}<|end_header_id|>

{{ message.content | trim }}<|eot_id|>
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""

TOOLS = """{%- macro call(name, arguments) -%}
<call>{{ {"name": name, "arguments": arguments} | tojson }}</call>
{%- endmacro -%}
{%- if tools is not none and tools -%}
[TOOLS]{{ tools | tojson(indent=2) }}[/TOOLS]
{% for tool in tools %}
{%- set names = tool.function.parameters.properties.keys() | sort -%}
{{ tool.function.name }}({% for name in names %}{{ name }}{{ ", " if not loop.last }}{% endfor %})
{% endfor %}
{%- endif -%}
{%- for document in documents or [] -%}
  <doc {{ loop.index0 }}>{{ document.title }}: {{ document.text }}</doc>
{%- endfor -%}
{%- for message in messages -%}
  {%- if message.tool_calls is defined -%}
    {%- for tool_call in message.tool_calls %}
      {{- call(tool_call.function.name, tool_call.function.arguments) }}
    {%- endfor -%}
  {%- elif message.content is string -%}
    [{{ message.role | upper }}]{{ message.content }}
  {%- endif -%}
  {%- if loop.index > 8 %}{% break %}{% endif -%}
{%- endfor -%}
{%- if enable_thinking is defined and enable_thinking %}<think>{% endif -%}
{{ eos_token }}"""

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Says <what> it's like & more: ü 日本",
        "parameters": {"type": "object", "properties": {"unit": {"type": "string"}, "city": {"type": "string"}}},
    },
}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "  Hi there\n"}],
    [{"role": "system", "content": "Short answers."}, {"role": "user", "content": "<b>&'\"</b> 日本 😀"}],
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "{{ messages }}{% raw %}"},
    ],
]


@pytest.fixture(scope="module")
def templates() -> Iterator[dict[str, ChatTemplate]]:
    """One renderer a template for the whole module: starting one takes a moment."""
    made: dict[str, ChatTemplate] = {}
    yield made
    for template in made.values():
        template.close()


def rendered(templates: dict[str, ChatTemplate], source: str, messages: list[dict[str, Any]], **kwargs: Any) -> str:
    template = templates.setdefault("shared", ChatTemplate("", SPECIAL, limits=Limits(seconds=20)))
    template.source = source
    return template.render(messages, **kwargs)


def reference(source: str, messages: list[dict[str, Any]], **kwargs: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    variables: Mapping[str, Any] = kwargs.pop("variables", {})
    texts, _ = render_jinja_template([messages], chat_template=source, **SPECIAL, **variables, **kwargs)
    return str(texts[0])


@pytest.mark.parametrize("source", [CHATML, HEADERS, TOOLS, SMOLLM2], ids=["chatml", "headers", "tools", "smollm2"])
@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_equals_transformers(
    templates: dict[str, ChatTemplate], source: str, messages: list[dict[str, Any]], add_generation_prompt: bool
) -> None:
    found = rendered(templates, source, messages, add_generation_prompt=add_generation_prompt)
    assert found == reference(source, messages, add_generation_prompt=add_generation_prompt)


def test_tools_documents_and_variables_equal_transformers(templates: dict[str, ChatTemplate]) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Łódź"}}}]},
        {"role": "tool", "content": "20 °C"},
    ]
    given: dict[str, Any] = {
        "tools": [TOOL],
        "documents": [{"title": "a", "text": "b"}],
        "add_generation_prompt": True,
        "variables": {"enable_thinking": True},
    }
    found = rendered(templates, TOOLS, messages, **given)
    assert found == reference(TOOLS, messages, **given)
    assert "Łódź" in found
    assert "<what> it's" in found


def test_text_parts_are_joined(templates: dict[str, ChatTemplate]) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert rendered(templates, "{{ messages[0].content }}", [{"role": "user", "content": parts}]) == "a\nb"


PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'text' %}[{{ part.text }}]{% endif %}{% endfor %}{% endif %}</>\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize("content", ["a", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]], ids=len)
def test_a_template_that_takes_parts_gets_parts(templates: dict[str, ChatTemplate], content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    assert rendered(templates, PARTS, messages) == reference(PARTS, messages, add_generation_prompt=True)


def test_a_template_that_takes_nothing_but_parts_gets_them(templates: dict[str, ChatTemplate]) -> None:
    source = "{% for m in messages %}{% for part in m.content %}[{{ part.text }}]{% endfor %}{% endfor %}"
    assert rendered(templates, source, [{"role": "user", "content": "abc"}]) == "[abc]"


BEGUN: list[Any] = ["Sure, ", "x", " a", "two\nlines  ", "", "<b>\n", [{"type": "text", "text": "in parts "}]]


@pytest.mark.parametrize("source", [CHATML, HEADERS, SMOLLM2, PARTS], ids=["chatml", "headers", "smollm2", "parts"])
@pytest.mark.parametrize("content", BEGUN, ids=repr)
def test_a_reply_to_be_continued_equals_transformers(
    templates: dict[str, ChatTemplate], source: str, content: Any
) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}]
    if isinstance(content, list) and source is not PARTS:
        messages[-1]["content"] = content[0]["text"]  # which transformers does not join
    expected = reference(source, messages, continue_final_message=True)
    assert rendered(templates, source, messages, continue_final=True) == expected


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "said"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "said"),
        ("{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}", "<think>a</think>b"),
    ],
)
def test_a_reply_that_the_template_changes_is_not_continued(
    templates: dict[str, ChatTemplate], source: str, content: str
) -> None:
    with pytest.raises(TemplateError, match="changes the last message, which therefore cannot be continued"):
        rendered(templates, source, [{"role": "assistant", "content": content}], continue_final=True)


def test_nothing_to_continue() -> None:
    with ChatTemplate("x") as template, pytest.raises(ParameterError, match="no text to be continued"):
        template.render([{"role": "assistant", "content": None, "tool_calls": []}], continue_final=True)


def test_a_lone_surrogate_passes_through(templates: dict[str, ChatTemplate]) -> None:
    assert rendered(templates, "{{ messages[0].content }}", [{"role": "user", "content": "\ud800"}]) == "\ud800"


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([], "messages"),
        (["hi"], r"messages\[0\]"),
        ([{"content": "x"}], r"messages\[0\].role"),
        ([{"role": "user"}], r"messages\[0\].content"),
        ([{"role": "user", "content": 3}], r"messages\[0\].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], r"messages\[0\].content\[0\]"),
        ([{"role": "user", "content": "x", "at": object()}], "messages"),
    ],
)
def test_malformed_messages_are_named(messages: Any, named: str) -> None:
    with ChatTemplate("x") as template, pytest.raises(ParameterError, match=named):
        template.render(messages)


def test_reserved_variables_are_refused() -> None:
    with ChatTemplate("x") as template, pytest.raises(ParameterError, match="variables"):
        template.render([{"role": "user", "content": ""}], variables={"messages": []})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("line one\n{% if %}", "line 2"),
        ("{{ messages[0].content.missing.more }}", "missing"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ raise_exception.__globals__.keys }}", "unsafe"),
        ("{{ messages.append({}) }}", "not safely callable|unsafe"),
        ("{{ '{0.__class__.__mro__}'.format(1) }}", "unsafe"),
        ("{% set n = namespace() %}{% set n.__class__ = 1 %}", "underscore"),
        ("{% set n = namespace(_x=1) %}", "underscore"),
        ("{% include '/etc/passwd' %}", "loader"),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "deeply"),
        ("{{ 'x' * (1 << 3) }}", "line 1"),
    ],
)
def test_failures_say_what_happened(templates: dict[str, ChatTemplate], source: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        rendered(templates, source, [{"role": "user", "content": "hi"}])
    assert rendered(templates, "ok", [{"role": "user", "content": "hi"}]) == "ok"


ENDLESS = {
    "silent loop": "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% for c in r %}" + "{% endfor %}" * 3,
    "one long call": "{{ 9 ** (9 ** 9) }}",
    "doubling macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_template_is_killed(source: str) -> None:
    with ChatTemplate(source, limits=Limits(seconds=0.5)) as template:
        started = time.monotonic()
        with pytest.raises(TemplateError, match=r"longer than 0\.5 s"):
            template.render([{"role": "user", "content": "hi"}])
        assert time.monotonic() - started < 20  # the start of the process counts apart
        template.source = "{{ messages[0].content }}"
        assert template.render([{"role": "user", "content": "hi"}]) == "hi"


FLOODS = {
    "loop": ("{% for i in range(99999) %}0123456789{% endfor %}", "more than 100000 characters"),
    "string": ("{{ 'x' * 10 ** 10 }}", "memory|died"),
    "width": ("{{ '%9999999999d' % 1 }}", "memory|died|Overflow|MemoryError"),
    "doubling": (
        "{% set n = namespace(x='0123456789') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "memory|died",
    ),
    "laughs": (
        "{% set n = namespace(x=['ha']) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "memory|died|deeply|longer",
    ),
}


@pytest.mark.parametrize(("source", "says"), FLOODS.values(), ids=FLOODS.keys())
def test_a_flooding_template_is_stopped(source: str, says: str) -> None:
    limits = Limits(seconds=3, characters=100_000, memory_bytes=64 << 20)
    with ChatTemplate(source, limits=limits) as template, pytest.raises(TemplateError, match=says):
        template.render([{"role": "user", "content": "hi"}])
