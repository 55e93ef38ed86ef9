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
QWEN2 = Splitting((_CONTRACTIONS + r"\p{N}" + _TAIL,), nfc=True)
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
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "jais", "mpt"), GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), SINGLE_DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3"), LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), QWEN2),
}
