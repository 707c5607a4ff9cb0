"""What the app demands of Qt's Python bindings."""

from __future__ import annotations

import sys

import pytest
from PySide6 import __version__
from PySide6.QtCore import QObject


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal there")
def test_calls_do_not_use_up_none() -> None:
    """A window makes thousands of calls a second; when None's references are used up, Python ends the process."""
    thing = QObject()
    before = sys.getrefcount(None)
    for _ in range(1000):
        thing.setObjectName("a")
    assert sys.getrefcount(None) > before - 500, f"PySide6 {__version__} takes a reference from None at each call"
