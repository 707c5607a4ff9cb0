"""The version of Lumbrical, as `--version`, takes and profiles state it."""

from __future__ import annotations

VERSION = "0.1.0"
