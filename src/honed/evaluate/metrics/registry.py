"""Which metrics each kind of task has, by name. `ndcg@10`, `mrr@10` and `pass@1` are of any number."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from honed.errors import ParameterError
from honed.evaluate.metrics import answers, classification, language, sequences, similarity, summaries, translation
from honed.evaluate.metrics.base import Metric
from honed.evaluate.metrics.programs import pass_metric
from honed.evaluate.metrics.ranking import ranking_metric

_TEXTS = (*answers.METRICS, *translation.METRICS, *summaries.METRICS)
_OF_TASK: Mapping[str, tuple[Metric, ...]] = {
    "text-classification": classification.METRICS,
    "token-classification": sequences.METRICS,
    "question-answering": answers.METRICS,
    "generation": _TEXTS,
    "similarity": similarity.METRICS,
    "language-modelling": language.METRICS,
    "ranking": (),
    "code": (),
}
_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "text-classification": ("accuracy", "f1_macro"),
    "token-classification": ("entity_f1_micro", "entity_precision_micro", "entity_recall_micro", "tag_f1_macro"),
    "question-answering": ("exact_match", "answer_f1"),
    "generation": ("exact_match", "answer_f1"),
    "similarity": ("spearman", "pearson"),
    "language-modelling": ("perplexity", "bits_per_byte", "kl", "top1_agreement"),
    "ranking": ("ndcg@10", "mrr@10"),
    "code": ("pass@1",),
}
TASKS = tuple(_OF_TASK)
_AT = {"ranking": re.compile(r"(ndcg|mrr)(?:@([1-9][0-9]{0,4}))?"), "code": re.compile(r"(pass)@([1-9][0-9]{0,4})")}
_SHOWN_AT = {"ranking": ("ndcg@K", "mrr@K"), "code": ("pass@K",)}


def default_metrics(task: str) -> tuple[str, ...]:
    """Those of a task file that names none."""
    return _DEFAULTS[task]


def find_metric(name: str, task: str) -> Metric:
    """The metric of that name, which the kind of task has. ParameterError with the nearest name for another."""
    known = {metric.name: metric for metric in _OF_TASK[task]}
    if name in known:
        return known[name]
    pattern = _AT.get(task)
    if pattern is not None and (found := pattern.fullmatch(name)):
        k = None if found[2] is None else int(found[2])
        return pass_metric(k or 1) if found[1] == "pass" else ranking_metric(found[1], k)
    names = [*known, *_SHOWN_AT.get(task, ())]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ParameterError("metrics", name, f"{hint}those of {task} are {', '.join(names)}")
