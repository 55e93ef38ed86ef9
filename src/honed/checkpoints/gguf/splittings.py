"""The patterns by which byte-level BPE vocabularies split text, as the tokenizers of their models have them.

llama.cpp rewrites some of them for its own engine; here they stand as they were published, in the syntax of the
library's engine. Not here: which name of a GGUF file means which of them (`pretokenizers.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Regex, normalizers, pre_tokenizers


@dataclass(frozen=True)
class Splitting:
    """Patterns that are applied one after the other: each cuts every piece so far into its matches and what is between.

    `whole_words`: a piece that is a token as it stands is not built from merges. `nfc`: text is normalized first.
    `begins`: a prompt starts with the begin token where the file does not say.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    nfc: bool = False
    begins: bool = False

    def pre_tokenizer(self) -> pre_tokenizers.PreTokenizer:
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in self.patterns]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([*splits, byte_level])

    def normalizer(self) -> normalizers.Normalizer | None:
        return normalizers.NFC() if self.nfc else None


# ---- parts that several have

_BLANKS = r"|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_LINES = r"|\s*[\r\n]+" + _BLANKS
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + _LINES
_CASED_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _LINES
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORDS = rf"{_CONTRACTIONS}|{_BEFORE}\p{{L}}+|"
_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_THREE_DIGITS = r"\p{N}{1,3}"


def _cased(upper: str, lower: str, ending: str) -> str:
    """Words that are cut where the case changes."""
    return rf"{_BEFORE}{upper}*{lower}+{ending}|{_BEFORE}{upper}+{lower}*{ending}|"


# ---- GPT-2 and its kin

GPT2 = Splitting((_GPT2_WORDS + r"|\s+",))
SINGLE_DIGITS = Splitting((r"\p{N}", *GPT2.patterns))
UNNAMED = Splitting((r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", r"[0-9][0-9][0-9]"))
"""What llama.cpp does for files that do not name their splitting."""
FALCON = Splitting((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2_WORDS, r"[0-9][0-9][0-9]"))
CHAMELEON = Splitting(
    (
        r"<sentinel:[0-9]+>",
        r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        *GPT2.patterns,
    ),
    begins=True,
)
BLOOM = Splitting((r" ?[^(\s|.,!?…。，、।۔،)]+",))
VIKING = Splitting((*BLOOM.patterns, r"\p{N}"))
SUPERBPE = Splitting((r"\p{N}+", r"(?=(\d{3})+(?!\d))"))
"""Numbers are cut in threes from their end; words are not cut at all, so that tokens may hold several."""

# ---- Llama 3 and its kin

LLAMA3 = Splitting((_WORDS + _THREE_DIGITS + _TAIL,), whole_words=True, begins=True)
WORDS_OF_LLAMA3 = Splitting(LLAMA3.patterns)
QWEN2 = Splitting((_WORDS + r"\p{N}" + _TAIL,), nfc=True)
WORDS_OF_QWEN2 = Splitting(QWEN2.patterns)
QWEN35 = Splitting(
    (rf"{_CONTRACTIONS}|{_BEFORE}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*" + _LINES,), nfc=True
)
"""As that of Qwen 2, marks belonging to words."""
UFAKZEKA = Splitting((rf"{_BEFORE}\p{{L}}+|\p{{N}}" + _TAIL,))
"""As that of Qwen 2, what follows an apostrophe staying with it."""
SEED_CODER = Splitting((_WORDS + r"\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + _LINES,))
BAILING = Splitting(
    (rf"'(?i:[sdmt]|ll|ve|re)|{_BEFORE}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]" + _BLANKS,)
)
"""Its quantifiers are possessive; what they take is disjoint from what follows, so that greedy ones match the same."""
EXAONE_MOE = Splitting(
    (
        rf"{_CONTRACTIONS}|{_BEFORE}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?"
        r"|\s*[\r\n]" + _BLANKS,
    )
)
MINICPM5 = Splitting((_THREE_DIGITS, _WORDS + r"\p{N}+" + _TAIL), whole_words=True)
LAGUNA = Splitting((r"[^\n]+|[\n]+", *QWEN2.patterns))
JAIS2 = Splitting(
    (
        _WORDS + _THREE_DIGITS + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        + "".join(rf"|\s{{{count}}}(?!\S)" for count in (512, 256, 128, 64, 32, 16, 8, 4))
        + r"|\s{1,2}(?!\S)|\s{1}",
    )
)  # fmt: skip

# ---- o200k and its kin: case

TEKKEN = Splitting((_cased(_UPPER, _LOWER, "") + r"\p{N}" + _CASED_TAIL,), whole_words=True, begins=True)
"""Of Mistral's Tekken: digits stand alone."""
GPT4O = Splitting((_cased(_UPPER, _LOWER, _CONTRACTIONS + "?") + _THREE_DIGITS + _CASED_TAIL,))
"""Of o200k, whose contractions stay with their words."""
WHOLE_GPT4O = Splitting(GPT4O.patterns, whole_words=True)
TINY_AYA = Splitting((r"\d{1,3}(?=(?:\d{3})*\b)", *GPT4O.patterns))
KIMI_K2 = Splitting(
    (
        r"[\p{Han}]+|"
        + _cased(_UPPER[:-1] + r"&&[^\p{Han}]]", _LOWER[:-1] + r"&&[^\p{Han}]]", _CONTRACTIONS + "?")
        + _THREE_DIGITS
        + _TAIL,
    )
)
YOUTU = Splitting(
    (
        "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f"
        "\ufe30-\ufe4f]+|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        _cased(_UPPER, _LOWER, _CONTRACTIONS + "?") + r"\p{N}" + _CASED_TAIL,
    ),
    whole_words=True,
)

# ---- DeepSeek

_SIGNS_AND_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"
)
_CJK = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_OLD_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943"
)
"""Letters that have a case, as Unicode knew them."""
DEEPSEEK_LLM = Splitting(
    (
        r"[\r\n]",
        rf"\s?[{_LETTERS}]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+$",
        _OLD_CJK,
        r"\p{N}+",
    )
)
DEEPSEEK_CODER = Splitting((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _OLD_CJK, r"\p{N}"))
DEEPSEEK3 = Splitting((_THREE_DIGITS, _CJK, _SIGNS_AND_WORDS + r"[\r\n]*" + _LINES))
SPARK25 = Splitting((_THREE_DIGITS, _CJK, _SIGNS_AND_WORDS + r"|[\r\n]" + _BLANKS, r"\p{N}"))
