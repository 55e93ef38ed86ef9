# The verbs of the project. Each makes what it needs: nothing has to be installed first but Python 3.11+ and a C++20
# compiler. Two environments: .venv runs the product (no torch), .venv-dev adds what the tests compare against.
PYTHON ?= python3
VENV := .venv
DEV := .venv-dev
SOURCES := $(shell find native -name '*.cpp' -o -name '*.h' -o -name '*.def') CMakeLists.txt pyproject.toml

.PHONY: demo test test-all test-fast lint commits native-tests sanitize sanitize-native sanitize-python fuzz wheel \
	wheel-aarch64 test-neon test-avx512 test-amx \
	soak families bench check-peers bench-minilm bench-smollm2 bench-workloads bench-llama-1.1b bench-granite-moe \
	bench-kernels bench-recipes clean

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

# Other people's clients of the server, which only `make test-all` tries.
$(DEV)/clients: $(DEV)/installed
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[dev,clients]'
	touch $@

# What must be green before a change lands: style, types, native tests, the suite. Fast ones first. In two processes, which
# share files of tests among them: half of the suite waits for processes that it starts.
PYTEST := $(DEV)/bin/python -m pytest --numprocesses 2 --dist loadfile
# What failed there is named, then tried again with nothing beside it: a process that a test waits for may have starved
# on a machine that others share. What fails again fails; a run that broke off before it had a result fails too.
ALONE := $(DEV)/bin/python -m pytest --last-failed --last-failed-no-failures none --maxfail 5
test: lint native-tests
	$(PYTEST) -m 'not thorough' || $(ALONE) -m 'not thorough'

# With the tests that cost much and find what others find too, and with sanitizers.
test-all: lint native-tests sanitize $(DEV)/clients
	$(PYTEST) || $(ALONE)

# Without the tests that take over five seconds each.
test-fast: $(DEV)/installed
	$(DEV)/bin/python -m pytest -m 'not slow and not thorough and not real_model'

lint: $(DEV)/installed
	$(DEV)/bin/ruff check src tests examples
	$(DEV)/bin/ruff format --check src tests examples
	$(DEV)/bin/mypy

# Messages of the commits that main does not have yet, or of others: make commits RANGE=HEAD~3..
RANGE ?= main..HEAD
commits:
	scripts/check-commits.sh $(RANGE)

# The C++ tests and benchmarks as plain programs, without Python.
build/native/built: $(SOURCES) $(DEV)/installed
	$(DEV)/bin/cmake -S . -B build/native -DCMAKE_BUILD_TYPE=Release -DHONED_BUILD_TESTS=ON -DHONED_BINDINGS=OFF -DHONED_WERROR=ON
	$(DEV)/bin/cmake --build build/native --parallel 2
	touch $@

native-tests: build/native/built
	$(DEV)/bin/ctest --test-dir build/native --output-on-failure

# AddressSanitizer and UndefinedBehaviorSanitizer: the native tests, then the tests of the bindings and the fuzz target
# of plans, in a Python whose extension is built with them.
build/sanitize/built: $(SOURCES) $(DEV)/installed
	$(DEV)/bin/cmake -S . -B build/sanitize -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DHONED_SANITIZE=ON \
		-DHONED_BUILD_TESTS=ON -DHONED_WERROR=OFF -DPython_EXECUTABLE=$(abspath $(DEV)/bin/python) \
		-Dnanobind_DIR=$$($(DEV)/bin/python -m nanobind --cmake_dir)
	$(DEV)/bin/cmake --build build/sanitize --parallel 2
	touch $@

sanitize: sanitize-native sanitize-python

# SIGBUS is left to the extension, whose tests ask who is told of one.
SANITIZERS := UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_sigbus=0
sanitize-native: build/sanitize/built
	$(SANITIZERS) build/sanitize/kernels_test
	$(SANITIZERS) build/sanitize/select_test
	$(SANITIZERS) build/sanitize/threads_test

# The C++ library comes second, or the sanitizer does not find what exceptions are thrown with.
sanitize-python: build/sanitize/built
	$(SANITIZERS) LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libstdc++.so.6)" \
		HONED_SANITIZED=$$(echo $(abspath build/sanitize)/_native*.so) PYTHONPATH=scripts/sanitized \
		$(DEV)/bin/python -m pytest -p no:cacheprovider tests/native tests/fuzz -k 'bindings or plan'

# Mutated inputs for as long as one likes; the seed is another one each time:
#   make fuzz SECONDS=600 TARGET=gguf      make fuzz SEED=7
SECONDS ?= 120
TARGET ?= all
fuzz: $(DEV)/installed
	$(DEV)/bin/python tests/fuzz/fuzz.py --target $(TARGET) --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Wheels for this processor, which install without a compiler on systems from 2014 on; then a trial of the one that fits
# $(PYTHON), in an environment without a compiler. PYTHONS: for which interpreters; see the script.
wheel:
	scripts/build-wheels.sh
	PYTHON=$(PYTHON) scripts/test-wheel.sh

# Cross compiled; that they import is tried under qemu-user, which must be installed.
wheel-aarch64:
	scripts/build-wheels.sh aarch64
	scripts/test-wheel-aarch64.sh

# The table of families in the README, each family tried on tiny random models of it: two minutes.
families: $(DEV)/installed
	$(DEV)/bin/python -m honed.cli.main families --markdown --into README.md

