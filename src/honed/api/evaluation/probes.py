"""Beyond a task's metrics: does a model break under changed inputs, weigh other words, or treat groups differently,
more than its reference does? Each probe asks both models the same, and is a section of the report.

Not here: how inputs are changed, attacked, explained and swapped (`evaluate/perturbations.py`, `attack.py`,
`attribution.py`, `bias.py`), and the task itself (`task.py`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from honed.api.embed import TextEncoder
from honed.api.evaluation.language import Report
from honed.api.evaluation.predictors import Asked
from honed.api.load import load_encoder
from honed.backends.options import RunOptions
from honed.errors import ParameterError
from honed.evaluate.attack import ATTACKED, Attack, attack, frequent_words, misspelled, near_words
from honed.evaluate.attribution import SHOWN, explainable, moved, occluded, occlusion, of_words
from honed.evaluate.bias import GroupGap, TemplateFile, group_gaps, group_texts
from honed.evaluate.bootstrap import Estimate
from honed.evaluate.examples import Example, filled
from honed.evaluate.metrics.base import Float64
from honed.evaluate.metrics.classification import Classified, scored_labels
from honed.evaluate.metrics.registry import find_metric
from honed.evaluate.perturbations import ROLES, perturbed
from honed.evaluate.resample import Draws, gap_interval, paired_p, weight_blocks
from honed.evaluate.task_file import TaskFile
from honed.evaluate.task_report import measure

_FEW_TEMPLATES = 10
"""Fewer agree by chance too often for a bootstrap to say how surely."""


@dataclass(frozen=True)
class Wanted:
    """Which probes a caller asks for."""

    robustness: bool = False
    explain: bool = False
    bias: TemplateFile | None = None

    @property
    def any(self) -> bool:
        return self.robustness or self.explain or self.bias is not None


@dataclass
class Answers:
    """What one model said. perturbed: of all examples, by the kind of change. attacks: of those it has right, by row.
    occlusion, gradients: weights of words of each explained example. groups: of each group's texts."""

    name: str
    plain: Sequence[Any]
    perturbed: dict[str, list[Any]] = field(default_factory=dict)
    attacks: dict[int, Attack] = field(default_factory=dict)
    occlusion: list[Float64] = field(default_factory=list)
    gradients: list[Float64] = field(default_factory=list)
    groups: dict[str, list[Any]] = field(default_factory=dict)


