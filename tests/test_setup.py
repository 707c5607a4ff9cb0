"""The set-up's own promises: everything is pinned, and it keeps its hands off directories that are not its own."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from engine.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _pins(name: str) -> set[str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line), f"not an exact, portable pin: {line}"
    return {_canonical(line.partition("==")[0]) for line in lines}


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>; ]", requirement)[0]).lower()


def test_every_dependency_is_pinned() -> None:
    linux = [entry for entry in PROJECT["dependencies"] if "sys_platform != 'linux'" not in entry]
    assert {_canonical(entry) for entry in linux} <= _pins("requirements.lock")
    assert {_canonical(entry) for entry in PROJECT["optional-dependencies"]["dev"]} <= _pins("requirements-dev.lock")


def test_both_places_state_the_same_version() -> None:
    assert PROJECT["version"] == VERSION


@pytest.mark.parametrize("purpose", ["run", "dev", "clean"])
def test_bootstrap_leaves_a_directory_that_is_no_environment_alone(tmp_path: Path, purpose: str) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    command = ["tools/bootstrap.sh", str(tmp_path), purpose]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PATH": _path()}, check=False)
    assert done.returncode == 1
    assert "not a virtual environment" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_bootstrap_refuses_another_python(tmp_path: Path) -> None:
    command = ["tools/bootstrap.sh", str(tmp_path / "venv"), "run"]
    environment = {"PATH": _path(), "PYTHON": "/bin/false"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr == "lumbrical: PYTHON=/bin/false is not a Python 3.11 or 3.12\n"
    assert not (tmp_path / "venv").exists()


def _path() -> str:
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
