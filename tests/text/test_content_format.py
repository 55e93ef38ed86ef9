from __future__ import annotations

from typing import Any

import pytest

from honed.text.content_format import ContentFormat, arranged, content_format
from honed.text.template_worker import make_environment

TEXT = ContentFormat(parts=False, text=True)
PARTS = ContentFormat(parts=True, text=False)
BOTH = ContentFormat(parts=True, text=True)
LOOP = "{% for m in messages %}"
TEMPLATES = {
    LOOP + "{{ m.content }}{% endfor %}": TEXT,
    LOOP + "{{ m['content'] | trim }}{% endfor %}": TEXT,
    LOOP + "{% for line in m.content.split('\\n') %}{{ line }}{% endfor %}{% endfor %}": TEXT,
    LOOP + "{% set content = m.content %}{{ content }}{% for t in m.tool_calls %}{% endfor %}{% endfor %}": TEXT,
    LOOP + "{% if m.content[0] == '<' %}{{ m.content }}{% endif %}{% endfor %}": TEXT,
    LOOP + "{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}": PARTS,
    LOOP + "{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endfor %}": PARTS,
    LOOP + "{% for p in m.get('content') %}{{ p['text'] }}{% endfor %}{% endfor %}": PARTS,
    LOOP + "{% for p in m.content | selectattr('type') %}{{ p.text }}{% endfor %}{% endfor %}": PARTS,
    LOOP + "{{ m.content | map(attribute='text') | join }}{% endfor %}": PARTS,
    LOOP + "{{ m.content[0].text }}{% endfor %}": PARTS,
    LOOP + "{% if m['content'][0]['type'] == 'image' %}x{% endif %}{% endfor %}": PARTS,
    LOOP + "{% set c = m.content %}{% for p in c %}{{ p.text }}{% endfor %}{% endfor %}": PARTS,
    "{% macro show(c) %}{% for p in c %}{{ p.text }}{% endfor %}{% endmacro %}"
    + LOOP + "{{ show(m.content) }}{% endfor %}": PARTS,
    "{% macro show(c) %}{% if c is string %}{{ c }}{% else %}{% for p in c %}{{ p.text }}{% endfor %}{% endif %}"
    "{% endmacro %}" + LOOP + "{{ show(c=m.content) }}{% endfor %}": BOTH,
    LOOP + "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}"
    "{% endif %}{% endfor %}": BOTH,
    LOOP + "{% if m.content is iterable and m.content is not mapping %}{% for p in m.content %}{{ p.text }}{% endfor %}"
    "{% endif %}{% endfor %}": BOTH,
    "{% for d in documents %}{{ d.text }}{% endfor %}" + LOOP + "{{ m.content }}{% endfor %}": TEXT,
}  # fmt: skip


@pytest.mark.parametrize("source", TEMPLATES)
def test_read_from_the_template(source: str) -> None:
    found = content_format(make_environment().parse(source))
    assert found == TEMPLATES[source]


def test_contents_take_the_form_of_the_template() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": parts},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": None},
        {"role": "assistant"},
    ]
    assert [message.get("content") for message in arranged(messages, TEXT)] == ["a\nb", "c", None, None]
    wrapped = [{"type": "text", "text": "c"}]
    assert [message.get("content") for message in arranged(messages, PARTS)] == [parts, wrapped, None, None]
    assert arranged(messages, BOTH) == messages
