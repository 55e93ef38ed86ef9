"""Times are measured once, kept for one machine, and measured anew wherever what was kept cannot be believed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from honed.backends import native_costs
from honed.backends.native_costs import Costs, Machine, Shape, open_costs
from honed.encodings.dense import DenseFormat
from honed.encodings.descriptor import Format
from honed.encodings.scheme import Int4Scheme, Int8Scheme
from honed.errors import ParameterError

MACHINE = Machine("a processor", ("avx2",), "avx2", 2, "1.0", "0123")
INT8 = Int8Scheme(32, 32)


class Counted:
    """A measurement that depends on what is asked and nothing else, and counts how often it is made."""

    def __init__(self) -> None:
        self.asked: list[tuple[Shape, str, int]] = []

    def __call__(self, shape: Shape, form: Format, rows: int) -> float:
        self.asked.append((shape, str(form), rows))
        return shape[0] * shape[1] * (rows + 1) * (2.0 if form.quantizes else 4.0)


def test_a_time_is_measured_once_and_kept(tmp_path: Path) -> None:
    measure = Counted()
    costs = Costs(MACHINE, measure, tmp_path / "costs")
    assert costs.of((8, 4), INT8, 1) == costs.of((8, 4), INT8, 1) == 128.0
    assert Costs(MACHINE, measure, tmp_path / "costs").of((8, 4), INT8, 1) == 128.0
    assert len(measure.asked) == 1


def test_shape_form_and_rows_have_times_of_their_own(tmp_path: Path) -> None:
    measure = Counted()
    costs = Costs(MACHINE, measure, tmp_path / "costs")
    forms: list[Format] = [INT8, Int8Scheme(32, None), Int4Scheme(32, "symmetric", 32), DenseFormat("bfloat16")]
    asked = [(shape, form, rows) for shape in ((8, 4), (4, 8)) for form in forms for rows in (1, 16)]
    found = [costs.of(*each) for each in asked]
    assert found == [costs.of(*each) for each in asked]
    assert len(measure.asked) == len(asked) == len(set(measure.asked))
    assert [seconds for _, seconds in costs] == [seconds for _, seconds in Costs(MACHINE, measure, tmp_path / "costs")]


@pytest.mark.parametrize(
    "other",
    [
        {"cpu": "another"},
        {"features": ("avx2", "avx512f")},
        {"isa": "portable"},
        {"threads": 1},
        {"version": "1.1"},
        {"engine": "4567"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_machine_has_other_times(tmp_path: Path, other: dict[str, object]) -> None:
    measure = Counted()
    Costs(MACHINE, measure, tmp_path / "costs").of((8, 4), INT8, 1)
    elsewhere = replace(MACHINE, **other)  # type: ignore[arg-type]
    Costs(elsewhere, measure, tmp_path / "costs").of((8, 4), INT8, 1)
    assert len(measure.asked) == 2
    # Not even where its file was renamed.
    (tmp_path / "costs" / MACHINE.name).replace(tmp_path / "costs" / elsewhere.name)
    Costs(elsewhere, measure, tmp_path / "costs").of((8, 4), INT8, 1)
    assert len(measure.asked) == 3


def _damaged(kept: bytes) -> list[bytes]:
    found = json.loads(kept)
    wrong = [{"x": 0.0}, {"x": -1.0}, {"x": float("nan")}, {"x": "1"}, {"x": None}, [1.0], None]
    return [
        b"",
        kept[: len(kept) // 2],
        b"[" * 100_000,
        b"[]",
        b"\xff\xfe",
        *(json.dumps({**found, "seconds": seconds}).encode() for seconds in wrong),
        json.dumps({**found, "layout": 0}).encode(),
    ]


def test_a_damaged_file_is_measured_anew(tmp_path: Path) -> None:
    directory = tmp_path / "costs"
    Costs(MACHINE, Counted(), directory).of((8, 4), INT8, 1)
    path = directory / MACHINE.name
    kept = path.read_bytes()
    for damaged in _damaged(kept):
        path.write_bytes(damaged)
        measure = Counted()
        assert Costs(MACHINE, measure, directory).of((8, 4), INT8, 1) == 128.0
        assert len(measure.asked) == 1
        assert path.read_bytes() == kept


def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    directory = tmp_path / "costs"
    Costs(MACHINE, Counted(), directory).of((8, 4), INT8, 1)
    (directory / MACHINE.name).chmod(0o666)
    measure = Counted()
    Costs(MACHINE, measure, directory).of((8, 4), INT8, 1)
    assert len(measure.asked) == 1


def test_writers_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    directory = tmp_path / "costs"

    def fill(number: int) -> None:
        costs = Costs(MACHINE, Counted(), directory)
        for width in range(1, 9):
            costs.of((number + 1, width), INT8, 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(8)))
    measure = Counted()
    costs = Costs(MACHINE, measure, directory)
    known = dict(costs)
    assert known
    found = [costs.of((out, width), INT8, 1) for out in range(1, 9) for width in range(1, 9)]
    assert found == [out * width * 4.0 for out in range(1, 9) for width in range(1, 9)]
    assert len(measure.asked) + len(known) == 64
    assert [path.name for path in directory.iterdir()] == [MACHINE.name]


def test_what_another_process_found_meanwhile_stays(tmp_path: Path) -> None:
    first, second = (Costs(MACHINE, Counted(), tmp_path / "costs") for _ in range(2))
    first.of((8, 4), INT8, 1)
    second.of((8, 4), INT8, 16)
    first.of((4, 8), INT8, 1)
    assert len(dict(Costs(MACHINE, Counted(), tmp_path / "costs"))) == 3


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (None, tmp_path / "file" / "costs"):
        measure = Counted()
        costs = Costs(MACHINE, measure, directory)
        assert costs.of((8, 4), INT8, 1) == costs.of((8, 4), INT8, 1) == 128.0
        assert len(measure.asked) == 1


@pytest.mark.parametrize(
    ("shape", "rows", "field"), [((0, 4), 1, "out features"), ((4, 0), 1, "in features"), ((4, 4), 0, "rows")]
)
def test_sizes_that_no_layer_has_are_refused(shape: Shape, rows: int, field: str) -> None:
    with pytest.raises(ParameterError, match=field):
        Costs(MACHINE, Counted(), None).of(shape, INT8, rows)


def test_this_machine_is_measured_by_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_costs, "cache_directory", lambda: tmp_path)
    costs = open_costs(threads=1, isa="portable")
    assert costs.machine == Machine.here(1, "portable")
    assert 0 < costs.of((64, 32), INT8, 100) < 1
    assert dict(costs) == dict(open_costs(threads=1, isa="portable")) != dict(open_costs(threads=1, isa="avx2"))
    assert list((tmp_path / "costs").iterdir())
