"""`bench`: how fast, how steady, how right. Each bench is a module of app/benches."""

from __future__ import annotations

import argparse

from app.benches import adaptation, calibration, codecs, display, live, losses, record, runners, smoothing, soak, start

_BENCHES = {
    "live": live,
    "display": display,
    "losses": losses,
    "runners": runners,
    "smoothing": smoothing,
    "calibration": calibration,
    "adaptation": adaptation,
    "record": record,
    "codecs": codecs,
    "soak": soak,
    "start": start,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benches and their options."""
    kinds = parser.add_subparsers(dest="bench", metavar="WHAT", required=True, title="benches")
    for bench in _BENCHES.values():
        bench.add_arguments(kinds)


def run(args: argparse.Namespace) -> int:
    """Run the bench that was named."""
    return _BENCHES[args.bench].run(args)
