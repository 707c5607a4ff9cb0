"""Runs the commands that the documentation shows the output of, and puts what they print now in its place:

    python tools/update_outputs.py --list            which there are
    python tools/update_outputs.py open-hand bench   these alone; without names all of them

A block begins with `<!-- output NAME: begin -->`; its command is the line that begins with `$ python main.py`. Figures
in the text around it are not touched: read it again afterwards. Measure speed on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(
    r"<!-- output (?P<name>[\w-]+): begin -->(?:(?!<!-- output).)*?"
    r"```\n\$ (?P<command>python main\.py [^\n]+)\n(?P<output>.*?)```",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of a page: its name, its command as written, and where its output stands in the page's text."""

    page: Path
    name: str
    command: str
    start: int
    end: int


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks, from top to bottom."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, one["name"], one["command"], *one.span("output")) for one in found]


def printed(command: str) -> str:
    """What a command prints; RuntimeError, in one line, where it fails."""
    words = shlex.split(command)
    done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{command}` ended with status {done.returncode}; its page stays as it was")
    told = done.stdout.replace(f"{ROOT}/", "")  # where a checkout lies is nobody's business
    return "\n".join(line.rstrip() for line in told.strip("\n").splitlines()) + "\n"


def replaced(block: Block, output: str) -> str:
    """The page's text with another output."""
    text = block.page.read_text(encoding="utf-8")
    return text[: block.start] + output + text[block.end :]


def main(arguments: list[str] | None = None) -> int:
    """Update the named blocks, one page and block after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the blocks; without any, all")
    parser.add_argument("--list", action="store_true", help="only print names and commands")
    args = parser.parse_args(arguments)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    there = [block for page in pages for block in blocks_of(page)]
    unknown = sorted(set(args.names) - {block.name for block in there})
    if unknown:
        parser.error(f"no page has the output {', '.join(unknown)}; --list tells which there are")
    for name, command in [(one.name, one.command) for one in there if not args.names or one.name in args.names]:
        print(f"{name}: {command}")
        if args.list:
            continue
        try:
            output = printed(command)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        # Read again: an earlier block's output may be longer than it was.
        block = next(one for page in pages for one in blocks_of(page) if one.name == name)
        block.page.write_text(replaced(block, output), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
