"""tekken.json against joining by rank done step by step, as its definition says; files that lie."""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import regex  # type: ignore[import-untyped]

from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.tekken import tokenizer_document
from honed.checkpoints.huggingface.tokenizer import read_tokenizer
from honed.errors import FormatError
from honed.text.tokenizer import Tokenizer

PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = 8
LEARNT = 80
CORPUS = (
    "The theory of the weather is that the other brother gathered there. HTTPServer and camelCase names, "
    "banana bandana; aaaa aaa aa === ==== --- ## 你好，世界 你们好 naïve café été "
) * 3


def joined(word: list[bytes], ranks: dict[bytes, int]) -> list[bytes]:
    """The neighbours of lowest rank, the first of equal ones, until none are left."""
    while len(word) > 1:
        rank, place = min((ranks.get(a + b, 1 << 30), at) for at, (a, b) in enumerate(pairwise(word)))
        if rank == 1 << 30:
            break
        word = [*word[:place], word[place] + word[place + 1], *word[place + 2 :]]
    return word


def single(word: bytes) -> list[bytes]:
    return [word[at : at + 1] for at in range(len(word))]


@cache
def learnt() -> tuple[bytes, ...]:
    """256 bytes and what is most often beside each other, one after the other."""
    words = Counter(match.group().encode() for match in regex.finditer(PATTERN, CORPUS))
    tokens = [bytes([byte]) for byte in range(256)]
    for _ in range(LEARNT):
        ranks = {token: rank for rank, token in enumerate(tokens)}
        pairs: Counter[bytes] = Counter()
        for word, count in words.items():
            for left, right in pairwise(joined(single(word), ranks)):
                pairs[left + right] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        tokens.append(best)
    return tuple(tokens)


def document(**changed: Any) -> dict[str, Any]:
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": token.decode("utf-8", "replace")}
        for rank, token in enumerate(learnt())
    ]
    config = {"pattern": PATTERN, "num_vocab_tokens": len(vocabulary), "version": "v3"}
    config |= {"default_vocab_size": SPECIAL + len(vocabulary) - 10, "default_num_special_tokens": SPECIAL}
    return {"config": config, "vocab": vocabulary} | changed


def ids_by_rank(text: str) -> list[int]:
    ranks = {token: rank for rank, token in enumerate(learnt()[: 256 + LEARNT - 10])}
    found: list[int] = []
    for match in regex.finditer(PATTERN, text):
        word = match.group().encode()
        tokens = [word] if word in ranks else joined(single(word), ranks)
        found += [ranks[token] + SPECIAL for token in tokens]
    return found


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    return folder


def read(model: Path, tekken: dict[str, Any]) -> Tokenizer:
    (model / "tekken.json").write_text(json.dumps(tekken))
    return read_tokenizer(Directory(model))


def test_ids_are_those_of_joining_by_rank(model: Path) -> None:
    tokenizer = read(model, document())
    rng = random.Random(3)
    pieces = [token.decode("utf-8", "ignore") for token in learnt()]
    texts = [CORPUS, "", " ", "\n\n  x", "ZEITGEIST 12345 \U0001f680 \u0939\u093f", "aaaaa aaaaaaa ========="]
    texts += ["".join(rng.choice(pieces) for _ in range(30)) for _ in range(150)]
    texts += ["".join(rng.choice("aen= ") for _ in range(40)) for _ in range(150)]
    for text in texts:
        ids = tokenizer.encode(text, add_special=False)
        assert ids == ids_by_rank(text), text
        assert tokenizer.decode(ids) == text


def test_special_tokens_come_first(model: Path) -> None:
    tokenizer = read(model, document())
    assert (tokenizer.begin_token, tokenizer.adds_begin_token) == (1, True)
    assert tokenizer.end_tokens == {2}
    assert tokenizer.special_tokens["eos_token"] == "</s>"
    assert tokenizer.encode("the")[0] == 1
    assert tokenizer.encode("[INST]the</s>", add_special=False) == [3, *ids_by_rank("the"), 2]
    assert tokenizer.decode([3, *ids_by_rank("the"), 2]) == "the"
    assert tokenizer.size == SPECIAL + 256 + LEARNT - 10


def test_special_tokens_that_are_listed(model: Path) -> None:
    listed = [
        {"rank": rank, "token_str": text, "is_control": text != "[THINK]"}
        for rank, text in enumerate(("<unk>", "<s>", "</s>", "[THINK]"))
    ]
    tokenizer = read(model, document(special_tokens=listed[::-1]))
    assert tokenizer.encode("[THINK]<SPECIAL_7></s>", add_special=False) == [3, 7, 2]
    assert tokenizer.decode([3, 7, 2]) == "[THINK]"  # not a control token: it is shown


def test_the_settings_beside_it_count(model: Path) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "[INST]", "add_bos_token": False}))
    tokenizer = read(model, document())
    assert 3 in tokenizer.end_tokens
    assert not tokenizer.adds_begin_token


def test_a_tokenizer_json_goes_before_it(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    expected = read_tokenizer(Directory(folder)).encode("the of")
    assert read(folder, document()).encode("the of") == expected


def entry(number: int, **changed: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tekken: tekken["vocab"][number].update(changed)


def config(**changed: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tekken: tekken["config"].update(changed)


def special(*tokens: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tekken: tekken.update(special_tokens=list(tokens))


LIES: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (config(pattern=None), "config.pattern: must be a pattern"),
    (config(pattern="("), "pre_tokenizer|pattern"),
    (config(default_vocab_size=True), "config.default_vocab_size: is True, must be from 1"),
    (config(default_vocab_size=9), "config.default_vocab_size: leaves 1 tokens"),
    (config(default_vocab_size=10**5), "leaves 99992 tokens beside the special ones, and vocab must list them"),
    (config(default_num_special_tokens=0), "config.default_num_special_tokens: is 0"),
    (entry(5, rank=6), r"vocab\[5\].rank: must be the place"),
    (entry(5, token_bytes="?"), r"vocab\[5\].token_bytes: must be 1 to 512 bytes in base 64"),
    (entry(5, token_bytes=None), r"vocab\[5\].token_bytes: must be"),
    (entry(5, token_bytes=""), r"vocab\[5\].token_bytes: must be"),
    (entry(5, token_bytes="AAE="), "vocab: must begin with the 256 bytes"),
    (entry(310, token_bytes="YQ=="), r"vocab\[310\].token_bytes: is that of another token"),
    (special({"rank": 1, "token_str": "x"}), r"special_tokens\[0\].rank: must be a number of its own"),
    (special({"rank": 0, "token_str": ""}), r"special_tokens\[0\].token_str: must be text"),
    (special({"rank": 0, "token_str": "<SPECIAL_3>"}), "special_tokens: the same text appears twice"),
    (special(*[{"rank": 0, "token_str": "x"}] * 9), "special_tokens: must be a list of at most 8"),
    (lambda tekken: tekken.pop("config"), "config: must be an object"),
]


@pytest.mark.parametrize(("lie", "problem"), LIES)
def test_a_file_that_lies_is_refused(
    lie: Callable[[dict[str, Any]], None], problem: str, model: Path, tmp_path: Path
) -> None:
    tekken = json.loads(json.dumps(document()))
    lie(tekken)
    with pytest.raises(FormatError, match=f"tekken.json: .*({problem})"):
        read(model, tekken)


def test_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"tekken.json: JSON: is not JSON"):
        tokenizer_document(b"{", tmp_path / "tekken.json")
