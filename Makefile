# Everything runs in .venv, made on first use; python3 and make are all that must be there.
PYTHON ?= python3
CONSTRAINTS ?= -c constraints.txt
BIN := .venv/bin
READY := .venv/.ready
CODE := src probes tests examples docs

export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help venv demo test test-all bank scoreboard goldens lint format bench docs screenshots release clean
.DELETE_ON_ERROR:

help:
	@echo "make demo      check a healthy training program, then the same with one line broken"
	@echo "make test      the tests that take seconds        make test-all  all of them"
	@echo "make bank      every planted fault, as a table    make bench     docs/costs.md (hours)"
	@echo "make docs      the site, into build/site          make release   wheel and sdist, tried in a clean environment"
	@echo "make scoreboard  the bank and the healthy programs, counted in docs/scoreboard.md (hours)"
	@echo "make goldens   write the golden reports anew      make lint      ruff, mypy, import contracts"

venv: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "Installing traindoctor into .venv (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[dev]'
	@touch $@

# The healthy program must leave with 0 and the broken one with 1: any other exit is our own fault.
demo: $(READY)
	@$(BIN)/traindoctor check examples/quickstart/train.py:setup --report report.json
	@echo
	@echo "The same program with one line broken ('diff examples/quickstart/train*.py'):"
	@diff examples/quickstart/train.py examples/quickstart/train_broken.py | sed -n 's/^[<>]/    &/p'
	@echo
	@$(BIN)/traindoctor check examples/quickstart/train_broken.py:setup; status=$$?; \
	test $$status -eq 1 || { echo "expected exit status 1, not $$status" >&2; exit 1; }

test: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest -n 2

scoreboard: $(READY)
	$(BIN)/python -m tests.bank.scoreboard

bank: $(READY)
	$(BIN)/python -m tests.bank.run

goldens: $(READY)
	$(BIN)/python -m pytest -q tests/report --update-goldens
	$(BIN)/python -m tests.documents.goldens --update

lint: $(READY)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

screenshots: $(READY)
	$(BIN)/python docs/screenshots.py

# Wheel and sdist, and the wheel in an environment of its own; torch is that of .venv.
release: $(READY)
	rm -rf dist build/clean
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python -m venv build/clean
	build/clean/bin/python -m pip install --quiet --disable-pip-version-check --no-deps dist/*.whl
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$(build/clean/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/rest.pth"
	build/clean/bin/traindoctor --version
	build/clean/bin/traindoctor explain TD206 > /dev/null
	cd examples/quickstart && ../../build/clean/bin/traindoctor check train.py:setup -q

bench: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[dev,bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
	  dist build demo-out report.json traindoctor-report.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
