"""The dispatch of sub-commands, and how failures reach the user."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from app import cli
from engine.types import LumbricalError
from engine.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
Install = Callable[[Callable[[argparse.Namespace], int]], None]


@pytest.fixture
def install_probe(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Adds a sub-command `probe --level N` that does what the test gives it."""

    def install(run: Callable[[argparse.Namespace], int]) -> None:
        module = types.ModuleType("fake_probe_command")
        module.add_arguments = lambda parser: parser.add_argument("--level", type=int, default=0)  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command(module.__name__, "a test"))

    return install


def _raiser(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from app.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "third_party = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print('IMPORTED', sorted(third_party - {'__main__', 'app', 'engine'}))\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    help_text, _, imported = done.stdout.partition("IMPORTED")
    assert imported.strip() == "[]"
    for name in ("run", "track", "record", "replay", "info", "recover", "evaluate", "train", "bench", "doctor"):
        assert f"\n    {name} " in help_text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"Lumbrical {VERSION}\n"


def test_unknown_command_is_refused_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["evalute"])
    assert end.value.code == 2
    assert "'evaluate'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["run"]),
        (["--exit-after", "10"], ["run", "--exit-after", "10"]),
        (["--help"], ["--help"]),
        (["track", "take.mcap"], ["track", "take.mcap"]),
    ],
)
def test_options_alone_belong_to_the_app(given: list[str], expected: list[str]) -> None:
    assert cli.with_default_command(given) == expected


def test_arguments_and_status_pass_through(install_probe: Install) -> None:
    install_probe(lambda args: args.level)
    assert cli.main(["probe", "--level", "7"]) == 7


def test_user_error_is_one_line_and_exit_2(install_probe: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install_probe(_raiser(LumbricalError("no such folder:\n  try another")))
    assert cli.main(["probe"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "lumbrical: error: no such folder: try another\n"
    assert captured.out == ""


def test_wrong_options_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "configs/encoder.toml"]
    for arguments in (
        ["--bogus"],
        ["bench"],
        ["track"],
        ["run", "--exit-after", "soon"],
        ["run", "--fps", "4"],
        ["run", "--fps", "90.5"],
        [*train, "--minutes", "nan"],
        [*train, "--threads", "-1"],
        [*train, "--render-workers", "-1"],
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 2
        told = capsys.readouterr().err
        assert told.startswith("lumbrical: error: ") and told.count("\n") == 1 and "--help" in told


@pytest.mark.parametrize(
    ("arguments", "help_of"),
    [
        (["--bogus"], "main.py run"),
        (["track", "take.mkv", "--bogus"], "main.py track"),
        (["evaluate", "--smoothing", "7"], "main.py evaluate"),
        (["evaluate"], "main.py evaluate"),
        (["bench"], "main.py bench"),
        (["bench", "live", "--bogus", "3"], "main.py bench live"),
        (["nothing"], "main.py"),
    ],
)
def test_a_wrong_command_line_points_to_the_help_of_its_own_command(
    arguments: list[str], help_of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = cli.main(arguments)
    except SystemExit as end:  # argparse's own way out
        status = int(end.code or 0)
    assert status == 2
    assert capsys.readouterr().err.endswith(f"; see {help_of} --help\n")


def test_what_the_system_refuses_is_told_in_one_line(
    install_probe: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install_probe(_raiser(PermissionError(13, "Permission denied", "/far/away")))
    assert cli.main(["probe"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("lumbrical: error: /far/away: Permission denied") and told.count("\n") == 1


def test_a_library_that_does_not_load_is_named(install_probe: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install_probe(_raiser(ImportError("libEGL.so.1: cannot open shared object file", name="PySide6.QtGui")))
    assert cli.main(["probe"]) == 2
    told = capsys.readouterr().err
    assert "PySide6" in told and "libEGL.so.1" in told and "doctor" in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_one_line() -> None:
    code = (
        "import sys, types\n"
        "from app import cli\n"
        "module = types.ModuleType('drop'); sys.modules['drop'] = module\n"
        "module.add_arguments = lambda parser: None\n"
        "module.run = lambda args: print('a line that waits in the buffer') or 0\n"
        "cli.COMMANDS['drop'] = cli.Command('drop', 'prints little')\n"
        "sys.exit(cli.main(['drop']))\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left" in done.stderr and done.stderr.count("\n") == 1


def test_interrupt_is_quiet(install_probe: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install_probe(_raiser(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == ""


def test_missing_package_is_named(install_probe: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install_probe(_raiser(ModuleNotFoundError("No module named 'cv2.aruco'", name="cv2.aruco")))
    assert cli.main(["probe"]) == 2
    assert "package cv2" in capsys.readouterr().err


def test_missing_module_of_our_own_is_a_bug_that_shows(install_probe: Install) -> None:
    install_probe(_raiser(ModuleNotFoundError("No module named 'engine.gone'", name="engine.gone")))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["probe"])


def test_reader_that_leaves_early_gets_no_traceback() -> None:
    code = (
        "import sys, types\n"
        "from app import cli\n"
        "module = types.ModuleType('flood'); sys.modules['flood'] = module\n"
        "module.add_arguments = lambda parser: None\n"
        "module.run = lambda args: [print('x' * 4096) for _ in range(1000)] and 0\n"
        "cli.COMMANDS['flood'] = cli.Command('flood', 'prints much')\n"
        "sys.exit(cli.main(['flood']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == 0
