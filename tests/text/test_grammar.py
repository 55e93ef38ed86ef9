from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byte_tokenizers import byte_tokenizer, token_id
from grammar_texts import accepts, allowed, grammar, tokenizer
from honed.errors import ParameterError
from honed.text.grammar import CACHED_GRAMMARS, GrammarCompiler, GrammarKind
from honed.text.grammar_matcher import CompiledGrammar
from honed.text.reasoning import ReasoningTags

bounded = settings(deadline=None, max_examples=60, derandomize=True)


def sampled(compiled: CompiledGrammar, seed: int, limit: int = 3000) -> str:
    """A text drawn token by token from what is allowed, so that it ends by itself."""
    matcher = compiled.matcher()
    draw = random.Random(seed)
    tokens: list[int] = []
    for _ in range(limit):
        (row,) = matcher.masks(())
        token = draw.choice(allowed(row))
        if token in tokenizer().end_tokens:
            matcher.accept(token)
            assert matcher.ended
            return tokenizer().decode(tokens, skip_special=False)
        tokens.append(token)
        matcher.accept(token)
    raise AssertionError("the text does not end")


leaf_schemas: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"type": "string", "maxLength": 5, "title": "T", "default": "x"}),
    st.builds(
        lambda low, over: {"type": "integer", "minimum": low, "maximum": low + over},
        st.integers(-50, 50),
        st.integers(0, 99),
    ),
    st.lists(st.sampled_from(["a", 'b"', "é", 3, None, True]), min_size=1, max_size=3, unique_by=repr).map(
        lambda values: {"enum": values}
    ),
)
schemas = st.recursive(
    leaf_schemas,
    lambda inner: st.one_of(
        st.builds(lambda items, most: {"type": "array", "items": items, "maxItems": most}, inner, st.integers(0, 3)),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        st.builds(
            lambda properties, extra: {
                "type": "object",
                "properties": properties,
                "required": list(properties)[:1],
                "additionalProperties": False,
                **extra,
            },
            st.dictionaries(st.sampled_from(["name", "a", "b c", 'q"', "é"]), inner, max_size=3),
            st.sampled_from([{}, {"description": "d"}, {"$comment": "c", "examples": [1]}]),
        ),
    ),
    max_leaves=6,
)


@st.composite
def schema_and_value(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    schema = draw(schemas)
    return schema, draw(value_of(schema))


def value_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([value_of(option) for option in schema["anyOf"]])
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "string":
            return st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=5)
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "array":
            return st.lists(value_of(schema["items"]), max_size=schema["maxItems"])
    properties = {name: value_of(inner) for name, inner in schema["properties"].items()}
    first = {name: properties[name] for name in schema["required"]}
    # A dictionary keeps the order in which its keys were drawn; the grammar wants that of the schema.
    return st.fixed_dictionaries(first, optional={n: v for n, v in properties.items() if n not in first}).map(
        lambda value: {name: value[name] for name in properties if name in value}
    )


@bounded
@given(schema_and_value())
def test_every_valid_document_can_be_written(drawn: tuple[dict[str, Any], Any]) -> None:
    schema, value = drawn
    assert accepts(grammar("json_schema", schema), json.dumps(value, ensure_ascii=False))


@bounded
@given(schemas, st.integers(0, 2**32))
def test_whatever_is_written_is_valid(schema: dict[str, Any], seed: int) -> None:
    validators = pytest.importorskip("jsonschema_rs")
    value = json.loads(sampled(grammar("json_schema", schema), seed))
    assert validators.is_valid(schema, value)


@pytest.mark.parametrize("seed", range(5))
def test_a_json_object_is_one(seed: int) -> None:
    matcher = grammar("json_object").matcher()
    text = '{"a": {"b": [1, 2.5, "x", null]}, "c": true}'
    tokens = tokenizer().encode(text, add_special=False)
    draw = random.Random(seed)
    for token in tokens[: draw.randrange(len(tokens))]:
        matcher.accept(token)
    assert accepts(grammar("json_object"), text)
    assert not accepts(grammar("json_object"), "[1]")
    assert not accepts(grammar("json_object"), '{"a":  1}'), "white space is bounded"


