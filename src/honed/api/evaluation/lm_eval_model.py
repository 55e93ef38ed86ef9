"""A model of honed as one of lm-eval's, and lm-eval's tasks asked from here, where it is installed.

lm-eval finds models in its own table alone, so that it has to be told: `register` does, for `honed eval --lm-eval` and
for lm-eval's own command line (`cli/lm_eval.py`). Not here: tasks of honed's own form (`task.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from honed.api.language_model import LanguageModel
from honed.api.load import load_language_model
from honed.backends.options import RunOptions
from honed.errors import HonedError, UnsupportedError
from honed.evaluate.likelihood import Scorer, room
from honed.text.chat_template import ChatTemplate

NAME = "honed"
_MOST_TOKENS = 256
_STEP = 16
_MISSING = "lm-eval is not installed: pip install 'lm-eval' beside honed"


def register() -> None:
    """Puts the model into lm-eval's table. HonedError where it is not installed."""
    try:
        import lm_eval.models  # noqa: F401  # fills the table, which refuses a name twice
        from lm_eval.api.registry import get_model, register_model
    except ImportError:
        raise HonedError(_MISSING) from None
    try:
        get_model(NAME)
    except (KeyError, ValueError):
        register_model(NAME)(model_class())


def run_tasks(
    model: str, tasks: Sequence[str], options: RunOptions, limit: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """What lm-eval says of a model at its tasks: metrics by task. tasks: names, or paths of its task files.

    Errors: HonedError where lm-eval is not installed, knows no such task, or cannot get its data.
    """
    try:
        from lm_eval import simple_evaluate
    except ImportError:
        raise HonedError(_MISSING) from None
    with load_language_model(model, options) as loaded:
        try:
            found = simple_evaluate(
                model=model_class()(loaded),
                tasks=list(tasks),
                limit=limit,
                random_seed=seed,
                numpy_random_seed=seed,
                torch_random_seed=seed,
                fewshot_random_seed=seed,
                log_samples=False,
            )
        except HonedError:
            raise
        except Exception as error:  # whatever a task, its data or its metrics raise
            raise HonedError(f"lm-eval: {type(error).__name__}: {error!s:.300}") from error
    results: dict[str, Any] = {} if found is None else found["results"]
    return {task: {name: _plain(value) for name, value in row.items()} for task, row in results.items()}


def model_class() -> type[Any]:
    """The class, made where lm-eval is there to be its base."""
    from lm_eval.api.model import LM

    class HonedModel(LM):  # type: ignore[misc]
        """`pretrained` names a model as `honed.load` takes it, or is one that is loaded; dtype, kv, threads, context
        and backend are those of `honed.RunOptions`. batch_size, max_batch_size and device are not needed."""

        def __init__(
            self,
            pretrained: str | LanguageModel,
            *,
            batch_size: object = None,
            max_batch_size: object = None,
            device: object = None,
            **run: Any,
        ) -> None:
            super().__init__()
            if isinstance(pretrained, LanguageModel):
                self.model = pretrained
            else:
                self.model = load_language_model(pretrained, RunOptions(**run))
            self._scorer = Scorer(self.model.backend)
            self._template: ChatTemplate | None = None

        @property
        def tokenizer_name(self) -> str:
            return str(self.model.name).replace("/", "__")

        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            """Of each (context, continuation): the log-probability, and whether greedy decoding gives it."""
            # Requests with one context one after the other: what they share is run once.
            order = sorted(range(len(requests)), key=lambda i: requests[i].args)
            found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
            for i in order:
                score = self._scorer.score(*self._pair(*requests[i].args))
                found[i] = score.logprob, score.greedy
                self.cache_hook.add_partial("loglikelihood", requests[i].args, found[i])
            return found

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
            """Of whole texts; a longer one than the context in pieces, each of which sees as much as there is room
            for."""
            found = []
            for request in requests:
                ids = self.model.tokenizer.encode(request.args[0], add_special=False)
                found.append(self._rolling(ids))
                self.cache_hook.add_partial("loglikelihood_rolling", request.args, found[-1])
            return found

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            """Of each (context, settings): the reply, up to the texts of `until`."""
            found: list[str] = []
            for request in requests:
                context, settings = request.args
                until = settings.get("until") or []
                stop = [until] if isinstance(until, str) else list(until)
                sampled = bool(settings.get("do_sample", False))
                temperature = float(settings.get("temperature", 1.0)) if sampled else 0.0
                most = int(settings.get("max_gen_toks") or settings.get("max_tokens") or _MOST_TOKENS)
                ids = self.model.encode(context)[-max(1, self.model.context - most) :]
                reply = self.model.generate(
                    ids, max_tokens=most, temperature=temperature, stop=[text for text in stop if text]
                )
                found.append(reply.text)
                self.cache_hook.add_partial("generate_until", request.args, reply.text)
            return found

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            if self._template is None:
                tokenizer = self.model.tokenizer
                if tokenizer.chat_template is None:
                    raise UnsupportedError(f"{self.model.name} has no chat template; leave --apply_chat_template out")
                self._template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
            return self._template.render(chat_history, add_generation_prompt=add_generation_prompt)

        def chat_template(self, chat_template: bool | str = False) -> str | None:
            return self.model.tokenizer.chat_template if chat_template else None

        def _pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            """Tokens of both as they stand in the whole text; spaces at the end of a context go to what follows."""
            tokenizer = self.model.tokenizer
            kept = context.rstrip()
            continuation = context[len(kept) :] + continuation
            whole = tokenizer.encode(kept + continuation)
            prompt = tokenizer.encode(kept) if kept else []
            if not kept:
                # What comes first follows the begin token, or that which ends a text.
                whole = tokenizer.encode(continuation, add_special=False)
                prompt = [self._first()]
                return prompt, whole
            return whole[: len(prompt)], whole[len(prompt) :]

        def _first(self) -> int:
            tokenizer = self.model.tokenizer
            if tokenizer.begin_token is not None:
                return tokenizer.begin_token
            return min(tokenizer.end_tokens, default=0)

        def _rolling(self, ids: Sequence[int]) -> float:
            limit = room(self.model.backend)
            total, done = 0.0, 0
            before = [self._first()]
            while done < len(ids):
                part = list(ids[done : done + limit])
                seen = [*before, *ids[:done]][-(limit + 1 - len(part)) :]
                total += self._scorer.score(seen, part).logprob
                done += len(part)
            return total

    return HonedModel


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
