from __future__ import annotations

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from honed.errors import UnsupportedError
from honed.evaluate import sandbox
from honed.evaluate.sandbox import Limits, Outcome, run_program, run_programs

QUICK = Limits(seconds=5, network=True)


def test_a_program_passes_or_fails_by_how_it_ends() -> None:
    good, wrong, silent = run_programs(["assert 1 + 1 == 2", "assert 1 + 1 == 3", "raise SystemExit(4)"], QUICK)
    assert good.passed and good.problem == ""
    assert not wrong.passed and "AssertionError" in wrong.problem
    assert not silent.passed and "87" in silent.problem


def test_time_memory_and_files_have_bounds(tmp_path: Path) -> None:
    assert run_program("while True: pass", Limits(seconds=0.5, network=True)).problem == "time"
    assert "MemoryError" in run_program("x = bytearray(3 << 30)", QUICK).problem
    big = "with open('x', 'wb') as file:\n    file.write(bytes(64 << 20))"
    assert not run_program(big, QUICK).passed


@pytest.fixture
def namespaces() -> None:
    try:
        run_program("", Limits(seconds=5))
    except UnsupportedError:
        pytest.skip("the kernel gives no namespaces here")


@pytest.mark.usefixtures("namespaces")
def test_what_it_starts_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    source = [
        "import os, subprocess",
        "child = subprocess.Popen(['sleep', '100.25'], start_new_session=True)",
        f"with open({str(mark)!r}, 'w') as file:",
        "    file.write(str(child.pid))",
        "os._exit(0)",
    ]
    assert run_program("\n".join(source), QUICK) == Outcome(True)
    # Its number may be that of a table of its own: what is looked for is what it does.
    until = time.monotonic() + 5
    while any(_command(path) == b"sleep\x00100.25\x00" for path in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.01)


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.usefixtures("namespaces")
def test_it_cannot_signal_what_it_did_not_start() -> None:
    outcome = run_program(f"import os\nos.kill({os.getpid()}, 0)", QUICK)
    assert not outcome.passed and "ProcessLookupError" in outcome.problem


def test_it_sees_no_environment_and_writes_into_its_own_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    source = [
        "import os",
        "assert 'SECRET_OF_MINE' not in os.environ",
        "with open('a', 'w') as file:",
        "    file.write('b')",
        "assert os.getcwd() == os.environ['HOME']",
    ]
    assert run_program("\n".join(source), QUICK) == Outcome(True)


def test_it_reaches_nobody_or_is_not_run() -> None:
    class Reply(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    reached: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Reply) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{server.server_port}/x', timeout=2)"
        try:
            outcome = run_program(source, Limits(seconds=5))
        except UnsupportedError as error:
            assert "cannot be cut here" in str(error)
        else:
            assert not outcome.passed
        assert not reached
        server.shutdown()


def test_without_a_way_to_cut_the_network_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    text = Path(sandbox.__file__).with_name("sandbox_worker.py").read_text()
    worker.write_text(text.replace("if not cut and", "if"))
    monkeypatch.setattr(sandbox, "_WORKER", worker)
    mark = tmp_path / "ran"
    with pytest.raises(UnsupportedError, match="network: true"):
        run_program(f"open({str(mark)!r}, 'w')", Limits(seconds=5))
    assert not mark.exists()
    assert run_program(f"open({str(mark)!r}, 'w')", QUICK).passed and mark.exists()
