"""Tells the window's thread that the tracking thread has finished a frame."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.runtime.interfaces import LiveResult


class ResultSignal(QObject):
    """A listener of the tracking thread. came: sent on the window's thread; once for several results, where that comes
    late. What the window has to do for a picture it does then, while the tracking thread waits for its next frame:
    both run Python, in turns, and at another moment the tracking would take longer."""

    came = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._told = False

    def put(self, value: LiveResult) -> bool:
        """Called on the tracking thread."""
        if not self._told:
            self._told = True
            self.came.emit()
        return True

    def heard(self) -> None:
        """The next result is to be told of again."""
        self._told = False

    def close(self) -> None:
        """Nobody waits here."""