def test_the_kinds() -> None:
    assert accepts(grammar("regex", r"^[a-c]{2}\d$"), "ab7")
    assert not accepts(grammar("regex", r"[a-c]{2}\d"), "ab77")
    assert accepts(grammar("lark", 'start: "a"+ B\nB: /[0-9]/'), "aa3")
    texts = ["yes", 'no "or"\n', "\x7f\x01é😀", "yes, but"]
    for text in texts:
        assert accepts(grammar("choice", texts), text)
    assert not accepts(grammar("choice", texts), "ye")


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_reasoning_comes_before_the_grammar(control: bool, opened: bool) -> None:
    using = byte_tokenizer(control=["<think>", "</think>"] if control else [])
    tokens = {tag: token_id(using, tag) for tag in ("<think>", "</think>")} if control else {}
    compiled = GrammarCompiler(using, using.size).compile(
        "json_schema", json.dumps({"enum": [1]}), tags=ReasoningTags("<think>", "</think>", tokens, opened)
    )
    begin = "" if opened else "<think>"
    assert accepts(compiled, f'{begin}so {{"a"}}</think>1', using)
    assert accepts(compiled, f"{begin}so\n</think>\n\n1", using)
    assert not accepts(compiled, f"{begin}so</think>2", using)
    assert not accepts(compiled, f"{begin}so", using)
    assert accepts(compiled, "1", using) is not opened


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a/b": {"not": {}}}}, "/properties/a~1b/not"),
        ({"type": "array", "items": {"uniqueItems": True}}, "/items/uniqueItems"),
        ({"anyOf": [{}, {"if": {}}]}, "/anyOf/1/if"),
        ({"$defs": {"x": {"format": "iri"}}}, "/$defs/x/format"),
        ({"properties": [1]}, "/properties"),
        ({"anyOf": {"a": 1}}, "/anyOf"),
        ({"items": 5}, "/items"),
        ({"multipleOf": 0}, "/multipleOf"),
        ({"multipleOf": "x"}, "/multipleOf"),
        ({"allOf": [{"multipleOf": 997}, {"multipleOf": 991}]}, "/allOf/1/multipleOf"),
        ({"x-guidance": {"lenient": True}}, "/x-guidance"),
        ({"items": {"properties": {str(i): {} for i in range(401)}}}, "/items/properties"),
        ({"properties": {str(i): {} for i in range(5001)}, "required": [*map(str, range(5001))]}, "/properties"),
    ],
)
def test_what_is_not_supported_is_named_with_its_place(schema: dict[str, Any], place: str) -> None:
    with pytest.raises(ParameterError, match="response_format: ") as error:
        grammar("json_schema", schema)
    assert f"response_format: {place} = " in str(error.value)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("json_schema", "{"),
        ("json_schema", "5"),
        ("json_schema", "NaN"),
        ("json_schema", "false"),
        ("json_schema", {"type": 5}),
        ("json_schema", {"type": "foo"}),
        ("json_schema", {"type": "string", "minLength": "a"}),
        ("json_schema", {"type": "integer", "minimum": 5, "maximum": 3}),
        ("json_schema", {"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 4}]}),
        ("json_schema", {"$ref": "http://127.0.0.1:9/x"}),
        ("json_schema", {"$ref": "file:///etc/passwd"}),
        ("json_schema", {"$ref": "#/nowhere"}),
        ("json_schema", {"$ref": "#"}),
        ("regex", "a(?=b)"),
        ("regex", r"(a)\1"),
        ("regex", "("),
        ("lark", "start: nothing"),
        ("lark", "no grammar"),
        ("lark", "start: x\nx[max_tokens=3]: /a*/"),
        ("lark", 'start: x "z"\nx[stop="b"]: /a*/'),
        ("choice", "[]"),
        ("choice", '["a", 1]'),
        ("choice", "a"),
    ],
)
def test_what_does_not_compile_is_refused(kind: GrammarKind, source: Any) -> None:
    with pytest.raises(ParameterError) as error:
        grammar(kind, source)
    message = str(error.value)
    assert error.value.parameter.startswith("response_format")
    assert "\n" not in message
    assert len(message) < 500


