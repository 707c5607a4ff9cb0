"""The list of takes for Qt, and how a row of it is painted."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPainterPath
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.take_summary import THUMBNAIL_SIZE, TakeState
from app.take_words import facts, particulars, remarks, title
from app.takes_library import TakeEntry
from app.ui import theme

ENTRY_ROLE = Qt.ItemDataRole.UserRole + 1
_ROW_HEIGHT, _GAP = 86, 10
_CHIPS = {
    TakeState.COMPLETE: ("complete", theme.GOOD),
    TakeState.RECORDING: ("recording", theme.RECORD),
    TakeState.RECOVERED: ("recovered", theme.WARN),
    TakeState.DAMAGED: ("damaged", theme.BAD),
}
Index = QModelIndex | QPersistentModelIndex


class TakesModel(QAbstractListModel):
    """Shows the entries whose words hold a text."""

    def __init__(self) -> None:
        super().__init__()
        self._all: tuple[TakeEntry, ...] = ()
        self._shown: list[TakeEntry] = []
        self._sought = ""

    @property
    def total(self) -> int:
        """How many takes there are, shown or not."""
        return len(self._all)

    def set_entries(self, entries: tuple[TakeEntry, ...]) -> None:
        """Replace the entries; rows stay where they are while their files are the same."""
        self._all = entries
        self._fill()

    def seek(self, text: str) -> None:
        """Show only takes whose name, notes, user, file or date has all the words of a text."""
        self._sought = text
        self._fill()

    def entry(self, index: Index) -> TakeEntry | None:
        """The entry of a row."""
        return self._shown[index.row()] if index.isValid() and index.row() < len(self._shown) else None

    def _fill(self) -> None:
        words = self._sought.casefold().split()
        shown = [one for one in self._all if all(word in _sought_in(one) for word in words)]
        if [one.path for one in shown] != [one.path for one in self._shown]:
            self.beginResetModel()
            self._shown = shown
            self.endResetModel()
            return
        changed = [row for row, (old, new) in enumerate(zip(self._shown, shown, strict=True)) if old is not new]
        self._shown = shown
        for row in changed:
            self.dataChanged.emit(self.index(row), self.index(row))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's own default)
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entry(index)
        if entry is None:
            return None
        if role == ENTRY_ROLE:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return title(entry)
        return particulars(entry) if role == Qt.ItemDataRole.ToolTipRole else None


def _sought_in(entry: TakeEntry) -> str:
    summary = entry.summary
    words = [entry.path.name, facts(entry)]
    if summary is not None:
        words += [summary.name, summary.notes, summary.user, summary.sensor, summary.state.value]
    return "\n".join(words).casefold()


class TakeDelegate(QStyledItemDelegate):
    """Paints a take: its picture, its name, its facts, its state."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, _ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry = index.data(ENTRY_ROLE)
        if not isinstance(entry, TakeEntry):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        row = QRectF(option.rect).adjusted(0.5, 2, -4, -2)
        self._paint_ground(painter, option, row)
        picture = QRectF(row.left() + 6, row.top() + 6, 0, row.height() - 12)
        picture.setWidth(picture.height() * THUMBNAIL_SIZE[0] / THUMBNAIL_SIZE[1])
        _paint_picture(painter, picture, entry)
        words = row.adjusted(picture.right() - row.left() + 12, 8, -12, -8)
        _paint_words(painter, words, entry, option.font)
        painter.restore()

    @staticmethod
    def _paint_ground(painter: QPainter, option: QStyleOptionViewItem, row: QRectF) -> None:
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        painter.setPen(QColor("#35587a" if selected else theme.LINE if hovered else theme.PANEL))
        painter.setBrush(QColor("#1b2632" if selected else theme.RAISED if hovered else theme.PANEL))
        painter.drawRoundedRect(row, 8, 8)


def _paint_picture(painter: QPainter, area: QRectF, entry: TakeEntry) -> None:
    clip = QPainterPath()
    clip.addRoundedRect(area, 5, 5)
    painter.fillPath(clip, QColor(theme.BACKGROUND))
    if entry.thumbnail is None:
        painter.setPen(QColor(theme.QUIET))
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "no picture" if entry.no_thumbnail else "…")
        return
    height, width = entry.thumbnail.shape[:2]
    image = QImage(entry.thumbnail.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    painter.save()
    painter.setClipPath(clip)
    painter.drawImage(area, image)
    painter.restore()


def _paint_words(painter: QPainter, area: QRectF, entry: TakeEntry, font: QFont) -> None:
    bold = QFont(font)
    bold.setBold(True)
    line = area.height() / 3
    chip_width = _paint_chip(painter, area, entry, font) if entry.summary is not None else 0.0
    rows = (
        (title(entry), bold, theme.TEXT, chip_width + _GAP),
        (facts(entry), font, theme.QUIET, 0.0),
        (remarks(entry), font, theme.QUIET, 0.0),
    )
    for row, (text, face, color, kept_free) in enumerate(rows):
        spot = QRectF(area.left(), area.top() + row * line, max(0.0, area.width() - kept_free), line)
        painter.setFont(face)
        painter.setPen(QColor(color))
        shown = QFontMetrics(face).elidedText(text, Qt.TextElideMode.ElideRight, int(spot.width()))
        painter.drawText(spot, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)


def _paint_chip(painter: QPainter, area: QRectF, entry: TakeEntry, font: QFont) -> float:
    """The state, at the right of the first line; returns its width."""
    assert entry.summary is not None
    text, color = _CHIPS[entry.summary.state]
    small = QFont(font)
    small.setPixelSize(11)
    width = QFontMetrics(small).horizontalAdvance(text) + 16
    chip = QRect(round(area.right()) - width, round(area.top()), width, 19)
    ground = QColor(color)
    ground.setAlpha(38)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ground)
    painter.drawRoundedRect(chip, 9, 9)
    painter.setFont(small)
    painter.setPen(QColor(color))
    painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)
    return float(width)
