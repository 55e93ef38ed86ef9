from __future__ import annotations

import errno

import pytest

from honed.cli.faults import explain, is_memory
from honed.errors import FormatError, HonedError, MachineError, Terminated


def of(number: int, name: str | None = None) -> OSError:
    return OSError(number, "reason", name) if name else OSError(number, "reason")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def within(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (HonedError("what"), 2, "what"),
        (MachineError("what"), 1, "what"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(15), 143, "SIGTERM"),
        (Terminated(1), 129, "SIGHUP"),
        (caused(ImportError("numpy.core failed"), KeyboardInterrupt()), 130, "interrupted"),
        (within(HonedError("torch is missing"), within(ImportError("x"), Terminated(15))), 143, "SIGTERM"),
        (MemoryError(), 1, "not enough memory"),
        (of(errno.ENOMEM), 1, "not enough memory"),
        (of(errno.ENOMEM, "model"), 1, "not enough memory"),
        (RuntimeError("can't start new thread"), 1, "not enough memory"),
        (RuntimeError("std::bad_alloc"), 1, "not enough memory"),
        (caused(HonedError("cannot be read"), of(errno.ENOMEM)), 1, "not enough memory"),
        (FormatError("out of memory", "field", "bad_alloc"), 2, "out of memory: field"),
        (RecursionError(), 2, "nested too deeply"),
        (of(errno.ENOSPC, "out/file"), 1, "out/file: reason"),
        (of(errno.ENOENT, "out/\\x1b[31m"), 2, "reason"),
        (of(errno.EACCES, "x" * 9999), 2, "reason"),
        (of(errno.EIO), 1, "refused to read or write"),
        (of(errno.EMFILE, "file"), 1, "file: reason"),
        (BrokenPipeError(errno.EPIPE, "reason"), 1, "process or a connection"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), 2, "ascii"),
        (ImportError("No module named 'numpy'"), 1, "install honed again"),
        (RuntimeError("Could not determine home directory."), 2, "XDG_CACHE_HOME"),
        (KeyError("field\x1b[31m"), 1, "fault of honed"),
        (ValueError("x" * 10**6), 1, "fault of honed"),
        (AssertionError(), 1, "no message"),
    ],
    ids=repr,
)
def test_each_kind_has_its_sentence_and_code(error: BaseException, code: int, says: str) -> None:
    told, found = explain(error)
    assert told is not None
    assert found == code
    assert says in told
    assert len(told) < 500
    assert told.isprintable()


def test_our_own_texts_that_speak_of_memory_are_left_alone() -> None:
    assert not is_memory(HonedError("prompt = 'out of memory'"))
    assert explain(MachineError("12 GB are needed; out of memory"))[0] == "12 GB are needed; out of memory"


def test_a_fault_of_ours_names_the_place_and_no_path() -> None:
    try:
        raise KeyError("x")
    except KeyError as error:
        told, _ = explain(error)
    assert told is not None
    assert f"({__name__}:" in told
    assert "/" not in told