@settings(bounded, max_examples=500)
@given(
    st.sampled_from(["json_schema", "regex", "lark", "choice"]),
    st.one_of(
        st.text(max_size=20),
        st.text('ab()[]{}|*+?\\^$.,0123:"-=<>~&\n ', max_size=20).map(lambda text: f"start: {text}"),
        st.text('ab()[]{}|*+?\\^$.,0123:"-=<>~&\n ', max_size=20),
        st.text(st.characters(), max_size=4).map(lambda text: json.dumps([text])),
        st.text(st.characters(), max_size=4).map(lambda text: json.dumps({"enum": [text], "pattern": text})),
        st.just('{"type": "string", "pattern": "\ud800", "const": "\\ud800"}'),
    ),
)
def test_any_source_compiles_or_is_refused(kind: GrammarKind, source: str) -> None:
    try:
        matcher = grammar(kind, source).matcher()
    except ParameterError:
        return
    assert len(matcher.masks(matcher.forced())) >= 1


def test_annotations_and_unknown_formats_do_not_count() -> None:
    schema = {"type": "string", "format": "password", "title": 5, "deprecated": True, "uniqueItems": False, "x-own": {}}
    assert accepts(grammar("json_schema", schema), '"abc"')
    assert not accepts(grammar("json_schema", {"type": "string", "format": "date"}), '"abc"')
    assert accepts(grammar("json_schema", {"type": "string", "format": "date"}), '"2024-02-29"')


def test_a_compiled_grammar_is_kept_and_the_store_is_bounded() -> None:
    own = GrammarCompiler(tokenizer(), tokenizer().size)
    first = own.compile("regex", "a")
    assert own.compile("regex", "a") is first
    for number in range(CACHED_GRAMMARS):
        own.compile("regex", f"b{number}")
    assert own.compile("regex", "a") is not first


def test_threads_share_a_compiler() -> None:
    own = GrammarCompiler(tokenizer(), tokenizer().size)
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(20):
                compiled = own.compile("json_schema", json.dumps({"enum": [number, seed % 2]}))
                assert accepts(compiled, str(number))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


