#!/usr/bin/env bash
# Pins the newest releases that pyproject.toml allows, direct and transitive, into requirements.lock and
# requirements-dev.lock. Run it on Linux x86-64 with Python 3.11: what it installs there is what is pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
"${PYTHON:-python3.11}" -m venv "$scratch/venv"
python=$scratch/venv/bin/python

wanted() { # wanted FIELD: a list of requirements in pyproject.toml, one a line
    "$python" - "$1" <<'PYTHON'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*(project["dependencies"] if sys.argv[1] == "run" else project["optional-dependencies"]["dev"]), sep="\n")
PYTHON
}
# A build's local version (+cpu) is the registry's choice, not the project's.
frozen() { "$python" -m pip freeze | sed 's/+[^ ;]*$//' | LC_ALL=C sort -f; }

for purpose in run dev; do
    wanted "$purpose" >"$scratch/$purpose.txt"
    "$python" -m pip install --disable-pip-version-check --requirement "$scratch/$purpose.txt"
    frozen >"$scratch/$purpose.lock"
done

header="# Written by 'make lock' from pyproject.toml, for Linux x86-64 and Python 3.11; do not edit by hand."
{ echo "$header"; cat "$scratch/run.lock"; } >requirements.lock
{ echo "$header"; LC_ALL=C comm -13 <(LC_ALL=C sort "$scratch/run.lock") <(LC_ALL=C sort "$scratch/dev.lock") | LC_ALL=C sort -f; } \
    >requirements-dev.lock