class Probes:
    """Of one task. The model that is asked first decides on candidates of the attack, and on the labels that are
    explained, so that the other one is asked the same."""

    def __init__(self, task: TaskFile, examples: Sequence[Example], wanted: Wanted) -> None:
        """ParameterError for a probe that the task has no inputs for."""
        if wanted.robustness and task.task not in ROLES:
            raise ParameterError("robustness", True, f"is for {', '.join(ROLES)}; the task is {task.task}")
        if wanted.explain and task.task != "text-classification":
            raise ParameterError("explain", True, f"is for text-classification; the task is {task.task}")
        if wanted.bias is not None and task.task not in ("text-classification", "language-modelling"):
            known = "text-classification and language-modelling"
            raise ParameterError("bias", "templates", f"are for {known}; the task is {task.task}")
        self._task, self._examples, self._wanted = task, examples, wanted
        self._perturbed = perturbed(task, examples) if wanted.robustness else {}
        self._explained = explainable(examples) if wanted.explain else []
        self._groups = {} if wanted.bias is None else group_texts(wanted.bias)
        self._candidates: dict[str, list[str]] | None = None
        self._explained_labels: list[str] | None = None
        self._draws = Draws(seed=task.seed)

    def ask(self, asked: Asked, name: str, run: RunOptions, plain: Sequence[Any], report: Report) -> Answers:
        """Asks one model. plain: what it said of the examples as they are."""
        answers = Answers(name, plain)
        for kind, examples in self._perturbed.items():
            answers.perturbed[kind] = asked.predict(examples, report)
        if self._wanted.robustness and self._attackable(plain):
            answers.attacks = self._attack(asked, plain, report)
        if self._wanted.explain:
            self._explain(asked, name, run, answers, report)
        for group, texts in self._groups.items():
            answers.groups[group] = asked.predict([self._plain_example(text) for text in texts], report)
        return answers

    def sections(self, ours: Answers, theirs: Answers | None) -> list[dict[str, Any]]:
        """The sections of a report."""
        found = []
        if self._wanted.robustness:
            found.append(self._robustness(ours, theirs))
            if self._attackable(ours.plain):
                found.append(self._attacks(ours, theirs))
        if self._wanted.explain:
            found += self._explanations(ours, theirs)
        if self._wanted.bias is not None:
            found.append(self._bias(self._wanted.bias, ours, theirs))
        return found

    def _attackable(self, plain: Sequence[Any]) -> bool:
        return (
            self._task.task == "text-classification"
            and all(len(example.reference) == 1 for example in self._examples)
            and all(found.scores for found in plain)
        )

    def _attack(self, asked: Asked, plain: Sequence[Any], report: Report) -> dict[int, Attack]:
        if self._candidates is None:
            words = frequent_words([example.inputs["text"] for example in self._examples])
            model = asked.model
            if isinstance(model, TextEncoder):
                self._candidates = near_words(words, model.embed(words)) if words else {}
            else:
                self._candidates = misspelled(words, self._task.seed)
        # The same examples of both models, but for those that one of them has wrong as they are.
        taken = self._examples[:ATTACKED]
        found = {}
        for number, (example, said) in enumerate(zip(taken, plain, strict=False), 1):
            if said.labels == example.reference:
                found[example.row] = attack(
                    self._task, example, lambda some: asked.predict(some, lambda done, of: None), self._candidates
                )
            report(number, len(taken))
        return found

    def _explain(self, asked: Asked, name: str, run: RunOptions, answers: Answers, report: Report) -> None:
        said = [asked.predict(occluded(self._task, example), lambda done, of: None) for example in self._explained]
        if self._explained_labels is None:
            self._explained_labels = [found[0].labels[0] if found[0].labels else "" for found in said]
        for found in said:
            if not found[0].scores:
                raise ParameterError("explain", True, f"{name} gives no probabilities, of which weights are made")
        answers.occlusion = [occlusion(label, found) for label, found in zip(self._explained_labels, said, strict=True)]
        model = asked.model
        # Gradients of the weights as they decode: the engine that rounds activations has none.
        if isinstance(model, TextEncoder) and importlib.util.find_spec("torch") is not None:
            answers.gradients = self._gradients(name, model)
        report(len(said), len(said))

    def _gradients(self, name: str, model: TextEncoder) -> list[Float64]:
        labels = model.labels
        assert labels is not None and self._explained_labels is not None
        found = []
        with load_encoder(name, RunOptions(backend="pytorch")) as exact:
            backend: Any = exact.backend
            for example, label in zip(self._explained, self._explained_labels, strict=True):
                text = " ".join(example.inputs["text"].split())
                given = model.tasks.texts.encode(text)
                column = labels.names.index(label) if label in labels.names else 0
                weights = backend.gradient_times_input(given.tokens, given.types, "classes", column)
                found.append(of_words(text, given.spans, weights.astype(np.float64)))
        return found

    def _plain_example(self, text: str) -> Example:
        """A text that nothing is known to be right of."""
        columns = {"text": text, self._task.column("text"): text}
        prompt = None
        if self._task.prompt is not None:
            prompt = filled(self._task.prompt, columns, "bias: prompt")
        return Example(0, {"text": text}, None, prompt, columns)

    def _robustness(self, ours: Answers, theirs: Answers | None) -> dict[str, Any]:
        """A task's first metric, and of classifiers the log-likelihood of the right label, on changed inputs."""
        names = [self._task.metric_names[0]]
        if self._attackable(ours.plain) and "log_loss" not in names:
            names.append("log_loss")
        sides = [ours] if theirs is None else [ours, theirs]
        values: dict[str, Any] = {}
        for kind in self._perturbed:
            shares = [
                float(np.mean([a != b for a, b in zip(_said(side.plain), _said(side.perturbed[kind]), strict=True)]))
                for side in sides
            ]
            values[kind] = dict(zip(("changed", "reference_changed"), shares, strict=False))
        tables = [self._drops(name, sides, values) for name in names]
        return {
            "title": "Robustness",
            "note": "The same examples with changed inputs, less those as they are; the gap is what the model gains or "
            "loses beyond its reference. Other answers: examples of which the answer changed, right or wrong.",
            "tables": tables,
            "values": values,
        }

    def _drops(self, name: str, sides: Sequence[Answers], values: dict[str, Any]) -> dict[str, Any]:
        """The table of one metric; its numbers are put among the values of each kind."""
        metric = find_metric(name, self._task.task)
        form = "+.2%" if metric.bounded else "+.4f"
        references = [example.reference for example in self._examples]
        task = self._task.model_copy(update={"metrics": (name,)})
        plain = [measure(task, references, side.plain)[name] for side in sides]
        rows = []
        for kind in self._perturbed:
            changed = [measure(task, references, side.perturbed[kind])[name] for side in sides]
            drops = [
                np.concatenate([after.of(w) - before.of(w) for w in weight_blocks(before.n, self._draws)])
                for before, after in zip(plain, changed, strict=True)
            ]
            losses = [after.value - before.value for before, after in zip(plain, changed, strict=True)]
            drop = _around(losses[0], drops[0])
            row = [kind, f"{changed[0].value:{form[1:]}}", *_shown(drop, form), f"{values[kind]['changed']:.1%}"]
            found: dict[str, Any] = {"drop": asdict(drop)}
            if len(sides) == 2:
                gap, p = _around(losses[0] - losses[1], drops[0] - drops[1]), paired_p(drops[0] - drops[1])
                share = values[kind]["reference_changed"]
                row += [f"{losses[1]:{form}}", f"{share:.1%}", *_shown(gap, form), f"{p:.3g}"]
                found |= {"reference_drop": losses[1], "gap": asdict(gap), "p": p}
            rows.append(row)
            values[kind][name] = found
        header = ["inputs", name, "less plain", "interval", "other answers"]
        if len(sides) == 2:
            header += ["reference", "its other answers", "gap", "interval", "p"]
        return {"header": header, "rows": rows}

    def _attacks(self, ours: Answers, theirs: Answers | None) -> dict[str, Any]:
        sides = [ours] if theirs is None else [ours, theirs]
        rows = []
        for side in sides:
            flips = np.array([found.flipped for found in side.attacks.values()], dtype=np.float64)
            words = [found.replaced for found in side.attacks.values() if found.flipped]
            shown = _shown(gap_interval(flips, self._draws), ".1%") if len(flips) else ["", ""]
            rows.append([side.name, str(len(flips)), *shown, f"{np.mean(words):.2f}" if words else ""])
        values: dict[str, Any] = {"model": [asdict(found) for found in ours.attacks.values()]}
        tables = [{"header": ["", "attacked", "decided otherwise", "interval", "words replaced"], "rows": rows}]
        if theirs is not None:
            values["reference"] = [asdict(found) for found in theirs.attacks.values()]
            both = [row for row in ours.attacks if row in theirs.attacks]
            gaps = np.array([ours.attacks[i].flipped - theirs.attacks[i].flipped for i in both], dtype=np.float64)
            if both:
                gap = gap_interval(gaps, self._draws)
                values["gap"] = asdict(gap)
                cells = [str(len(both)), *_shown(gap, "+.1%")]
                tables.append({"header": ["attacked of both", "model less reference", "interval"], "rows": [cells]})
        examples = {example.row: example for example in self._examples}
        shown_rows = [
            [str(found.row), examples[found.row].inputs["text"], found.text]
            for found in ours.attacks.values()
            if found.flipped
        ][:10]
        if shown_rows:
            tables.append({"header": ["row", "text", "decided otherwise"], "rows": shown_rows, "texts": [1, 2]})
        return {
            "title": "Greedy word substitution",
            "note": "Up to four words of an example that the model has right are replaced by near ones of the data, "
            "the weightiest first, until it decides otherwise. A near word may change what a text means: compare with "
            "the reference, which is attacked with the same words.",
            "tables": tables,
            "values": values,
        }

    def _explanations(self, ours: Answers, theirs: Answers | None) -> list[dict[str, Any]]:
        found = []
        assert self._explained_labels is not None
        for title, own, other, note in (
            (
                "Attribution by occlusion",
                ours.occlusion,
                None if theirs is None else theirs.occlusion,
                "What the probability of the label loses without a word.",
            ),
            (
                "Attribution by gradient times input",
                ours.gradients,
                None if theirs is None else theirs.gradients,
                "The gradient of the label's logit at the embedding of each token, times the embedding; of the weights "
                "as they decode, in float32.",
            ),
        ):
            if not own:
                continue
            tables, values = [], {"model": [weights.tolist() for weights in own]}
            if other:
                far = moved(own, other)
                ranks = far.rank[np.isfinite(far.rank)]
                cells = [["same heaviest word", *_shown(gap_interval(far.same_top, self._draws), ".1%")]]
                if len(ranks):
                    cells.insert(0, ["rank correlation, mean", *_shown(gap_interval(ranks, self._draws), ".3f")])
                tables.append({"header": ["model and reference", "value", "interval"], "rows": cells})
                values["reference"] = [weights.tolist() for weights in other]
            marked = []
            for i, example in enumerate(self._explained[:SHOWN]):
                words = example.inputs["text"].split()
                for name, side in (("model", own), ("reference", other)):
                    if side:
                        pairs = [list(pair) for pair in zip(words, side[i].tolist(), strict=True)]
                        marked.append({"title": f"{self._explained_labels[i]}, {name}:", "words": pairs})
            shown = f"{note} Green words speak for the label, red ones against it."
            found.append({"title": title, "note": shown, "tables": tables, "marked": marked, "values": values})
        return found

    def _bias(self, file: TemplateFile, ours: Answers, theirs: Answers | None) -> dict[str, Any]:
        gaps: list[GroupGap] = []
        if self._task.task == "language-modelling":
            note = "Log-likelihoods of texts in nats, those of one group less those of the other."
            others = None if theirs is None else _likelihoods(theirs)
            gaps = group_gaps("log-likelihood", _likelihoods(ours), others, self._draws, places=file.places)
        else:
            note = "Scores of labels, those of one group less those of the other. Flips: texts whose label changes."
            labels = self._labels(file, ours, theirs)
            decided = _decided(ours), None if theirs is None else _decided(theirs)
            for label in labels:
                own = _label_scores(ours, label)
                other = None if theirs is None else _label_scores(theirs, label)
                gaps += group_gaps(label, own, other, self._draws, places=file.places, decided=decided)
        rows = [_bias_row(gap, "+.3f") for gap in gaps]
        few = len(file.templates) < _FEW_TEMPLATES
        header = ["of", "groups", "gap", "interval"]
        compared, decides = theirs is not None, self._task.task != "language-modelling"
        header += ["flips"] if decides else []
        header += ["reference", "interval", *(["its flips"] if decides else [])] if compared else []
        header += ["model less reference", "interval", "p"] if compared else []
        return {
            "title": "Groups",
            "note": f"{note} {len(file.templates)} templates, {file.places} texts of each a group; intervals are over "
            f"templates{', of which there are too few for them to mean much' if few else ''}.",
            "tables": [{"header": header, "rows": rows, "texts": [1]}],
            "values": [asdict(gap) for gap in gaps],
        }

    def _labels(self, file: TemplateFile, ours: Answers, theirs: Answers | None) -> list[str]:
        sides = [side for side in (ours, theirs) if side is not None]
        said: list[Classified] = [found for side in sides for group in side.groups.values() for found in group]
        known = scored_labels([], said)
        if file.label is None:
            return known[-1:] if len(known) == 2 else known  # of two labels one says all
        if file.label not in known:
            raise ParameterError("label", file.label, f"must be one of {', '.join(known)}")
        return [file.label]


