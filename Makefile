# Everything happens in .venv, which is made and filled by itself when something needs it.
# The first of these that is 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= runs/compare-digits

.DEFAULT_GOAL := help
.PHONY: help compare accuracy atlas bench memory watch claims pictures docs test test-slow check

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): PyTorch, LLVM and what the command and the tests need (about a minute, once) ..."
	@test -n "$(PYTHON)" || { echo "actfun needs Python 3.11 or newer; name it with make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "Ready."

compare: $(READY) ## the seven activations of the article on real data: a verdict and a report, in minutes
	@$(BIN)/actfun compare digits --out $(OUT)

# Of all activations it would take three hours.
EXHAUSTIVE ?= elu gelu gelu_tanh leaky_relu mish relu relu_squared sigmoid silu softplus tanh

accuracy: $(READY) ## write docs/accuracy.md, every float32, an hour; accuracy-all.md, of all a sample
	@$(BIN)/actfun accuracy --lib torch --out runs/accuracy-all --resume
	@cp runs/accuracy-all/accuracy.md docs/accuracy-all.md
	@$(BIN)/actfun accuracy $(EXHAUSTIVE) --exhaustive --lib torch --out runs/accuracy --resume
	@$(BIN)/actfun accuracy --compiled --out runs/accuracy-compiled --resume
	@{ cat runs/accuracy/accuracy.md; echo; cat runs/accuracy-compiled/compiled.md; } > docs/accuracy.md

atlas: $(READY) ## all activations on one page that works offline: runs/atlas/atlas.html
	@$(BIN)/actfun atlas --out runs/atlas

bench: $(READY) ## write docs/speed.md: training steps and every activation beside torch; about an hour
	@$(BIN)/actfun bench --out runs/bench --resume
	@cp runs/bench/speed.md runs/bench/speed.svg docs/

memory: $(READY) ## write docs/memory.md: what blocks and models keep for backward, beside torch; half an hour
	@$(BIN)/actfun bench --memory --out runs/memory --resume
	@cp runs/memory/memory.md runs/memory/memory.svg docs/

watch: $(READY) ## write docs/watch.md: what watching costs training; half an hour
	@$(BIN)/actfun bench --watch --out runs/watch --resume
	@cp runs/watch/watch.md docs/

claims: $(READY) ## write docs/claims.md: the article's claims, run, in about eleven minutes
	@$(BIN)/actfun claims --out runs/claims --resume
	@cp runs/claims/claims.md docs/claims.md

pictures: $(READY) ## draw the READMEs' pictures, docs/gelu.svg and docs/digits.svg, and the guide's, docs/exchange.svg
	@$(BIN)/actfun compare digits --out runs/pictures --resume
	@$(BIN)/python tools/draw_pictures.py runs/pictures

docs: $(READY) ## the documentation, as a site that works offline: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

test: $(READY) ## the tests, but for those that take long
	@$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(READY) ## the tests that take long: interrupted runs, caches of torch.compile, browsers, every float32
	@$(BIN)/python -m pytest -q -n 2 -m slow

check: $(READY) ## lint, format and types, as in the pre-commit hooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
