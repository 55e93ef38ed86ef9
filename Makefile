# The verbs of the project. Each makes what it needs: nothing has to be installed first but Python 3.11+ and a C++20
# compiler. Two environments: .venv runs the product (no torch), .venv-dev adds what the tests compare against.
PYTHON ?= python3
VENV := .venv
DEV := .venv-dev
SOURCES := $(shell find native -name '*.cpp' -o -name '*.h') CMakeLists.txt pyproject.toml

.PHONY: demo test test-fast lint native native-tests test-neon test-avx512 test-amx \
	bench bench-smollm2 bench-workloads bench-llama-1.1b bench-kernels clean

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

# Against other systems, which are installed on first use (llama.cpp compiles for ten minutes). Fewer, for instance:
#   make bench RUNS=3 PEERS=llama.cpp      make bench-smollm2 MINUTES=10
# MINUTES bounds each table: no further run is begun after so many, and all systems then have as many runs.
RUNS ?= 5
PEERS ?= llama.cpp,openvino,ctranslate2,onnxruntime,pytorch
MINUTES ?= 45
REPORTS := docs/benchmarks
SMOLLM2 := out/bench/smollm2-int8 out/bench/smollm2-int4
LLAMA := out/bench/llama-1.1b-int8 out/bench/llama-1.1b-int4
measure = $(VENV)/bin/python -m honed.cli.main bench $(1) --against $(PEERS) --runs $(RUNS) --minutes $(MINUTES) $(2) \
	--out $(REPORTS)/$(3).json --page $(REPORTS)/$(3).md --plot $(REPORTS)/$(3).svg

bench: bench-smollm2 bench-workloads bench-llama-1.1b

bench-smollm2: $(VENV)/installed $(SMOLLM2:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(SMOLLM2),--kv auto$(comma)int8 --prompt-tokens 512 --new-tokens 64 --batch 1$(comma)16,smollm2)

# The same model with short and long prompts and three sizes of a batch: half an hour a run with all systems.
bench-workloads: $(VENV)/installed $(SMOLLM2:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(SMOLLM2),--prompt-tokens 128$(comma)512$(comma)2048 --new-tokens 32 --batch 1$(comma)8$(comma)16,workloads)

# A random model of a size whose weights no cache holds; shorter prompts, or most of an hour would be prefill.
bench-llama-1.1b: $(VENV)/installed $(LLAMA:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(LLAMA),--prompt-tokens 128 --new-tokens 32 --batch 1$(comma)16,llama-1.1b)

comma := ,
out/bench/smollm2-%/honed.json: | $(VENV)/installed
	$(VENV)/bin/python -m honed.cli.main compress smollm2 --recipe $* --output out/bench/smollm2-$*
out/bench/llama-1.1b-%/honed.json: | $(VENV)/installed
	$(VENV)/bin/python -m honed.cli.main compress synthetic:llama-1.1b --recipe $* --output out/bench/llama-1.1b-$*

bench-kernels: build/native/built
	build/native/kernels_bench
	build/native/attention_bench

# Emulated: needs a cross compiler and qemu-user (neon), or nothing but the compiler (avx512, amx).
test-neon:
	scripts/test-neon.sh
test-avx512:
	scripts/test-avx512-emulated.sh
test-amx:
	scripts/test-amx-emulated.sh

clean:
	rm -rf build out $(VENV) $(DEV)
