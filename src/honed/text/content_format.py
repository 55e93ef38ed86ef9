"""Whether a chat template takes the content of a message as text or as a list of parts.

Templates of text models put `message.content` into the prompt as it is; those of models that also see or hear go
through its parts. Nothing in a checkpoint says which, so that it is read from the template, as serving systems do.
Works on Jinja's syntax tree, in the process that renders. Not here: rendering (`text/template_worker.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jinja2 import nodes

_OF_PARTS = {"map", "select", "selectattr", "reject", "rejectattr"}
_KINDS_OF_VALUE = {"string", "iterable", "sequence", "mapping"}


class ContentFormat(NamedTuple):
    """parts: the template goes through a list of parts. text: it takes a text (a template may do both)."""

    parts: bool
    text: bool


def content_format(tree: nodes.Template) -> ContentFormat:
    """What the template does with contents, by its syntax alone."""
    names = _names_of_content(tree)
    parts = any(_is_content(loop.iter, names) for loop in tree.find_all(nodes.For))
    parts = parts or any(_is_of_part(item, names) for item in tree.find_all((nodes.Getattr, nodes.Getitem)))
    parts = parts or any(
        step.name in _OF_PARTS and _is_content(step.node, names) for step in tree.find_all(nodes.Filter)
    )
    asks = any(test.name in _KINDS_OF_VALUE and _is_content(test.node, names) for test in tree.find_all(nodes.Test))
    return ContentFormat(parts=parts, text=asks or not parts)


def arranged(messages: list[dict[str, Any]], form: ContentFormat) -> list[dict[str, Any]]:
    """The messages with their contents in a form that the template takes; parts become text by line feeds."""
    found = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and not form.parts:
            content = "\n".join(part["text"] for part in content)
        elif isinstance(content, str) and not form.text:
            content = [{"type": "text", "text": content}]
        found.append({**message, "content": content} if "content" in message else message)
    return found


def _names_of_content(tree: nodes.Template) -> set[str]:
    """Variables and parameters of macros that stand for a content somewhere."""
    macros = {macro.name: [argument.name for argument in macro.args] for macro in tree.find_all(nodes.Macro)}
    names: set[str] = set()
    while True:
        before = len(names)
        for assigned in tree.find_all(nodes.Assign):
            if isinstance(assigned.target, nodes.Name) and _is_content(assigned.node, names):
                names.add(assigned.target.name)
        for call in tree.find_all(nodes.Call):
            parameters = macros.get(call.node.name, []) if isinstance(call.node, nodes.Name) else []
            names |= {name for name, value in zip(parameters, call.args, strict=False) if _is_content(value, names)}
            given = {pair.key: pair.value for pair in call.kwargs}
            names |= {name for name in parameters if name in given and _is_content(given[name], names)}
        if len(names) == before:
            return names


def _is_content(node: nodes.Node | None, names: set[str]) -> bool:
    match node:
        case nodes.Getattr(attr="content") | nodes.Getitem(arg=nodes.Const(value="content")):
            return True
        case nodes.Name():
            return node.name in names
        case nodes.Filter():
            return _is_content(node.node, names)
        case nodes.CondExpr():
            return _is_content(node.expr1, names) or _is_content(node.expr2, names)
        case nodes.Or() | nodes.And():
            return _is_content(node.left, names) or _is_content(node.right, names)
        case nodes.Call(node=nodes.Getattr(attr="get")):
            first = node.args[0] if node.args else None
            return isinstance(first, nodes.Const) and first.value == "content"
    return False


def _is_of_part(node: nodes.Node, names: set[str]) -> bool:
    """content[0].text or content[0]['type']."""
    match node:
        case nodes.Getattr(attr="text" | "type") | nodes.Getitem(arg=nodes.Const(value="text" | "type")):
            part = node.node
            return isinstance(part, nodes.Getitem) and _is_content(part.node, names)
    return False
