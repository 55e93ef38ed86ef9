"""Renders chat templates behind a fence. A job of `text/fence_worker.py`; not for import.

A template comes with a model from anywhere and is a program. Jinja's sandbox keeps it from the interpreter's insides,
but cannot bound time or memory: nested loops, `x ~ x` in a loop or a recursive macro need no forbidden call. So it
runs here, where the parent can kill it and the kernel refuses it memory.

The environment is the one that Hugging Face documents for chat templates ("Writing a chat template"): blocks trimmed,
loop controls, `raise_exception`, `strftime_now`, `tojson` without HTML escapes, and the `generation` block, which
marks the assistant's part for training and renders as its contents.

Request {"template", "variables", "characters"}; reply {"text"} or {"error"}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from honed.text.content_format import arranged, content_format


def make_environment() -> Any:
    """The sandboxed environment."""
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class GenerationBlock(Extension):
        tags = {"generation"}  # noqa: RUF012 - the attribute that Jinja reads

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class PublicNamespace(Namespace):
        """Keeps templates from planting dunder attributes where the interpreter would look for them."""

        def __init__(*args: Any, **kwargs: Any) -> None:
            self, *rest = args
            initial = dict(*rest, **kwargs)
            Namespace.__init__(self)
            for name, value in initial.items():
                self[name] = value

        def __setitem__(self, name: str, value: Any) -> None:
            if str(name).startswith("_"):
                raise SecurityError(f"a namespace attribute must not begin with an underscore: {name!r}")
            super().__setitem__(name, value)

    def raise_exception(message: object) -> None:
        raise TemplateError(str(message))

    def tojson(
        value: Any,
        ensure_ascii: bool = False,  # noqa: FBT001, FBT002, RUF100 - the signature that templates call
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,  # noqa: FBT001, FBT002, RUF100
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
        # In place of the type, which has attributes that lead to the class hierarchy.
        return dict(*args, **kwargs)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "namespace": PublicNamespace,
        "dict": make_dict,
    }
    return environment


def render(environment: Any, template: str, variables: dict[str, Any], characters: int) -> dict[str, str]:
    """{"text": ...} or {"error": one line that names what went wrong}."""
    from jinja2.exceptions import TemplateError, TemplateSyntaxError

    try:
        pieces: list[str] = []
        written = 0
        tree = environment.parse(template)
        variables["messages"] = arranged(variables.get("messages", []), content_format(tree))
        for piece in environment.from_string(tree).generate(**variables):
            written += len(piece)
            if written > characters:
                return {"error": f"it wrote more than {characters} characters"}
            pieces.append(piece)
        return {"text": "".join(pieces)}
    except TemplateSyntaxError as error:
        return {"error": f"line {error.lineno}: {error.message}"[:500]}
    except TemplateError as error:
        return {"error": str(error)[:500]}
    except MemoryError:
        return {"error": "it needs more memory than it may have"}
    except RecursionError:
        return {"error": "it calls itself too deeply"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def prepare() -> Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]:
    """What answers the requests."""
    environment = make_environment()

    def answer(request: dict[str, Any], _: bytes) -> tuple[dict[str, Any], bytes]:
        return render(environment, request["template"], request["variables"], request["characters"]), b""

    return answer
