"""Tiny random encoders of every family as transformers makes them, and what transformers gives for a ragged batch."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SIZES = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}
DISTIL_SIZES = {
    "vocab_size": 97,
    "dim": 48,
    "hidden_dim": 88,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 40,
}
MODERN: dict[str, Any] = {"num_hidden_layers": 4, "local_attention": 8, "pad_token_id": 0, "type_vocab_size": None}
"""Of four layers the first and the last see everything, where a config does not say it."""
# Family -> model_type, the class of transformers, what differs from the sizes, and arguments of the class. Widths are
# odd on purpose: no multiple of a tile.
FAMILIES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "bert": ("bert", "BertModel", {}, {}),
    "bert_relu": ("bert", "BertModel", {"hidden_act": "relu", "layer_norm_eps": 1e-3}, {}),
    "bert_gelu_new": ("bert", "BertModel", {"hidden_act": "gelu_new", "type_vocab_size": 5}, {}),
    "bert_one_type": ("bert", "BertModel", {"type_vocab_size": 1}, {}),
    "bert_without_pooler": ("bert", "BertModel", {}, {"add_pooling_layer": False}),
    "bert_masked": ("bert", "BertForMaskedLM", {}, {}),
    "bert_classifier": ("bert", "BertForSequenceClassification", {"num_labels": 3}, {}),
    "minilm": ("bert", "BertModel", {"hidden_size": 96, "num_attention_heads": 12, "intermediate_size": 384}, {}),
    "roberta": ("roberta", "RobertaModel", {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}, {}),
    "roberta_padding": ("roberta", "RobertaModel", {"type_vocab_size": 1, "pad_token_id": 4}, {}),
    "roberta_masked": ("roberta", "RobertaForMaskedLM", {"type_vocab_size": 1}, {}),
    "xlm_roberta": (
        "xlm-roberta",
        "XLMRobertaModel",
        {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "tie_word_embeddings": False},
        {},
    ),
    "xlm_roberta_tokens": (
        "xlm-roberta",
        "XLMRobertaForTokenClassification",
        {"type_vocab_size": 1, "num_labels": 5},
        {},
    ),
    "distilbert": ("distilbert", "DistilBertModel", {}, {}),
    "distilbert_sinusoidal": ("distilbert", "DistilBertModel", {"sinusoidal_pos_embds": True}, {}),
    "modernbert": ("modernbert", "ModernBertModel", MODERN, {}),
    "modernbert_biases": (
        "modernbert",
        "ModernBertModel",
        {
            **MODERN,
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "norm_eps": 1e-3,
            "local_attention": 5,
            "global_attn_every_n_layers": 2,
            "hidden_activation": "gelu_pytorch_tanh",
            "global_rope_theta": 500.0,
            "local_rope_theta": 30.0,
        },
        {},
    ),
    "modernbert_types": (
        "modernbert",
        "ModernBertForMaskedLM",
        {
            **MODERN,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
            "local_attention": 2,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
            },
        },
        {},
    ),
    "distilbert_masked": ("distilbert", "DistilBertForMaskedLM", {"activation": "relu"}, {}),
}
_ROBERTA = {"type_vocab_size": 1, "layer_norm_eps": 1e-5}
HEADED: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "bert_classes": ("bert", "BertForSequenceClassification", {"num_labels": 3}, {}),
    "bert_tags": ("bert", "BertForTokenClassification", {"num_labels": 7}, {}),
    "bert_spans": ("bert", "BertForQuestionAnswering", {}, {}),
    "bert_vocabulary": ("bert", "BertForMaskedLM", {"hidden_act": "gelu_new"}, {}),
    "bert_vocabulary_untied": ("bert", "BertForMaskedLM", {"tie_word_embeddings": False}, {}),
    "distilbert_classes": ("distilbert", "DistilBertForSequenceClassification", {}, {}),
    "distilbert_tags": ("distilbert", "DistilBertForTokenClassification", {"num_labels": 5}, {}),
    "distilbert_spans": ("distilbert", "DistilBertForQuestionAnswering", {}, {}),
    "distilbert_vocabulary": ("distilbert", "DistilBertForMaskedLM", {}, {}),
    "roberta_classes": ("roberta", "RobertaForSequenceClassification", {**_ROBERTA, "num_labels": 1}, {}),
    "roberta_tags": ("roberta", "RobertaForTokenClassification", {**_ROBERTA, "num_labels": 33}, {}),
    "roberta_spans": ("roberta", "RobertaForQuestionAnswering", _ROBERTA, {}),
    "roberta_vocabulary": ("roberta", "RobertaForMaskedLM", {**_ROBERTA, "hidden_act": "relu"}, {}),
    "xlm_roberta_classes": ("xlm-roberta", "XLMRobertaForSequenceClassification", _ROBERTA, {}),
    "xlm_roberta_tags": ("xlm-roberta", "XLMRobertaForTokenClassification", {**_ROBERTA, "num_labels": 9}, {}),
    "xlm_roberta_spans": ("xlm-roberta", "XLMRobertaForQuestionAnswering", _ROBERTA, {}),
    "xlm_roberta_vocabulary": ("xlm-roberta", "XLMRobertaForMaskedLM", _ROBERTA, {}),
    "modernbert_classes": ("modernbert", "ModernBertForSequenceClassification", {**MODERN, "num_labels": 4}, {}),
    "modernbert_classes_mean": (
        "modernbert",
        "ModernBertForSequenceClassification",
        {
            **MODERN,
            "classifier_pooling": "mean",
            "classifier_bias": True,
            "classifier_activation": "silu",
            "norm_bias": True,
        },
        {},
    ),
    "modernbert_tags": ("modernbert", "ModernBertForTokenClassification", {**MODERN, "num_labels": 5}, {}),
    "modernbert_spans": ("modernbert", "ModernBertForQuestionAnswering", MODERN, {}),
    "modernbert_vocabulary": ("modernbert", "ModernBertForMaskedLM", {**MODERN, "decoder_bias": False}, {}),
}
"""The same with heads, for the head; each family with each."""
WORDS = "the a of to and in is it you that he was for on are with as his they be at one have this from or query"
LENGTHS = (7, 1, 33, 12)
"""Tokens of the texts of the batch, longest neither first nor last."""


@dataclass(frozen=True)
class Text:
    """One text, and by transformers the rows of its tokens [n, width] and the row of the pooler [width], if any."""

    tokens: NDArray[np.int32]
    types: NDArray[np.int32]
    hidden: NDArray[np.float32]
    pooled: NDArray[np.float32] | None
    logits: NDArray[np.float32] | None = None
    """Of the head, where there is one: [labels] of classes, [n, labels] of tags, start and end, or a vocabulary."""


@dataclass(frozen=True)
class GoldenEncoder:
    """A saved encoder, and its rows in float32 by transformers, each text run alone."""

    directory: Path
    texts: tuple[Text, ...]

    def agrees(self, rows: NDArray[np.float32]) -> bool:
        """Rows of all tokens, text after text, within 1e-4 of the spread."""
        expected = np.concatenate([text.hidden for text in self.texts])
        spread = float(expected.max() - expected.min())
        return rows.shape == expected.shape and float(np.abs(rows - expected).max()) < 1e-4 * spread

    def head_agrees(self, logits: NDArray[np.float32]) -> bool:
        """Of the head, text after text, within 1e-4 of the spread."""
        rows = [text.logits for text in self.texts if text.logits is not None]
        expected = np.concatenate([np.atleast_2d(row) for row in rows])
        spread = float(expected.max() - expected.min())
        return logits.shape == expected.shape and float(np.abs(logits - expected).max()) < 1e-4 * spread

    def pooler_agrees(self, rows: NDArray[np.float32]) -> bool:
        """A row for each text, within 1e-4 of the spread."""
        expected = np.stack([text.pooled for text in self.texts if text.pooled is not None])
        spread = float(expected.max() - expected.min())
        return rows.shape == expected.shape and float(np.abs(rows - expected).max()) < 1e-4 * spread

    @property
    def tokens(self) -> NDArray[np.int32]:
        return np.concatenate([text.tokens for text in self.texts])

    @property
    def types(self) -> NDArray[np.int32]:
        return np.concatenate([text.types for text in self.texts])


@functools.cache
def golden_encoder(family: str) -> GoldenEncoder:
    """Made once a process; biases and norm weights are random too, so that a forgotten one shows."""
    import transformers

    kind, cls, settings, arguments = (FAMILIES | HEADED)[family]
    sizes = DISTIL_SIZES if kind == "distilbert" else SIZES
    torch.manual_seed(11)
    config = transformers.AutoConfig.for_model(kind, **{**sizes, **settings}, attn_implementation="eager")
    model = getattr(transformers, cls)(config, **arguments).eval().float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "sinusoidal" not in family or "position" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
        base = getattr(model, model.base_model_prefix, model)
        types = settings.get("type_vocab_size", sizes.get("type_vocab_size", 1)) or 1
        texts = tuple(_text(model, base, config, length, types) for length in LENGTHS)
    directory = _scratch() / family
    model.save_pretrained(directory)
    return GoldenEncoder(directory, texts)


def _text(model: Any, base: Any, config: Any, length: int, types: int) -> Text:
    tokens = torch.randint(5, config.vocab_size, (1, length))  # no padding among them
    kinds = torch.randint(0, types, (1, length)).sort().values
    given = {} if config.model_type in ("distilbert", "modernbert") else {"token_type_ids": kinds}
    found = base(tokens, **given)
    pooled = getattr(found, "pooler_output", None)
    whole = None if base is model else model(tokens, **given)
    if whole is None:
        logits = None
    elif hasattr(whole, "start_logits"):
        logits = torch.stack([whole.start_logits[0], whole.end_logits[0]], dim=1)
    else:
        logits = whole.logits[0]
    return Text(
        tokens[0].numpy().astype(np.int32),
        kinds[0].numpy().astype(np.int32),
        found.last_hidden_state[0].numpy().copy(),
        None if pooled is None else pooled[0].numpy().copy(),
        None if logits is None else logits.numpy().copy(),
    )


@functools.cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="honed-tiny-encoders-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def with_tokenizer(family: str, directory: Path, *, sentences: bool = True) -> Path:
    """A copy of a golden encoder with a word tokenizer, and, if `sentences`, with what sentence-transformers writes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    shutil.copytree(golden_encoder(family).directory, directory, dirs_exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    if sentences:
        kinds = ("Transformer", "Pooling", "Normalize")
        modules = [
            {"idx": i, "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
            for i, kind in enumerate(kinds)
        ]
        _write(directory / "modules.json", modules)
        _write(directory / "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
        _write(directory / "sentence_bert_config.json", {"max_seq_length": 24})
        _write(directory / "config_sentence_transformers.json", {"prompts": {"query": "the query "}})
    return directory


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