BOMBS = """
import json, resource, sys, time
sys.path.insert(0, {tests!r})
from byte_tokenizers import byte_tokenizer, token_id
from honed.errors import ParameterError
from honed.text.grammar import GrammarCompiler
tokenizer = byte_tokenizer()
compiler = GrammarCompiler(tokenizer, tokenizer.size)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
doubled = {{f"d{{i}}": {{"allOf": [{{"$ref": f"#/$defs/d{{i + 1}}"}}] * 2}} for i in range(40)}}
doubled["d40"] = {{"type": "object", "properties": {{"a": {{"type": "string"}}}}}}
many = {{f"property_{{i}}": {{"type": "string", "maxLength": 20 + i}} for i in range(390)}}
listed = {{"enum": ["a", "b"]}}
for _ in range(3):
    listed = {{"type": "array", "maxItems": 10000, "items": listed}}
bombs = [
    ("json_schema", '{{"properties":{{"a":' * 20000 + "{{}}" + "}}}}" * 20000),
    ("json_schema", '{{"items":' * 49 + "{{}}" + "}}" * 49),
    ("json_schema", '{{"$defs":{{"a":{{"$ref":"#/$defs/b"}},"b":{{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"}}'),
    ("json_schema", '{{"properties":{{"c":{{"$ref":"#"}}}},"required":["c"]}}'),
    ("json_schema", json.dumps({{"$defs": doubled, "$ref": "#/$defs/d0"}})),
    ("json_schema", json.dumps({{"allOf": [
        {{"anyOf": [{{"properties": {{f"a{{i}}_{{j}}": {{}}}}}} for j in range(8)]}} for i in range(7)]}})),
    ("json_schema", json.dumps({{"properties": {{f"o{{i}}": {{"properties": many}} for i in range(12)}}}})),
    ("json_schema", json.dumps({{"properties": {{f"property_{{i}}": {{}} for i in range(20000)}}}})),
    ("json_schema", json.dumps({{"type": "object", "properties": many}})[:-1] + " " * 600000 + "}}"),
    ("json_schema", json.dumps(listed)),
    ("json_schema", json.dumps({{"enum": [f"value {{i}}" for i in range(25000)]}})),
    ("json_schema", '{{"type":"string","pattern":"(a+)+$"}}'),
    ("json_schema", '{{"type":"string","pattern":"a{{1,1000000000}}"}}'),
    ("json_schema", '{{"type":"string","pattern":"^(.{{1,1000}}b){{1,1000}}c.{{900}}d$"}}'),
    ("json_schema", '{{"type":"string","pattern":"^(a|b)*a(a|b){{40}}$"}}'),
    ("json_schema", '{{"type":"string","minLength":1000000000}}'),
    ("json_schema", '{{"type":"array","minItems":1000000000}}'),
    ("json_schema", '{{"type":"object","minProperties":1000000000}}'),
    ("json_schema", '{{"type":"integer","multipleOf":999983}}'),
    ("json_schema", '{{"type":"integer","multipleOf":86400}}'),
    ("json_schema", '{{"type":"number","multipleOf":1e-300}}'),
    ("json_schema", '{{"type":"integer","maximum":' + "9" * 4000 + "}}"),
    ("regex", "(a+)+$"), ("regex", "a{{1,1000000000}}"), ("regex", "((a{{1,1000}}){{1,1000}}){{1,1000}}"),
    ("regex", "(" * 16000 + ")" * 16000),
    ("lark", "start: a\\na: a a | b\\nb: a | \\"x\\""),
    ("lark", "start: (\\"a\\"{{1,100000}}){{1,100000}}"),
    ("lark", "start: a0\\n" + "\\n".join(f"a{{i}}: a{{i + 1}} a{{i + 1}}" for i in range(40)) + "\\na40: \\"x\\""),
    ("lark", "start: A0\\n" + "\\n".join(f"A{{i}}: A{{i + 1}} A{{i + 1}}" for i in range(40)) + "\\nA40: \\"x\\""),
    ("lark", "start: " + "(" * 100000 + ")" * 100000),
    ("choice", json.dumps([f"value {{i}}" for i in range(4096)])),
    ("choice", json.dumps(["a" * i for i in range(1, 800)])),
]
before = peak()
for kind, source in bombs:
    start = time.process_time()
    try:
        matcher = compiler.compile(kind, source).matcher()
        for _ in range(20):
            if not (forced := matcher.forced()):
                break
            matcher.masks(forced[:4])
            matcher.accept(forced[0])
    except ParameterError:
        pass
    used = time.process_time() - start
    assert used < 2, (kind, source[:80], used)
    assert peak() - before < 200, (kind, source[:80], peak() - before)
print("held")
"""


def test_bombs_are_refused_or_compiled_in_bounded_time_and_memory() -> None:
    program = BOMBS.format(tests=str(Path(__file__).parent.parent))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "held\n"


MANY = """
import json, sys
sys.path.insert(0, {tests!r})
from byte_tokenizers import byte_tokenizer, token_id
from honed.text.grammar import GrammarCompiler
tokenizer = byte_tokenizer()
compiler = GrammarCompiler(tokenizer, tokenizer.size)
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20
def compiled(numbers):
    for number in numbers:
        properties = {{f"p{{number}}_{{i}}": {{"type": "string"}} for i in range(5)}}
        matcher = compiler.compile("json_schema", json.dumps({{"type": "object", "properties": properties}})).matcher()
        matcher.masks(())
compiled(range(1000))
before = resident()
compiled(range(1000, 10000))
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_schemas_leave_memory_bounded() -> None:
    program = MANY.format(tests=str(Path(__file__).parent.parent))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 20


def test_without_the_library_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["llguidance"] = None
from honed.errors import HonedError
try:
    import honed.text.grammar
except HonedError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "honed[grammar]" in done.stdout
