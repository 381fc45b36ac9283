# demo and test are the two commands a newcomer needs; the rest is for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format clean venv

demo: $(STAMP) ## the real daemon on the bundled clip, with a broker of its own
	@$(BIN)/edgepose demo

test: $(STAMP) ## everything, with a real broker
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || sh tests/install-mosquitto.sh
	$(BIN)/pytest

check: $(STAMP) ## format, lint, types, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow and not hardware"

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

venv: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev -e '.[broker,eval]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
