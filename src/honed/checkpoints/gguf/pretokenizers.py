"""How byte-level BPE vocabularies of GGUF files split text before merging, by the name in tokenizer.ggml.pre.

Names are llama.cpp's; the patterns are those of the tokenizers that the names stand for. A name that is not listed is
refused: a near miss would give other tokens without any sign of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Regex, normalizers, pre_tokenizers

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


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


GPT2 = Splitting((_GPT2,))
SINGLE_DIGITS = Splitting((r"\p{N}", _GPT2))
LLAMA3 = Splitting((_CONTRACTIONS + r"\p{N}{1,3}" + _TAIL,), whole_words=True, begins=True)
WORDS_OF_LLAMA3 = Splitting(LLAMA3.patterns)
QWEN2 = Splitting((_CONTRACTIONS + r"\p{N}" + _TAIL,), nfc=True)
WORDS_OF_QWEN2 = Splitting(QWEN2.patterns)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_CASED_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = Splitting(
    (rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}" + _CASED_TAIL,), whole_words=True, begins=True
)
"""Of Mistral's Tekken: words are cut where the case changes, digits stand alone."""
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = Splitting(
    (rf"{_BEFORE}{_UPPER}*{_LOWER}+{_ENDING}|{_BEFORE}{_UPPER}+{_LOWER}*{_ENDING}|\p{{N}}{{1,3}}" + _CASED_TAIL,)
)
"""Of o200k, whose contractions stay with their words."""
UNNAMED = Splitting(
    (
        r"[\p{P}\$\+<=>\^~\|]+",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
        r"\p{N}+",
        r"[0-9][0-9][0-9]",
    )
)
"""What llama.cpp does for files that do not name their splitting."""

SPLITTINGS: dict[str, Splitting] = {
    "default": UNNAMED,
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "jais", "mpt", "gigachat", "mellum", "exaone4", "trillion"), GPT2),
    **dict.fromkeys(("a.x-4.0", "modern-bert", "granite-docling"), GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), SINGLE_DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"), LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), WORDS_OF_LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), QWEN2),
    **dict.fromkeys(("stablelm2", "megrez", "hunyuan"), WORDS_OF_QWEN2),
    "tekken": TEKKEN,
    **dict.fromkeys(("gpt-4o", "llama4"), GPT4O),
}
