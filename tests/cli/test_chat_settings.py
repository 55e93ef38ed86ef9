from __future__ import annotations

import pytest

from honed.cli.chat_settings import CHAT, ChatSettings, starting_sampling
from honed.errors import ParameterError
from honed.runtime.options import SamplingOptions
from honed.runtime.request import GREEDY, Sampling


def test_a_checkpoint_without_settings_gets_those_of_chat() -> None:
    assert starting_sampling(GREEDY, SamplingOptions()) == CHAT
    assert starting_sampling(GREEDY, SamplingOptions(top_p=0.5, seed=3)) == Sampling(
        CHAT.temperature, CHAT.top_k, 0.5, CHAT.min_p, CHAT.repetition_penalty, 3, "reply"
    )


def test_temperature_0_is_greedy_and_nothing_else() -> None:
    assert starting_sampling(GREEDY, SamplingOptions(temperature=0.0)) == GREEDY


def test_the_settings_of_a_checkpoint_stand() -> None:
    own = Sampling(temperature=0.6, top_k=20)
    assert starting_sampling(own, SamplingOptions()) == own
    assert starting_sampling(own, SamplingOptions(temperature=0.1)) == Sampling(temperature=0.1, top_k=20)
    penalty = Sampling(temperature=0, repetition_penalty=1.3)
    assert starting_sampling(penalty, SamplingOptions()).repetition_penalty == 1.3
    assert starting_sampling(penalty, SamplingOptions()).temperature == CHAT.temperature


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("temperature", "0.3", 0.3), ("TOP-K", "7", 7), ("top_p", "1", 1.0), ("min-p", "0", 0.0), ("seed", "5", 5)],
)
def test_changed_sets_one(name: str, value: str, expected: float) -> None:
    settings = ChatSettings(CHAT, 10).changed(name, value)
    assert getattr(settings.sampling, name.lower().replace("-", "_")) == expected
    assert settings.max_tokens == 10


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("temperature", "hot", "must be a number"),
        ("temperature", "nan", "from 0 to 2"),
        ("temperature", "1e400", "from 0 to 2"),
        ("top_k", "1.5", "whole number"),
        ("max_tokens", "0", "at least 1"),
        ("max_tokens", "9" * 5000, "whole number"),
        ("temprature", "1", "did you mean 'temperature'"),
        ("threads", "1", "must be one of temperature"),
    ],
)
def test_what_cannot_be_set_says_why(name: str, value: str, problem: str) -> None:
    with pytest.raises(ParameterError, match=problem):
        ChatSettings(CHAT, 10).changed(name, value)


def test_max_tokens_are_checked_at_the_start() -> None:
    with pytest.raises(ParameterError, match="max_tokens"):
        ChatSettings(CHAT, 0)


def test_another_attempt_has_another_seed() -> None:
    settings = ChatSettings(Sampling(seed=2**64 - 1), 7)
    assert [settings.for_reply(attempt).seed for attempt in (0, 1, 2)] == [2**64 - 1, 0, 1]
    assert ChatSettings(Sampling(), 7).for_reply(3).seed is None


def test_shown_names_every_setting() -> None:
    shown = ChatSettings(CHAT, 10).shown()
    for name, value in (("temperature", CHAT.temperature), ("max_tokens", 10), ("seed", "new for each reply")):
        assert f"{name} {value}" in shown
