from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import Certificate, Settings, Subject, certify
from honed.evaluate.metrics.tokens import TokenScores
from honed.evaluate.store import CertificateStore, key, write_json


@pytest.fixture
def certificate() -> Certificate:
    values = np.random.default_rng(1).exponential(1.0, (2, 64))
    scores = TokenScores(values, values + 0.1, values / 10, values > 0.1)
    settings = Settings("text", "00" * 32, 2, 64, Resampling(resamples=50), "portable", "0.0")
    return certify(Subject("a", "auto", "auto", "1"), Subject("b", "float32", "float32", "2"), scores, settings)


def test_kept_certificate_is_found_under_its_key_only(tmp_path: Path, certificate: Certificate) -> None:
    store = CertificateStore(tmp_path / "not" / "there" / "yet")
    assert store.find("k") is None
    store.keep("k", certificate)
    assert store.find("k") == certificate
    assert store.find("other") is None


def test_key_follows_every_part() -> None:
    parts = {"candidate": "abc", "windows": [1, 2], "isa": "avx2"}
    assert key(parts) == key(dict(reversed(parts.items())))
    for name, value in (("candidate", "abd"), ("windows", [1, 3]), ("isa", None)):
        assert key({**parts, name: value}) != key(parts)


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"settings": 3}', "\udc80"])
def test_damaged_entry_counts_as_absent(tmp_path: Path, certificate: Certificate, damage: str) -> None:
    store = CertificateStore(tmp_path)
    store.keep("k", certificate)
    (tmp_path / "k.json").write_bytes(damage.encode(errors="surrogateescape"))
    assert store.find("k") is None
    store.keep("k", certificate)
    assert store.find("k") == certificate


def test_cache_that_cannot_be_written_is_no_error(tmp_path: Path, certificate: Certificate) -> None:
    (tmp_path / "file").write_text("in the way")
    CertificateStore(tmp_path / "file").keep("k", certificate)
    assert (tmp_path / "file").read_text() == "in the way"


def test_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