# Against other systems, which are installed on first use (llama.cpp compiles for ten minutes). Fewer, for instance:
#   make bench RUNS=3 PEERS=llama.cpp      make bench-smollm2 MINUTES=10
# MINUTES bounds each table: no further run is begun after so many, and all systems then have as many runs.
RUNS ?= 5
PEERS ?= llama.cpp,openvino,ctranslate2,onnxruntime,pytorch
MINUTES ?= 45
REPORTS := docs/benchmarks
SMOLLM2 := out/bench/smollm2-int8 out/bench/smollm2-int4
LLAMA := out/bench/llama-1.1b-int8 out/bench/llama-1.1b-int4
GRANITE_MOE := out/bench/granite-moe-1b-int8 out/bench/granite-moe-1b-int4
measure = $(VENV)/bin/python -m honed.cli.main bench $(1) --against $(PEERS) --runs $(RUNS) --minutes $(MINUTES) $(2) \
	--out $(REPORTS)/$(3).json --page $(REPORTS)/$(3).md --plot $(REPORTS)/$(3).svg

# A server under 64 streams of mixed requests for ten minutes, watched: memory, descriptors, threads, counters.
SOAK_MODEL ?= smollm2
SOAK_SECONDS ?= 600
soak: $(DEV)/installed
	mkdir -p out
	$(DEV)/bin/python studies/soak.py $(SOAK_MODEL) --seconds $(SOAK_SECONDS) --out out/soak.json

# What each built-in recipe does to the demo model, and llama.cpp's quantizer beside them: hours, goes on where it ended.
# RECIPES=int8,int4 for some of them, FILES=none without llama.cpp, AGAIN=--again for what was measured before.
FILES ?= all
bench-recipes: $(VENV)/installed
	mkdir -p $(REPORTS) out/bench-recipes
	$(VENV)/bin/python -m honed.cli.main bench-recipes smollm2 $(if $(RECIPES),--recipes $(RECIPES)) --files $(FILES) \
		--out $(REPORTS)/recipes.json --page $(REPORTS)/recipes.md --plot $(REPORTS)/recipes.svg --into README.md \
		--summary src/honed/api/measured_recipes.json $(AGAIN)

bench: bench-smollm2 bench-workloads bench-llama-1.1b

bench-smollm2: $(VENV)/installed $(SMOLLM2:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(SMOLLM2),--kv auto$(comma)int8 --prompt-tokens 512 --new-tokens 64 --batch 1$(comma)16,smollm2)

# The same model with short and long prompts and three sizes of a batch: about an hour a run with all systems.
bench-workloads: $(VENV)/installed $(SMOLLM2:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(SMOLLM2),--prompt-tokens 128$(comma)512$(comma)2048 --new-tokens 32 --batch 1$(comma)8$(comma)16,workloads)

# The adapters of other systems beside the benchmarks of their own systems, on the first of the tables above: nonzero where
# one is over 5 % behind. Half an hour, and ten minutes to compile llama.cpp's own benchmarks the first time.
CHECK := --check-peers --against $(PEERS) --runs $(RUNS) --markdown
check-peers: $(VENV)/installed
	mkdir -p out
	$(VENV)/bin/python -m honed.cli.main bench smollm2 $(CHECK) --prompt-tokens 512 --new-tokens 64 --batch 1$(comma)16 \
		--out out/check-peers.json --page out/check-peers.md

# A random model of a size whose weights no cache holds; shorter prompts, or most of an hour would be prefill.
bench-llama-1.1b: $(VENV)/installed $(LLAMA:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(LLAMA),--prompt-tokens 128 --new-tokens 32 --batch 1$(comma)16,llama-1.1b)

# A mixture of experts of the shape of Granite 3.0 1B-A400M, random too: llama.cpp alone runs it beside.
bench-granite-moe: PEERS := llama.cpp
bench-granite-moe: $(VENV)/installed $(GRANITE_MOE:=/honed.json)
	mkdir -p $(REPORTS)
	$(call measure,$(GRANITE_MOE),--prompt-tokens 512 --new-tokens 32 --batch 1$(comma)16,granite-moe-1b)

# An encoder: texts a second of a batch, of one length and ragged.
bench-minilm: $(VENV)/installed
	mkdir -p $(REPORTS)
	$(VENV)/bin/python -m honed.cli.main bench minilm --ragged --runs $(RUNS) --against onnxruntime$(comma)openvino$(comma)pytorch \
		--out $(REPORTS)/minilm.json --page $(REPORTS)/minilm.md

comma := ,
out/bench/smollm2-%/honed.json: | $(VENV)/installed
	$(VENV)/bin/python -m honed.cli.main compress smollm2 --recipe $* --output out/bench/smollm2-$*
out/bench/llama-1.1b-%/honed.json: | $(VENV)/installed
	$(VENV)/bin/python -m honed.cli.main compress synthetic:llama-1.1b --recipe $* --output out/bench/llama-1.1b-$*
out/bench/granite-moe-1b-%/honed.json: | $(VENV)/installed
	$(VENV)/bin/python -m honed.cli.main compress synthetic:granite-moe-1b --recipe $* --output out/bench/granite-moe-1b-$*

bench-kernels: build/native/built
	build/native/kernels_bench
	build/native/attention_bench
	build/native/rows_bench

# Emulated: needs a cross compiler and qemu-user (neon), or nothing but the compiler (avx512, amx).
test-neon:
	scripts/test-neon.sh
test-avx512:
	scripts/test-avx512-emulated.sh
test-amx:
	scripts/test-amx-emulated.sh

clean:
	rm -rf build dist out $(VENV) $(DEV)
