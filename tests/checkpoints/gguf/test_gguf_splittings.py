"""Every splitting against the patterns that were published with its models, run by another regex engine."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.gguf.pretokenizers import SPLITTINGS

TEXTS = (
    "Hello, world! It's 12345 o'clock; we'LL see: 3.14159 and 1,000,000.",
    "def f(x):\n\treturn x**2  # squared\n\n\n    if x == 10: pass\r\n",
    "   leading, trailing   \n \n  ",
    "naïve café Ünïcödé 你好世界 こんにちは Привет мир १२३ ٣٤٥ ½ ² Ⅷ",
    "emoji 👩‍👩‍👧 🇩🇪 and\u00a0nbsp\u2003em a\u0301 e\u0308 ก็ नमस्ते",
    "don't you're I'd we've THEY'RE 'Tis rock'n'roll camelCase HTTPServer kW/h",
    '$100 + 200€ = ^~|`<tag>="v"</tag> {}[]()!!!???... #include _private @user',
    "a  1   22    333     4444 1234567 x12345y",
    "我想在apple工作1314151天～ 한국어 ㄱㄴ 注：「引用」，。！ ㄅㄆ",
    "Москва'да Բարեւ αβγ ΑΒΓ Straße ŉ ǅ ﬁ 𝐀𝐁",
    "<sentinel:12> IMGIMGABCZ \t\n" + " " * 37 + "x" + " " * 9 + "\n" + " " * 5,
    "",
)
CONTRACTED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ONE_DIGIT = CONTRACTED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = [
    r"\p{N}{1,3}",
    r"[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
]
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
PUBLISHED: dict[str, list[str]] = {
    "grok-2": [ONE_DIGIT],
    "qwen35": [
        CONTRACTED + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
    "seed-coder": [CONTRACTED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "ufakzeka": [r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    # With the possessive quantifiers that it was published with.
    "bailingmoe": [
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ],
    "exaone-moe": [
        CONTRACTED + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|"
        r"\s+(?!\S)|\s+"
    ],
    "minicpm5": [
        r"\p{N}{1,3}",
        CONTRACTED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ],
    "laguna": [r"[^\n]+|[\n]+", ONE_DIGIT],
    "jais-2": [
        CONTRACTED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|"
        r"\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}"
    ],
    "minimax-m2": [O200K],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", O200K],
    "kimi-k2": [
        r"(?V1)[\p{Han}]+|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
    "youtu": [
        r"[가-힣ㄱ-\u318e]+|[！…“”‘’—：；，、-\u303f︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
        O200K.replace(r"\p{N}{1,3}", r"\p{N}"),
    ],
    "deepseek-v3": DEEPSEEK3,
    "spark2_5": [
        *DEEPSEEK3[:2],
        DEEPSEEK3[2].replace(r"+[\r\n]*|\s*[\r\n]+|", r"+|[\r\n]|"),
        r"\p{N}",
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥\u0800-一가-\ud7ff]+", r"\p{N}"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "chameleon": [
        r"<sentinel:[0-9]+>",
        r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        GPT2,
    ],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
}
SAME = {
    "kormo": "grok-2",
    "solar-open": "grok-2",
    "f2llmv2": "qwen2",
    "bailingmoe2": "bailingmoe",
    "llada-moe": "bailingmoe",
    "kanana2": "gpt-4o",
    "talkie": "gpt-4o",
    "granite-embed-multi-97m": "gpt-4o",
    "cohere2moe": "tiny_aya",
    "hunyuan-dense": "deepseek-v3",
    "joyai-llm": "deepseek-v3",
    "hy_v4": "deepseek-v3",
    "poro-chat": "bloom",
    "gpt3-finnish": "bloom",
    "jina-v2-de": "gpt-2",
    "jina-v5-nano": "llama-bpe",
    "mellum2": "smollm",
}


def split(name: str, text: str) -> list[str]:
    found = SPLITTINGS[name].pre_tokenizer().pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in found]


def by_patterns(patterns: list[str], text: str) -> list[str]:
    pieces = [text]
    for pattern in patterns:
        cut: list[str] = []
        for piece in pieces:
            places = {0, len(piece)} | {at for match in regex.finditer(pattern, piece) for at in match.span()}
            cut += [piece[start:end] for start, end in pairwise(sorted(places))]
        pieces = cut
    return pieces


@pytest.mark.parametrize("name", PUBLISHED)
def test_pieces_are_those_of_the_published_patterns(name: str) -> None:
    for text in TEXTS:
        assert split(name, text) == by_patterns(PUBLISHED[name], text)


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - {"tiny_aya"}))
@settings(deadline=None, max_examples=30, derandomize=True)
@given(text=st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_categories=("Cn", "Co")), max_size=30))
def test_any_text(name: str, text: str) -> None:
    assert split(name, text) == by_patterns(PUBLISHED[name], text)


@pytest.mark.parametrize("name", SAME)
def test_names_of_one_splitting(name: str) -> None:
    assert SPLITTINGS[name].patterns == SPLITTINGS[SAME[name]].patterns


def test_numbers_are_cut_from_their_end() -> None:
    assert split("superbpe", "in 1234567 by the") == ["in ", "1", "234", "567", " by the"]
    assert split("tiny_aya", "in 1234567") == ["in", " ", "1", "234", "567"]
    assert split("kimi-k2", "in 1234567") == ["in", " ", "123", "456", "7"]


def test_scripts_without_spaces() -> None:
    assert split("kimi-k2", "我爱Kimi你好abc") == ["我爱", "Kimi", "你好", "abc"]
    assert split("deepseek-v3", "中文abcひらがな!x") == ["中文", "abc", "ひらがな", "!x"]
    assert split("youtu", "한국ㅋabc，。注") == ["한국ㅋ", "abc", "，。", "注"]


def test_deepseek_llm() -> None:
    """Its letters are those that have a case. Its signs are ranges that hold the letters of ASCII too, so that words
    are cut once more where others stand in them."""
    assert split("deepseek-llm", "Hello 你好World\n 12!?") == ["Hello", " ", "你好", "World", "\n", " ", "12", "!?"]
    assert split("deepseek-llm", "naïve Привет नमस्ते x  ") == ["na", "ï", "ve", " Привет", " ", "नमस्ते", " x", "  "]
    letters = next(pattern for pattern in SPLITTINGS["deepseek-llm"].patterns if "A-Za-z" in pattern)
    one = regex.compile(letters.removeprefix(r"\s?"))
    found = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000 and one.match(chr(point))]
    assert {unicodedata.category(chr(point)) for point in found} == {"Lu", "Ll", "Lt"}
    assert {"K", "ß", "Ա", "Ω", "ǅ", "Ꞌ"} <= {chr(point) for point in found}
    assert not {"ա", "ა", "𝐀", "ª", "ʔ"} & {
        chr(point) for point in found
    }  # which it leaves out, though they have a case


def test_which_vocabularies_take_whole_words_and_begin() -> None:
    assert {name for name, splitting in SPLITTINGS.items() if splitting.begins} == {
        *("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
        *("tekken", "chameleon"),
    }
    whole = {name for name, splitting in SPLITTINGS.items() if splitting.whole_words and not splitting.begins}
    assert whole == {"granite-embed-multi-97m", "youtu", "minicpm5"}
