"""How byte-level BPE vocabularies of GGUF files split text before merging, by the name in tokenizer.ggml.pre.

Names are llama.cpp's; the patterns (`splittings.py`) are those of the tokenizers that the names stand for. A name that
is not listed is refused: a near miss would give other tokens without any sign of it. Missing of llama.cpp's are afmoe
(a range of whose published pattern is read in two ways), those of vocabularies that are not of bytes (gemma4,
sarvam-moe, whitespace), and those that end a text with a separator (jina-v1-en, jina-v2-code, roberta-bpe).
"""

from __future__ import annotations

from honed.checkpoints.gguf import splittings as known
from honed.checkpoints.gguf.splittings import GPT2, Splitting

__all__ = ["GPT2", "SPLITTINGS", "Splitting"]

_GPT2 = (
    *("gpt-2", "phi-2", "olmo", "jais", "mpt", "gigachat", "mellum", "exaone4", "trillion", "a.x-4.0", "modern-bert"),
    *("granite-docling", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de"),
)
_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2")
_LLAMA3 = (*("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),)
_LIKE_QWEN2 = ("stablelm2", "megrez", "hunyuan", "grok-2", "solar-open", "kormo")

SPLITTINGS: dict[str, Splitting] = {
    "default": known.UNNAMED,
    **dict.fromkeys(_GPT2, GPT2),
    **dict.fromkeys(_SINGLE_DIGITS, known.SINGLE_DIGITS),
    **dict.fromkeys(_LLAMA3, known.LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), known.WORDS_OF_LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "f2llmv2"), known.QWEN2),
    **dict.fromkeys(_LIKE_QWEN2, known.WORDS_OF_QWEN2),
    "qwen35": known.QWEN35,
    "tekken": known.TEKKEN,
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), known.GPT4O),
    "granite-embed-multi-97m": known.WHOLE_GPT4O,
    **dict.fromkeys(("tiny_aya", "cohere2moe"), known.TINY_AYA),
    "kimi-k2": known.KIMI_K2,
    "youtu": known.YOUTU,
    "deepseek-llm": known.DEEPSEEK_LLM,
    "deepseek-coder": known.DEEPSEEK_CODER,
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), known.DEEPSEEK3),
    "spark2_5": known.SPARK25,
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), known.BLOOM),
    "viking": known.VIKING,
    "falcon": known.FALCON,
    "chameleon": known.CHAMELEON,
    "superbpe": known.SUPERBPE,
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), known.BAILING),
    "seed-coder": known.SEED_CODER,
    "ufakzeka": known.UFAKZEKA,
    "exaone-moe": known.EXAONE_MOE,
    "minicpm5": known.MINICPM5,
    "laguna": known.LAGUNA,
    "jais-2": known.JAIS2,
}
