"""Tiny random encoders with heads, and a tokenizer of one of three kinds over a few words of several languages."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

CORPUS = [
    "The quick brown fox jumps over the lazy dog near Paris, doesn't it?",
    "Ann lives in Berlin and works for a company that sells unbelievable things.",
    "北京是中国的首都，上海也很大。東京は日本の首都です。",
    "Москва и Санкт-Петербург — города в России.",
    "القاهرة عاصمة مصر وهي مدينة كبيرة",
    "שלום לך ירושלים",
    "Zu\u0308rich, Orléans, Málaga \U0001f600 \U0001f469\u200d\U0001f4bb",
]
PIECES = "Ann lives Paris Ber ##lin unbel ##ievable company ##ks The dog ##ox ##ing".split()  # noqa: SIM905 - shorter
"""Beside letters; a trainer of them gives others each time."""
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
CONTEXT = 64


def tokenizer(kind: str) -> Any:
    """wordpiece (BERT), bytes (RoBERTa) or metaspace (XLM-RoBERTa); all with the special tokens of BERT, ids from 0."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = list(SPECIAL.values())
    trainer: Any
    if kind == "wordpiece":
        letters = sorted({letter for text in CORPUS for letter in text if not letter.isspace()})
        pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *PIECES]
        made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=False)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
    elif kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=special,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
    else:
        made = Tokenizer(models.BPE(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    if kind != "wordpiece":
        made.train_from_iterator(CORPUS * 3, trainer)
    made.add_special_tokens(special)
    if kind == "bytes":
        made.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2), add_prefix_space=False)
        return made
    ids = [("[CLS]", made.token_to_id("[CLS]")), ("[SEP]", made.token_to_id("[SEP]"))]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return made


@functools.cache
def headed(model_type: str, head: str, kind: str = "wordpiece", **settings: Any) -> Path:
    """A directory that honed and transformers load. head: the end of the name of the class of transformers; settings of
    its config besides, tuples for lists. Weights are large enough for results that differ from text to text."""
    import torch
    import transformers

    made = tokenizer(kind)
    labels = settings.pop("labels", LABELS if head == "ForTokenClassification" else None)
    config = transformers.AutoConfig.for_model(
        model_type,
        vocab_size=made.get_vocab_size(),
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT + (2 if "roberta" in model_type else 0),
        type_vocab_size=1 if "roberta" in model_type else 2,
        pad_token_id=0,
        initializer_range=0.2,
        **({} if labels is None else {"id2label": dict(enumerate(labels)), "label2id": _ids(labels)}),
        **settings,
    )
    torch.manual_seed(5)
    automatic = getattr(transformers, f"AutoModel{head}")
    model = automatic.from_config(config, attn_implementation="eager").eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    path = Path(tempfile.mkdtemp(prefix="honed-headed-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    model.save_pretrained(path)
    made.save(str(path / "tokenizer.json"))
    written = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT, **SPECIAL}
    inputs = ["input_ids", "attention_mask"] + (["token_type_ids"] if model_type == "bert" else [])
    (path / "tokenizer_config.json").write_text(json.dumps({**written, "model_input_names": inputs}))
    return path


def theirs(task: str, path: Path, **settings: Any) -> Any:
    """The pipeline of transformers in float32."""
    import torch
    import transformers

    return transformers.pipeline(task, model=str(path), dtype=torch.float32, device="cpu", **settings)


def close(found: Any, expected: Any, within: float = 2e-5) -> bool:
    """Whether both have the same shape, keys, texts and whole numbers, and other numbers within so much."""
    if isinstance(expected, dict):
        same = isinstance(found, dict) and list(found) == list(expected)
        return same and all(close(found[key], expected[key], within) for key in expected)
    if isinstance(expected, list | tuple):
        same = isinstance(found, list | tuple) and len(found) == len(expected)
        return same and all(close(one, other, within) for one, other in zip(found, expected, strict=True))
    if isinstance(expected, str | int):
        return bool(found == expected) and isinstance(found, type(expected))
    return isinstance(found, float) and abs(found - float(expected)) <= within


def _ids(labels: Any) -> dict[str, int]:
    return {label: place for place, label in enumerate(labels)}
