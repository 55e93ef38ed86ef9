"""Small tokenizers with control tokens around turns, of both kinds that language models have, and their templates."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from honed.text.tokenizer import Tokenizer

SAMPLE = (
    "The quick brown fox jumps over the lazy dog, and then the system of the user there says: im_start, im_end. "
    "Ein naïver Bär frißt 12 345 Beeren; def f(x): return x + 1 <b>bold</b> | a < b > c\n"
) * 4
CONTROL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = CHATML.replace("{{ m.content }}", "{{ m['content'] | trim }}")
PARTS = CHATML.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}")
TEMPLATES = {"chatml": CHATML, "trimmed": TRIMMED, "parts": PARTS}


@cache
def byte_level() -> FastTokenizer:
    """Trained; control tokens are matched before anything else."""
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    fast.train_from_iterator(
        [SAMPLE], trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    )
    fast.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in CONTROL])
    fast.add_tokens([AddedToken("<think>", normalized=False), AddedToken("  ", normalized=False)])
    return fast


@cache
def sentencepiece(*, normalized: bool = False) -> FastTokenizer:
    """As Llama 2 has it: a space before every piece between control tokens, bytes for what is unknown."""
    words = FastTokenizer(models.BPE())
    words.train_from_iterator(
        [word for word in SAMPLE.replace(" ", " ▁").split(" ") if word],
        trainers.BpeTrainer(vocab_size=300, show_progress=False),
    )
    learned = json.loads(words.to_str())["model"]
    tokens = ["<unk>", *CONTROL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [token for token in learned["vocab"] if token not in tokens]
    merges = [tuple(merge) for merge in learned["merges"]]
    model = models.BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>", byte_fallback=True)
    fast = FastTokenizer(model)
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.add_special_tokens([AddedToken(text, normalized=normalized, special=True) for text in ("<unk>", *CONTROL)])
    return fast


def turns(fast: FastTokenizer, template: str = CHATML, **more: Any) -> Tokenizer:
    """With the template, as a checkpoint would have it."""
    return Tokenizer(
        fast,
        frozenset({id_of(fast, "<|im_end|>")}),
        chat_template=template,
        special_tokens={"bos_token": "<s>"},
        **more,
    )


def id_of(fast: FastTokenizer, token: str) -> int:
    """Of a token that is there."""
    found = fast.token_to_id(token)
    assert found is not None
    return int(found)
