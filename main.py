"""The one entry point: `python main.py` opens the app, `python main.py --help` lists everything else."""

from __future__ import annotations

import sys

from app.interrupts import end_at_once

if __name__ == "__main__":
    end_at_once()
    from app.cli import main

    sys.exit(main())
