"""Ctrl-C while a command loads ends it quietly; afterwards it is an exception again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _interrupted(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_while_loading_it_ends_at_once_and_without_a_word() -> None:
    assert _interrupted(
        "import signal\nfrom app.interrupts import end_at_once\nend_at_once()\nsignal.raise_signal(signal.SIGINT)\n"
    ) == (-signal.SIGINT, "")


def test_a_command_can_put_its_things_in_order() -> None:
    status, words = _interrupted(
        "import signal, sys, types\n"
        "from app import cli\n"
        "from app.interrupts import end_at_once\n"
        "end_at_once()\n"
        "module = types.ModuleType('stop'); sys.modules['stop'] = module\n"
        "module.add_arguments = lambda parser: None\n"
        "module.run = lambda args: signal.raise_signal(signal.SIGINT)\n"
        "cli.COMMANDS['stop'] = cli.Command('stop', 'a test')\n"
        "sys.exit(cli.main(['stop']))\n"
    )
    assert (status, words) == (130, "")


def test_what_an_interrupt_leaves_is_told_in_one_line_but_not_of_being_told_to_end() -> None:
    begin = (
        "import signal, sys, types\n"
        "from app import cli\n"
        "from app.interrupts import interrupts_told, terminated_in_order\n"
        "def run(args):\n"
        "    with interrupts_told('nothing was written'), terminated_in_order(): signal.raise_signal(signal.%s)\n"
        "module = types.ModuleType('stop'); sys.modules['stop'] = module\n"
        "module.add_arguments, module.run = lambda parser: None, run\n"
        "cli.COMMANDS['stop'] = cli.Command('stop', 'a test')\n"
        "sys.exit(cli.main(['stop']))\n"
    )
    assert _interrupted(begin % "SIGINT") == (130, "lumbrical: interrupted: nothing was written\n")
    assert _interrupted(begin % "SIGTERM") == (143, "")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    assert _interrupted(
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from app.interrupts import end_at_once, raise_again\n"
        "end_at_once(); raise_again()\n"
        "signal.raise_signal(signal.SIGINT)\n"
    ) == (0, "")


def test_the_window_s_command_is_safe_before_it_loads_qt() -> None:
    status, words = _interrupted(
        "import signal, sys\n"
        "import app.commands.run as command\n"
        "from app import cli\n"
        "command.require_display = lambda: None\n"
        "class Loading:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'app.ui.application': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Loading())\n"
        "sys.exit(cli.main([]))\n"
    )
    assert (status, words) == (-signal.SIGINT, "")


def test_being_told_to_end_raises_once_and_only_inside() -> None:
    begin = "import signal\nfrom app.interrupts import Terminated, terminated_in_order\n"
    assert _interrupted(
        begin + "try:\n"
        "    with terminated_in_order():\n"
        "        try: signal.raise_signal(signal.SIGTERM)\n"
        "        finally: signal.raise_signal(signal.SIGTERM); print('in order')\n"
        "except Terminated: raise SystemExit(5)\n"
    ) == (5, "")
    after = "with terminated_in_order(): pass\nsignal.raise_signal(signal.SIGTERM)\n"
    assert _interrupted(begin + after) == (-signal.SIGTERM, "")
    ignored = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    inside = "with terminated_in_order(): signal.raise_signal(signal.SIGTERM)\n"
    assert _interrupted(begin + ignored + inside) == (0, "")


def test_a_closed_terminal_is_handled_like_being_told_to_end() -> None:
    begin = "import signal, sys\nfrom app.interrupts import Terminated, terminated_in_order\n"
    for first, status in (("SIGHUP", 129), ("SIGTERM", 143)):
        assert _interrupted(
            begin + "try:\n"
            "    with terminated_in_order():\n"
            f"        try: signal.raise_signal(signal.{first})\n"
            "        finally: signal.raise_signal(signal.SIGTERM); signal.raise_signal(signal.SIGHUP)\n"
            "except Terminated as error: sys.exit(error.exit_status)\n"
        ) == (status, "")
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    assert _interrupted(begin + ignored + "with terminated_in_order(): signal.raise_signal(signal.SIGHUP)\n") == (0, "")


def test_held_interrupts_wait_until_they_are_asked_for() -> None:
    begin = "import signal, sys\nfrom app.interrupts import HeldInterrupts, Terminated\n"
    for first, caught, status in (
        ("SIGINT", "KeyboardInterrupt", 0), ("SIGTERM", "Terminated", 143), ("SIGHUP", "Terminated", 129)
    ):  # fmt: skip
        assert _interrupted(
            begin + "with HeldInterrupts() as held:\n"
            "    held.hold()\n"
            "    held.raise_now()\n"
            f"    for name in ('{first}', 'SIGINT', 'SIGTERM', 'SIGHUP'): signal.raise_signal(getattr(signal, name))\n"
            "    try: held.raise_now()\n"
            f"    except {caught}: sys.exit(held.exit_status)\n"
            "    sys.exit(99)\n"
        ) == (status, "")
        assert _interrupted(
            begin + "from app.interrupts import terminated_in_order\n"
            "with terminated_in_order(), HeldInterrupts() as held:\n"
            f"    held.hold(); signal.raise_signal(signal.{first})\n"
            "if held.exit_status: signal.raise_signal(signal.SIGHUP)\n"
            "sys.exit(held.exit_status)\n"
        ) == (status, "")
    after = "with HeldInterrupts() as held: held.hold()\nsignal.raise_signal(signal.SIGTERM)\n"
    assert _interrupted(begin + after) == (-signal.SIGTERM, "")


def test_leaving_after_a_window_loses_nothing_and_waits_for_no_hung_thread() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import atexit, threading, time\n"
            "from app.interrupts import leave_window\n"
            "atexit.register(lambda: print('at exit', end=' '))\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "threading.Thread(target=lambda: (time.sleep(0.3), print('written', end=' '))).start()\n"
            "leave_window(7)\n",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "written at exit ", "")
