"""`experiment`: the papers' experiments, each one command. Each is a module of app/experiments."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from app.experiments import ablation, real_depth, wrong_labels
from app.whole_file import whole_file

_EXPERIMENTS = {module.NAME: module for module in (ablation, wrong_labels, real_depth)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the experiments and their options."""
    kinds = parser.add_subparsers(dest="experiment", metavar="NAME", required=True, title="experiments")
    for name, module in _EXPERIMENTS.items():
        own = kinds.add_parser(name, help=module.HELP, description=f"{module.HELP}.")
        module.add_arguments(own)
        own.add_argument(
            "--out", type=Path, default=Path("runs") / name, metavar="FOLDER",
            help=f"weights, report.json and plot.png go there (runs/{name}); what is there already is not done again",
        )  # fmt: skip
        own.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the experiment that was named."""
    module = _EXPERIMENTS[args.experiment]
    args.out.mkdir(parents=True, exist_ok=True)
    report = module.measure(args, args.out)
    words = json.dumps(report, indent=2, allow_nan=False)
    with whole_file("--out", args.out / "report.json") as temporary:
        temporary.write_text(words + "\n", encoding="utf-8")
    module.draw(report, args.out / "plot.png")
    print(words if args.json else module.as_table(report))
    return 0
