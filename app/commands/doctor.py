"""`python main.py doctor`: what is installed, which cameras and GPU are found, what is missing and how to get it."""

from __future__ import annotations

import argparse
import sys

from app import doctor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 when the app can run here, 1 when something required is missing."""
    checks = doctor.diagnose(_show_progress if sys.stderr.isatty() else lambda done, total: None)
    print(doctor.as_json(checks) if args.json else doctor.as_table(checks, sys.stdout.encoding))
    return 0 if doctor.can_run(checks) else 1


def _show_progress(done: int, total: int) -> None:
    """A bar that overwrites itself and is gone at the end (tqdm may be what is missing)."""
    bar = ("#" * (20 * done // total)).ljust(20, ".")
    print(f"\rlooking [{bar}] {done}/{total}" if done < total else "\r\033[K", end="", file=sys.stderr, flush=True)
