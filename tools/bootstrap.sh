#!/usr/bin/env bash
# tools/bootstrap.sh VENV run|dev|clean
#
# Makes the virtual environment VENV ready for the app (run) or for its tests and checks too (dev), or removes it (clean):
# missing system libraries through apt, the pinned Python packages, then what is compiled for the processor. A stamp
# inside VENV makes the second time quick.
# PYTHON names the interpreter to use; LUMBRICAL_SKIP_SYSTEM=1 leaves system libraries alone.
set -euo pipefail

venv=${1:?usage: tools/bootstrap.sh VENV run|dev|clean}
purpose=${2:?usage: tools/bootstrap.sh VENV run|dev|clean}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'lumbrical: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

if [ "$purpose" = clean ]; then
    [ -e "$venv" ] || exit 0
    [ -f "$venv/pyvenv.cfg" ] || fail "$venv is not a virtual environment; not removed"
    exec rm -rf -- "$venv"
fi

case $purpose in
    run) locks=(requirements.lock) ;;
    dev) locks=(requirements.lock requirements-dev.lock) ;;
    *) fail "unknown purpose '$purpose': run, dev or clean" ;;
esac

# The path is part of it because a moved environment's scripts point to the old place.
wanted=$({ cat requirements*.lock tools/bootstrap.sh app/system_packages.py; realpath -m -- "$venv"; } | sha256sum)
stamp=$venv/.lumbrical-$purpose
if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(<"$stamp")" = "$wanted" ]; then
    exit 0
fi

if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A -- "$venv")" ]; then
    fail "$venv exists and is not a virtual environment; choose another directory with VENV=DIR"
fi

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or 3.12"
        echo "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3.11 python3 python3.12; do
        if is_supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or 3.12 is needed: apt-get install python3.11 python3.11-venv, or name one with PYTHON=FILE"
}

apt_install() {
    local as_root=()
    command -v apt-get >/dev/null ||
        fail "missing system packages (by their Debian names): $*; install them, or set LUMBRICAL_SKIP_SYSTEM=1"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; } ||
            fail "missing system packages, and no right to install them; as root: apt-get install $*"
        as_root=(sudo)
    fi
    say "installing system packages: $*"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    local install=("${apt[@]}" install -y --no-install-recommends "$@")
    # On a fresh machine the package lists are empty or stale, so a first failure asks for new ones.
    if ! "${install[@]}" >/dev/null 2>&1; then
        "${apt[@]}" update >/dev/null || say "apt-get update reported errors; trying to install all the same"
        "${install[@]}" >/dev/null || fail "apt could not install: $*"
    fi
}

python=$(find_python)
[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "the pinned packages are for Linux on x86-64, not $(uname -sm); see the dependencies in pyproject.toml"

if [ "${LUMBRICAL_SKIP_SYSTEM:-}" != 1 ]; then
    read -ra packages <<<"$("$python" app/system_packages.py "$purpose")"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        packages+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
    fi
    [ "${#packages[@]}" -eq 0 ] || apt_install "${packages[@]}"
fi

rm -f -- "$stamp"
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making the virtual environment $venv"
    "$python" -m venv --clear -- "$venv"
fi

say "installing the pinned Python packages (once, some 2.5 GB on disk)"
quiet=()
[ -t 1 ] || quiet=(--quiet)
"$venv/bin/python" -m pip install "${quiet[@]}" --disable-pip-version-check --no-input "${locks[@]/#/--requirement=}" ||
    fail "the Python packages could not be installed (see above); check the network and the disk, then run make again"
"$venv/bin/python" -m app.compiling || say "what tracking needs is compiled at the first start instead"
printf '%s\n' "$wanted" >"$stamp"
# What the tests need includes what the app needs.
[ "$purpose" = run ] || cp -- "$stamp" "$venv/.lumbrical-run"
say "ready"
