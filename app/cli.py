"""The command line: finds the sub-command, imports its module, runs it, and turns failures into one line.

A sub-command's module is imported only when it is chosen, so that `--help` is instant and `train` trains where
only torch and numpy are installed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from app.interrupts import Terminated, raise_again
from engine.version import VERSION

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """A sub-command: the module with its `add_arguments(parser)` and `run(args) -> int`, and its line in the help."""

    module: str
    help: str


COMMANDS = {
    "run": Command("app.commands.run", "open the app (what happens without a sub-command)"),
    "track": Command("app.commands.track", "track a hand in a camera or recording, with or without a window"),
    "record": Command("app.commands.record", "record a camera, or convert another recording, into a take (.mcap)"),
    "replay": Command("app.commands.replay", "play a take, or track it again and compare with what was recorded"),
    "info": Command("app.commands.info", "what a take holds, what was dropped, what is damaged"),
    "recover": Command("app.commands.recover", "write a clean take from one that was cut off or damaged"),
    "convert": Command("app.commands.convert", "any recording into a take, a sequence folder or a RealSense .db3"),
    "export": Command("app.commands.export", "tracked motion as BVH, glTF, CSV, NumPy or meshes"),
    "calibrate": Command("app.commands.calibrate", "learn the shape of a user's hand from a recording, as a profile"),
    "profiles": Command("app.commands.profiles", "users' profiles: list, show, rename, delete, export, import"),
    "evaluate": Command("app.commands.evaluate", "measure the tracker against labelled recordings"),
    "train": Command("app.commands.train", "train the networks from nothing, on rendered hands"),
    "crops": Command("app.commands.crops", "cut recordings into crops that `train` can learn from"),
    "finetune": Command("app.commands.finetune", "fit the encoder to recordings of your own hand, without labels"),
    "quantise": Command("app.commands.quantise", "the encoder in int8, faster on the CPU, if it stays as accurate"),
    "experiment": Command("app.commands.experiment", "the paper's experiments: ablation, wrong-labels, real-depth"),
    "bench": Command(
        "app.commands.bench", "measure: live, display, start, runners, losses, smoothing, calibration, record, soak …"
    ),
    "doctor": Command("app.commands.doctor", "what is installed, which cameras and GPU are found, what is missing"),
}
DEFAULT_COMMAND = "run"
_OWN_PACKAGES = ("app", "calibration", "engine")


class OneLineParser(argparse.ArgumentParser):
    """Refuses a wrong command line in one line, as all errors are told, without printing the usage first."""

    def error(self, message: str) -> NoReturn:
        """End with exit status 2."""
        self.exit(EXIT_USER_ERROR, f"lumbrical: error: {' '.join(message.split())}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is not known here: argparse would leave it to the parser above, which has another help."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of everything; only the chosen sub-command's module is imported, to declare its arguments."""
    parser = OneLineParser(
        prog="main.py",
        description="Lumbrical tracks a hand live from a depth camera. Without a sub-command it opens the app.",
        epilog="main.py COMMAND --help explains a command's own options.",
    )
    parser.add_argument("--version", action="version", version=f"Lumbrical {VERSION}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        if name == chosen:
            importlib.import_module(command.module).add_arguments(subparser)
    return parser


def with_default_command(arguments: Sequence[str]) -> list[str]:
    """The arguments with the default sub-command put first where none is named: options alone belong to it, and a
    recording alone is opened by it."""
    first = arguments[0] if arguments else None
    if first is not None and first not in COMMANDS and _is_path(first):
        return [DEFAULT_COMMAND, f"--source={first}", *arguments[1:]]
    if first in ("-h", "--help", "--version") or (first is not None and not first.startswith("-")):
        return list(arguments)
    return [DEFAULT_COMMAND, *arguments]


def _is_path(word: str) -> bool:
    """Whether a word that is no command can be meant as a file's or folder's name."""
    return not word.startswith("-") and (os.sep in word or "." in word or os.path.exists(word))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: sys.argv's) and return its exit status.

    0 done, 2 the user can mend it (one line on stderr says how), 130 interrupted, 143 told to end (SIGTERM),
    129 its terminal is gone (SIGHUP); a sub-command may return others.
    """
    raise_again()
    arguments = with_default_command(sys.argv[1:] if arguments is None else arguments)
    chosen = arguments[0] if arguments[0] in COMMANDS else None
    try:
        args = build_parser(chosen).parse_args(arguments)
        status = int(importlib.import_module(COMMANDS[args.command].module).run(args))
        if sys.stdout is not None:
            # Now, where a full disk or a reader that left can still be told properly.
            sys.stdout.flush()
        return status
    except _user_errors() as error:
        return _complain(str(error))
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in _OWN_PACKAGES:
            raise
        return _complain(_import_words(chosen, package, error))
    except Terminated as error:
        return error.exit_status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, less) left.
        _forget_output()
        return 0
    except OSError as error:
        # A full disk, a folder without permission: whoever handles the file could add nothing to the system's words.
        _forget_output()
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}: check the path, its permissions and the free space")
    finally:
        raise_again()


def _user_errors() -> tuple[type[Exception], ...]:
    """LumbricalError where something has imported it; importing it here would need numpy, which --help must not."""
    types = sys.modules.get("engine.types")
    return (types.LumbricalError,) if types is not None else ()


def _import_words(chosen: str | None, package: str, error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{chosen} needs the Python package {package}, which this Python lacks: `make run` installs all"
    return f"{chosen} needs the Python package {package}, which does not load ({error}): `main.py doctor` says more"


def _forget_output() -> None:
    """Throw away what stdout cannot take, or Python would complain once more on flushing it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> int:
    print(f"lumbrical: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USER_ERROR
