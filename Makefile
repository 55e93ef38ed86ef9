# The verbs of the project. Each makes what it needs: nothing has to be installed first but Python 3.11+ and a C++20
# compiler. Two environments: .venv runs the product (no torch), .venv-dev adds what the tests compare against.
PYTHON ?= python3
VENV := .venv
DEV := .venv-dev
SOURCES := $(shell find native -name '*.cpp' -o -name '*.h') CMakeLists.txt pyproject.toml

.PHONY: demo test test-fast lint native native-tests test-neon test-avx512 bench-kernels clean

demo: $(VENV)/installed
	$(VENV)/bin/python -m honed.cli.main demo --out out/demo

# An ordinary isolated install; again whenever the sources of the extension change. The Python files are read from
# the checkout (editable), so a changed .py needs nothing.
$(VENV)/installed: $(SOURCES)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	$(VENV)/bin/python -m compileall -q src/honed
	touch $@

$(DEV)/installed: $(SOURCES) constraints.txt
	test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# Everything: style, types, native tests, the suite. Fast ones first.
test: lint native-tests
	$(DEV)/bin/python -m pytest

# Without the tests that take over five seconds each.
test-fast: $(DEV)/installed
	$(DEV)/bin/python -m pytest -m 'not slow and not real_model'

lint: $(DEV)/installed
	$(DEV)/bin/ruff check src tests
	$(DEV)/bin/ruff format --check src tests
	$(DEV)/bin/mypy

# The C++ tests and benchmarks as plain programs, without Python.
build/native/built: $(SOURCES) $(DEV)/installed
	$(DEV)/bin/cmake -S . -B build/native -DCMAKE_BUILD_TYPE=Release -DHONED_BUILD_TESTS=ON -DHONED_BINDINGS=OFF -DHONED_WERROR=ON
	$(DEV)/bin/cmake --build build/native --parallel 2
	touch $@

native-tests: build/native/built
	$(DEV)/bin/ctest --test-dir build/native --output-on-failure

bench-kernels: build/native/built
	build/native/kernels_bench
	build/native/attention_bench

# Emulated: needs a cross compiler and qemu-user (neon), or SIMDe (avx512); each script says what is missing.
test-neon:
	scripts/test-neon.sh
test-avx512:
	scripts/test-avx512-emulated.sh

clean:
	rm -rf build out $(VENV) $(DEV)
