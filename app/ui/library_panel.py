"""The takes that were recorded: a list to search, play, rename, annotate, recover and delete them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPoint, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.take_summary import TakeState
from app.take_words import folder_words, title
from app.takes_library import TakeEntry, TakesLibrary
from app.ui import theme
from app.ui.status_bar import ElidedLabel
from app.ui.take_details import TakeDetails
from app.ui.takes_model import TakeDelegate, TakesModel

_LOOK_MS = 80
#: Files that another program put there, or that are still being recorded, are noticed this often.
_RELIST_MS = 3000


class LibraryPanel(QWidget):
    """Shows a TakesLibrary, which its owner starts and stops; emits opened(path) and closed."""

    opened = Signal(Path)
    closed = Signal()

    def __init__(self, library: TakesLibrary, open_url: Callable[[QUrl], bool] = QDesktopServices.openUrl) -> None:
        super().__init__()
        self.setObjectName("page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._library, self._open_url = library, open_url
        self._seen = -1
        self._model = TakesModel()
        self.list = QListView()
        self.list.setModel(self._model)
        self.list.setItemDelegate(TakeDelegate(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.setToolTip("Double click or Return plays a take")
        self.list.doubleClicked.connect(lambda *_: self.open_selected())
        self.list.customContextMenuRequested.connect(self._show_menu)
        self.list.selectionModel().currentChanged.connect(lambda *_: self._show_details())
        self.list.installEventFilter(self)
        self._empty = QLabel(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self._empty.setProperty("role", "quiet")
        self._words = QLabel(wordWrap=True)
        self.details = TakeDetails()
        self.details.described.connect(self._library.describe)
        self.details.open_wanted.connect(self.open_selected)
        self.details.reveal_wanted.connect(self.reveal_selected)
        self.details.recover_wanted.connect(self._library.recover)
        self.details.delete_confirmed.connect(self._library.delete)
        self._lay_out()
        self._look_timer = self._every(_LOOK_MS, self._look)
        self._list_timer = self._every(_RELIST_MS, self._library.refresh)

    def _lay_out(self) -> None:
        self.search = QLineEdit(placeholderText="Search", clearButtonEnabled=True)
        self.search.setToolTip("Words of the name, the notes, the user, the date or the state")
        self.search.textChanged.connect(self._seek)
        self.search.installEventFilter(self)
        self.search.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.search.setMaximumWidth(220)
        self._count = theme.label("", "quiet")
        close = QPushButton("Close")
        close.setToolTip("Back to the hand (L or Escape)")
        close.clicked.connect(self.closed)
        close.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._folder = ElidedLabel()
        self._folder.setProperty("role", "quiet")
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(theme.label("TAKES", "title"))
        head.addWidget(self._count)
        head.addWidget(self._folder, 1)
        head.addWidget(self.search)
        head.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(10)
        layout.addLayout(head)
        layout.addWidget(self._words)
        layout.addWidget(self._empty, 1)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.details)
        self._words.hide()
        self.details.hide()

    def _every(self, interval_ms: int, action: Callable[[], None]) -> QTimer:
        timer = QTimer(self, interval=interval_ms)
        timer.timeout.connect(action)
        return timer

    def selected(self) -> TakeEntry | None:
        """The take that is selected."""
        return self._model.entry(self.list.currentIndex())

    def select(self, path: Path) -> None:
        """Select a take, once it is on the list."""
        for row in range(self._model.rowCount()):
            entry = self._model.entry(self._model.index(row))
            if entry is not None and entry.path == path:
                self.list.setCurrentIndex(self._model.index(row))
                return

    def open_selected(self) -> None:
        """Play the selected take, if anything of it can be played."""
        entry = self.selected()
        if entry is None or (entry.summary is not None and not entry.summary.frames):
            return
        self.opened.emit(entry.path)

    def reveal_selected(self) -> None:
        """Show the folder of takes in the system's file manager."""
        entry = self.selected()
        self._open_url(QUrl.fromLocalFile(str(entry.path.parent if entry is not None else self._library.folder)))

    def _seek(self, text: str) -> None:
        self._model.seek(text)
        self._show_count()
        self._show_details()

    def _look(self) -> None:
        """Take over what the library has learnt, and tell it what is in view."""
        view = self._library.view
        if view.version != self._seen:
            self._seen = view.version
            kept = self.selected()
            self._model.set_entries(view.entries)
            if kept is not None and self.selected() is None:
                self._reselect(kept)
            words = view.trouble or view.news
            self._words.setText(words)
            self._words.setStyleSheet(f"color: {theme.BAD if view.trouble else theme.QUIET};")
            self._words.setVisible(bool(words))
            self._show_count()
            self._show_details()
        first, last = (self.list.indexAt(QPoint(8, y)).row() for y in (4, self.list.viewport().height() - 4))
        end = last + 1 if last >= 0 else self._model.rowCount()
        rows = range(max(0, first), min(end, self._model.rowCount()))
        entries = [self._model.entry(self._model.index(row)) for row in rows]
        self._library.show_first([entry.path for entry in entries if entry is not None and not entry.done])

    def _reselect(self, kept: TakeEntry) -> None:
        """The same take after the list has changed: under its path, or the new one that its name gave it."""
        self.select(kept.path)
        renamed = self.details.awaited_name
        if self.selected() is None and renamed:
            for row in range(self._model.rowCount()):
                entry = self._model.entry(self._model.index(row))
                if entry is not None and entry.summary is not None and entry.summary.name == renamed:
                    self.list.setCurrentIndex(self._model.index(row))
                    return

    def _show_count(self) -> None:
        shown, total = self._model.rowCount(), self._model.total
        self._count.setText(f"{shown} of {total}" if shown != total else str(total) if total else "")
        self._folder.set_full_text(folder_words(self._library.folder))
        self.list.setVisible(shown > 0)
        self._empty.setVisible(shown == 0)
        if not self._library.view.listed:
            self._empty.setText("looking …")
        elif total:
            self._empty.setText("No take has these words.")
        else:
            self._empty.setText("There are no takes yet. Press R to record one.")

    def _show_details(self) -> None:
        entry = self.selected()
        self.details.setVisible(entry is not None)
        if entry is not None:
            self.details.show_entry(entry)

    def _show_menu(self, place: QPoint) -> None:
        index: QModelIndex = self.list.indexAt(place)
        entry = self._model.entry(index)
        if entry is None:
            return
        self.list.setCurrentIndex(index)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Play", self.open_selected)
        menu.addAction("Rename", self.details.begin_rename)
        menu.addAction("Show in folder", self.reveal_selected)
        menu.addAction("Check all of it", lambda: self._library.check(entry.path))
        if entry.summary is not None and entry.summary.state in (TakeState.DAMAGED, TakeState.RECOVERED):
            menu.addAction("Write a clean copy", lambda: self._library.recover(entry.path))
        menu.addSeparator()
        menu.addAction(f"Delete “{title(entry)[:40]}” …", self.details.ask_to_delete)
        menu.popup(self.list.viewport().mapToGlobal(place))

    def showEvent(self, event: QShowEvent) -> None:
        self._library.refresh()
        self._seen = -1
        self._look_timer.start()
        self._list_timer.start()
        self.list.setFocus()

    def hideEvent(self, event: QHideEvent) -> None:
        self._look_timer.stop()
        self._list_timer.stop()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Return plays, Delete asks, F2 renames; Escape leaves the search first, then the library."""
        if not isinstance(event, QKeyEvent) or event.type() is not QEvent.Type.KeyPress:
            return super().eventFilter(watched, event)
        key = event.key()
        if key == Qt.Key.Key_Escape and watched is self.search and self.search.text():
            self.search.clear()
            return True
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_selected()
            return True
        if watched is self.list and key == Qt.Key.Key_Delete and self.selected() is not None:
            self.details.ask_to_delete()
            return True
        if watched is self.list and key == Qt.Key.Key_F2 and self.selected() is not None:
            self.details.begin_rename()
            return True
        return super().eventFilter(watched, event)
