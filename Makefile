# Two commands: `make history` trains the lineage and leaves a report, `make test` runs every test.
# Both build .venv from the lock files first; after that nothing touches the network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: history play figures test test-kernels lint format lock bench-peers docs translations wheel clean help

help:
	@echo "make history   train the lineage on the bundled MNIST and write runs/history/report.html (ARGS=--full)"
	@echo "make play      open the live page: draw a digit, every network answers (ARGS=--no-open)"
	@echo "make figures   make each published figure of minutes again with another seed (ARGS='lenet-5 mlp'; goes on where it was)"
	@echo "make test      run every test"
	@echo "make test-kernels   the kernels' tests alone (ATEN_CPU_CAPABILITY=avx2: without AVX-512)"
	@echo "make lint      ruff, the type checker and the formatter's check"
	@echo "make format    let ruff rewrite the files"
	@echo "make bench-peers   build the peers' environments for benchmarks/ (Keras, scikit-learn)"
	@echo "make docs      build the documentation, English and Chinese, in docs/_build/html (warnings are errors)"
	@echo "make translations   bring new and changed messages into the Chinese catalogues in docs/locale"
	@echo "make wheel     build and check the wheel and the source archive in dist/"
	@echo "make lock      resolve the lock files anew"

history: $(VENV)/.runtime
	$(BIN)/threegen history $(ARGS)

play: $(VENV)/.runtime
	$(BIN)/threegen play $(ARGS)

figures: $(VENV)/.dev
	$(BIN)/python -m threegen.figures.again $(ARGS)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# The kernels' tests alone; `.ci/run` runs them a second time as a processor without AVX-512 does.
KERNEL_TESTS := tests/functional tests/machine tests/rules/test_sparse_contrastive_divergence.py \
	tests/rules/test_contrastive_fused.py tests/rules/test_dense_chain.py tests/gen3/test_time_blocks.py \
	tests/gen3/test_spiking_graph.py

test-kernels: $(VENV)/.dev
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal $(wildcard $(KERNEL_TESTS)) $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "threegen needs Python 3.11 or newer; make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	sh scripts/system_packages.sh
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	sh scripts/chromium.sh
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	@touch $@

bench-peers: $(VENV)/.runtime
	sh benchmarks/build_peers.sh $(PYTHON)

SPHINX := .venv-docs/bin/python -m sphinx -W --keep-going -q -b html

docs: .venv-docs/.docs
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(SPHINX) -d docs/_build/doctrees/en docs docs/_build/html
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(SPHINX) -d docs/_build/doctrees/zh_CN -D language=zh_CN docs docs/_build/html/zh_CN
	@echo "open docs/_build/html/index.html"

translations: .venv-docs/.docs
	MPLBACKEND=Agg .venv-docs/bin/python scripts/translations.py --update

.venv-docs/.docs: requirements-docs.lock pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --requirement requirements-docs.lock
	.venv-docs/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

wheel: $(VENV)/.dev
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

lock:
	sh scripts/lock.sh $(PYTHON)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