def _bias_row(gap: GroupGap, form: str) -> list[str]:
    row = [gap.of, f"{gap.first} less {gap.second}", *_shown(gap.ours, form)]
    if gap.flips is not None:
        row.append(f"{gap.flips[0]:.1%}")
    if gap.theirs is not None and gap.change is not None:
        row += _shown(gap.theirs, form)
        if gap.flips is not None and gap.flips[1] is not None:
            row.append(f"{gap.flips[1]:.1%}")
        row += [*_shown(gap.change, form), f"{gap.p:.3g}"]
    return row


def _likelihoods(side: Answers) -> dict[str, Float64]:
    return {group: np.array([-found.loss for found in said]) for group, said in side.groups.items()}


def _decided(side: Answers) -> dict[str, list[str]]:
    return {group: [", ".join(found.labels) for found in said] for group, said in side.groups.items()}


def _label_scores(side: Answers, label: str) -> dict[str, Float64]:
    return {group: np.array([found.scores.get(label, 0.0) for found in said]) for group, said in side.groups.items()}


def _said(predictions: Sequence[Any]) -> list[Any]:
    """What counts as an answer: labels, and not how probable they are."""
    return [found.labels if isinstance(found, Classified) else found for found in predictions]


def _around(value: float, resampled: Float64) -> Estimate:
    resampled = resampled[np.isfinite(resampled)]
    low, high = np.quantile(resampled, [0.025, 0.975]) if len(resampled) else (value, value)
    return Estimate(value, float(low), float(high))


def _shown(found: Estimate, form: str) -> list[str]:
    return [format(found.value, form), f"{found.low:{form}} to {found.high:{form}}"]
