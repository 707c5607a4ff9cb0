"""The one entry point: `python main.py` opens the app, `python main.py --help` lists everything else."""

from __future__ import annotations

import os
import sys

from app.interrupts import end_at_once, leave_window

if __name__ == "__main__":
    end_at_once()
    # numpy's BLAS reads this when it is loaded. The fit's matrices are too small to share: helper threads would only
    # spin, on the cores that drawing needs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from app.cli import main

    status = main()
    if "PySide6.QtWidgets" in sys.modules:
        leave_window(status)
    sys.exit(status)
