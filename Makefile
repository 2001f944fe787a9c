# Everything a newcomer needs: `make dataset` and `make test`. The environment is kept in .venv/.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := fhirtasks solvers graders train tests

.PHONY: dataset test lint proof bench clean

dataset: .venv/core.stamp
	$(BIN)/fhirtasks build --out dataset
	$(BIN)/fhirtasks verify dataset

test: .venv/test.stamp lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not proof"

lint: .venv/test.stamp
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

# The long sweeps: kills at random points, large property runs, benchmarks. They print their figures.
proof: .venv/test.stamp
	$(BIN)/python -m pytest -m proof -s
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "hypothesis and not proof" --hypothesis-profile=others
	$(MAKE) bench

bench: .venv/test.stamp
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

.venv/core.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# torch is pinned before what needs it: a looser pin takes a build with gigabytes of CUDA libraries.
.venv/test.stamp: .venv/core.stamp
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[test,train]"
	touch $@

clean:
	rm -rf .venv dataset dataset.journal build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
