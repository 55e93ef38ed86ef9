"""The tasks that `honed.pipeline` has, by the names of transformers and of the hub, and where each lies.

A further task is a file here and a line below. Not here: loading a model for one (`api/pipeline.py`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from honed.parameters import choice

if TYPE_CHECKING:
    from honed.api.pipelines.base import Pipeline

_HOMES = {
    "text-generation": "text_generation:TextGenerationPipeline",
    "text-classification": "text_classification:TextClassificationPipeline",
    "zero-shot-classification": "zero_shot:ZeroShotClassificationPipeline",
    "token-classification": "token_classification:TokenClassificationPipeline",
    "question-answering": "question_answering:QuestionAnsweringPipeline",
    "fill-mask": "fill_mask:FillMaskPipeline",
    "feature-extraction": "feature_extraction:FeatureExtractionPipeline",
    "sentence-similarity": "sentence_similarity:SentenceSimilarityPipeline",
    "text-ranking": "text_ranking:TextRankingPipeline",
    "text-infilling": "text_infilling:TextInfillingPipeline",
}
ALIASES = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "rerank": "text-ranking",
    "infill": "text-infilling",
}
TASKS = tuple(_HOMES)


def task_name(task: object) -> str:
    """The name of a task that may be called by an alias. ParameterError for one that is not known."""
    if isinstance(task, str) and task in ALIASES:
        return ALIASES[task]
    return choice("task", task, TASKS)


def pipeline_class(task: str) -> type[Pipeline[Any]]:
    """The class of a task, by its name."""
    module, _, name = _HOMES[task].partition(":")
    return cast("type[Pipeline[Any]]", getattr(import_module(f"honed.api.pipelines.{module}"), name))
