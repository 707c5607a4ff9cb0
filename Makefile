# make run    set everything up, then start the app: make run ARGS="--source recording.mkv"
# make test   set everything up, then run the tests under a virtual display
# make check  lint, format, types and import lines
# make setup  only set up;  make lock  pin the newest dependencies;  make clean  remove the environment
#
# VENV=DIR puts the environment elsewhere, PYTHON=FILE picks the interpreter, ARGS / TESTS are handed on.

VENV ?= .venv
PYTHON ?=
ARGS ?=
TESTS ?=

BIN = $(VENV)/bin
BOOTSTRAP = PYTHON="$(PYTHON)" tools/bootstrap.sh "$(VENV)"

.PHONY: run test check setup lock clean

run:
	@$(BOOTSTRAP) run
	@"$(BIN)/python" main.py $(ARGS)

test:
	@$(BOOTSTRAP) dev
	@xvfb-run -a -s "-screen 0 1600x1000x24" "$(BIN)/python" -m pytest $(TESTS)

check:
	@$(BOOTSTRAP) dev
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"

setup:
	@$(BOOTSTRAP) dev

lock:
	@PYTHON="$(PYTHON)" tools/lock.sh

clean:
	@tools/bootstrap.sh "$(VENV)" clean
