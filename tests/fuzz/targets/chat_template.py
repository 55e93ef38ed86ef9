"""Chat templates: the process that renders them keeps its bounds, so a small wall time is all that an input gets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from fuzzing.byte_mutations import mutate_bytes
from fuzzing.target import Target
from honed.text.chat_template import ChatTemplate
from honed.text.template_process import Limits

_BOUNDS = Limits(seconds=1.0, characters=100_000)
_MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello {{ x }} <|im_end|>"},
    {"role": "assistant", "content": "Hi."},
]
_PIECES = (
    "{% for i in range(10**9) %}{% for j in range(10**9) %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{% set x = namespace(a=1) %}{% set x.a = x %}{{ x }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ messages | tojson(indent=4) }}",
    "{{ raise_exception('\x1b[2Jno\\n') }}",
    "{% include '/etc/passwd' %}",
    "{{ strftime_now('%s' * 1000) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{0:1000000000}'.format(1) }}",
    "{{ messages[0].content | center(10**10) }}",
    "{{ [0] * 10**10 }}",
    "{{ 9 ** 9 ** 9 ** 9 }}",
    "{% generation %}{{ bos_token }}{% endgeneration %}",
    "{%- break %}",
    "{{ tools[0] }}{{ documents.x.y }}",
)


def read(data: bytes, folder: Path) -> None:
    with ChatTemplate(data.decode("utf-8", "replace"), {"bos_token": "<s>"}, limits=_BOUNDS) as template:
        template.render(_MESSAGES)


def seeds() -> Sequence[bytes]:
    chat = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    system = (
        "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}"
        "{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}"
        "{{- bos_token }}{%- for m in rest %}{%- if m.role not in ['user', 'assistant'] %}"
        "{{- raise_exception('roles') }}{%- endif %}{{- m.role | upper ~ loop.index0 }}{%- endfor %}"
    )
    return [chat.encode(), system.encode(), b"{{ messages | tojson }}"]


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Pieces that have broken sandboxes, put where a tag ends."""
    if chance.random() < 0.5:
        return mutate_bytes(data, chance, others)
    piece = chance.choice(_PIECES).encode()
    places = [at + 2 for at in range(len(data)) if data[at : at + 2] in (b"}}", b"%}")] or [0]
    at = chance.choice(places)
    return data[:at] + piece + data[at:]


TARGET = Target("chat_template", read, seeds, mutate, cost=8)
