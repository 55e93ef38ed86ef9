"""The text side of a model over a backend that hashes its context, so that any mix-up shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers

from hash_backend import VOCABULARY, HashBackend
from honed.api.language_model import LanguageModel
from honed.api.prompt import Prompt
from honed.errors import HonedError, ParameterError
from honed.runtime.request import Sampling
from honed.text.tokenizer import Tokenizer

# Letters, a space, and the four bytes of an emoji: most replies hold cut characters.
TOKENS = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS", "Ġ", "ð", "Ł", "ĺ", "Ģ"]
SEEDED = {"temperature": 1.0, "seed": 3, "max_tokens": 40}


def tokenizer(*end_tokens: int) -> Tokenizer:
    fast = FastTokenizer(models.BPE({token: i for i, token in enumerate(TOKENS)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    return Tokenizer(fast, frozenset(end_tokens), chat_template=template)


@pytest.fixture
def backend() -> HashBackend:
    return HashBackend(pages=32)


@pytest.fixture
def model(backend: HashBackend) -> Iterator[LanguageModel]:
    with LanguageModel("hash", backend, tokenizer()) as made:
        yield made


def test_the_vocabularies_agree() -> None:
    assert len(TOKENS) == VOCABULARY


def test_text_is_the_decoding_of_the_tokens(model: LanguageModel) -> None:
    generation = model.generate("hello", max_tokens=100)
    assert len(generation.tokens) == 100
    assert generation.text == model.tokenizer.decode(generation.tokens)
    assert "\ufffd" in generation.text
    assert generation.finish_reason == "length"
    assert generation.prompt_tokens == 5


def test_a_stream_joined_is_the_text(model: LanguageModel) -> None:
    with model.stream("hello", temperature=1.0, seed=3) as stream:
        pieces = list(stream)
    assert stream.generation is not None
    assert "".join(pieces) == stream.generation.text == model.generate("hello", temperature=1.0, seed=3).text
    assert len(pieces) > 10


def test_finish_after_reading_a_part_gives_the_whole(model: LanguageModel) -> None:
    stream = model.stream("hello", max_tokens=20)
    first = next(stream)
    whole = stream.finish()
    assert whole.text.startswith(first)
    assert whole.tokens == model.generate("hello", max_tokens=20).tokens


def test_streams_may_be_read_in_turns(model: LanguageModel) -> None:
    alone = [model.generate(prompt, max_tokens=30).text for prompt in ("abc", "xyz")]
    streams = [model.stream(prompt, max_tokens=30) for prompt in ("abc", "xyz")]
    texts = ["", ""]
    for _ in range(60):
        for index, stream in enumerate(streams):
            texts[index] += next(stream, "")
    assert texts == alone


def test_a_batch_gives_what_each_prompt_gives_alone(model: LanguageModel) -> None:
    prompts: list[Prompt] = ["a", "bc" * 30, [1, 2, 3], [{"role": "user", "content": "hey"}]]
    sampling = Sampling(temperature=0.9, top_p=0.9, seed=11)
    alone = [model.generate_batch([prompt], sampling=sampling, max_tokens=25)[0] for prompt in prompts]
    together = model.generate_batch(prompts, sampling=sampling, max_tokens=25)
    assert [g.tokens for g in together] == [g.tokens for g in alone]
    assert [g.text for g in together] == [g.text for g in alone]


def test_a_stop_string_ends_reply_and_request(model: LanguageModel, backend: HashBackend) -> None:
    whole = model.generate("hello", max_tokens=60)
    stop = whole.text[10:13]
    cut = model.generate("hello", max_tokens=60, stop=[stop, "never"])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.tokens == whole.tokens[: len(cut.tokens)]
    assert len(cut.tokens) < 60
    steps = len(backend.batches)
    assert model.generate("x", max_tokens=1).finish_reason == "length"
    assert len(backend.batches) == steps + 1
    assert backend.batches[-1].tokens.size == 1


def test_one_stop_string_may_be_given_bare(model: LanguageModel) -> None:
    whole = model.generate("hello", max_tokens=30).text
    assert model.generate("hello", max_tokens=30, stop=whole[5:7]).text == whole[: whole.index(whole[5:7])]


def test_an_end_token_ends_the_reply_and_is_not_in_it(backend: HashBackend) -> None:
    tokens = LanguageModel("hash", backend, tokenizer()).generate("hello", max_tokens=30).tokens
    end = next(t for i, t in enumerate(tokens) if i > 3 and t not in tokens[:i])
    ended = LanguageModel("hash", backend, tokenizer(end)).generate("hello", max_tokens=30)
    assert ended.tokens == tokens[: tokens.index(end)]
    assert ended.finish_reason == "stop"


@pytest.mark.parametrize("how", ["close", "with", "garbage"])
def test_a_stream_that_is_left_frees_its_pages(model: LanguageModel, how: str) -> None:
    stream = model.stream("hello" * 20, max_tokens=100)
    next(stream)
    assert model._engine.free_pages < 32
    if how == "close":
        stream.close()
        stream.close()
        assert stream.generation is not None
        assert stream.generation.finish_reason == "abort"
        assert list(stream)[1:] == []
    elif how == "with":
        with stream:
            next(stream)
    else:
        del stream
    assert model._engine.free_pages == 32


def test_a_fault_of_one_stream_leaves_the_other_alone(model: LanguageModel, backend: HashBackend) -> None:
    alone = model.generate("xyz", max_tokens=20).text
    prompt = model.encode("abc")
    backend.poison.add((*prompt, *model.generate("abc", max_tokens=3).tokens))
    bad, good = model.stream("abc", max_tokens=20), model.stream("xyz", max_tokens=20)
    with pytest.raises(HonedError, match="not finite"):
        list(bad)
    assert good.finish().text == alone


def test_defaults_are_used_where_nothing_is_given(backend: HashBackend) -> None:
    defaults = Sampling(temperature=1.0, top_k=5, seed=9)
    model = LanguageModel("hash", backend, tokenizer(), defaults=defaults)
    assert model.generate("a", max_tokens=20).tokens == model.generate("a", max_tokens=20, seed=9).tokens
    assert model.generate("a", max_tokens=20).tokens != model.generate("a", max_tokens=20, seed=10).tokens


def test_max_tokens_end_with_the_context(model: LanguageModel) -> None:
    generation = model.generate([1] * 500, max_tokens=10**9)
    assert (len(generation.tokens), generation.finish_reason) == (12, "length")


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers(model: LanguageModel) -> None:
    with pytest.raises(ParameterError, match=r"512 tokens.*context of 512"):
        model.generate([1] * 512)


@pytest.mark.parametrize(
    ("arguments", "named"), [({"max_tokens": 0}, "max_tokens"), ({"stop": [""]}, "stop"), ({"top_p": 7.0}, "top_p")]
)
def test_bad_arguments_are_named(model: LanguageModel, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        model.generate("a", **arguments)  # type: ignore[arg-type]


def test_a_closed_model_says_so(model: LanguageModel) -> None:
    stream = model.stream("a")
    next(stream)
    model.close()
    model.close()
    assert stream.generation is not None
    assert stream.generation.finish_reason == "abort"
    with pytest.raises(HonedError, match="closed"):
        model.generate("a")
