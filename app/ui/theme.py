"""One dark, calm look for every widget."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QSlider

BACKGROUND = "#0d0f12"
PANEL = "#15181d"
RAISED = "#1d2127"
LINE = "#272c34"
TEXT = "#d9dee6"
QUIET = "#8a94a3"
ACCENT = "#6cb8ee"
GOOD = "#7fcc94"
WARN = "#f0b866"
BAD = "#ee7d74"
RECORD = "#f0483e"

#: How much of an old picture is covered.
_SHADE = 0.65

PANEL_WIDTH = 312
GAP = 10

_STYLE = f"""
* {{ color: {TEXT}; }}
QMainWindow, QWidget#central {{ background: {BACKGROUND}; }}
QWidget#panel, QWidget#bar {{ background: {PANEL}; }}
QWidget#page {{ background: {BACKGROUND}; }}
QWidget#bar {{ border-top: 1px solid {LINE}; }}
QWidget#panel {{ border-left: 1px solid {LINE}; }}
QLabel[role="title"] {{ color: {QUIET}; font-size: 11px; font-weight: 600; letter-spacing: 1px; }}
QLabel[role="quiet"] {{ color: {QUIET}; }}
QLabel[role="value"] {{ font-weight: 600; }}
QPushButton {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 6px; padding: 5px 10px; }}
QPushButton:hover {{ border-color: #3b434f; background: #242931; }}
QPushButton:pressed {{ background: #191d22; }}
QPushButton:checked {{ background: #223244; border-color: #35587a; color: #cfe6f9; }}
QPushButton:disabled {{ color: #545c68; }}
QPushButton[role="primary"] {{ background: #24506f; border-color: #3d7399; color: #e8f4fc; }}
QPushButton[role="primary"]:hover {{ background: #2c5f83; border-color: #4f8cb6; }}
QPushButton[role="danger"] {{ background: #3a2020; border-color: #7a3d3a; color: #ffd9d5; }}
QPushButton[role="danger"]:hover {{ background: #4a2725; border-color: #a3524d; }}
QLineEdit, QPlainTextEdit {{ background: {BACKGROUND}; border: 1px solid {LINE}; border-radius: 6px; padding: 4px 8px;
    selection-background-color: #2a4258; }}
QLineEdit:focus, QPlainTextEdit:focus {{ border-color: {ACCENT}; }}
QListView {{ background: {BACKGROUND}; border: none; outline: none; }}
QMenu {{ background: {RAISED}; border: 1px solid {LINE}; padding: 4px; }}
QMenu::item {{ padding: 5px 18px; border-radius: 4px; }}
QMenu::item:selected {{ background: #2a4258; }}
QPushButton:focus, QComboBox:focus {{ border-color: {ACCENT}; }}
QComboBox {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 6px; padding: 5px 10px; }}
QComboBox:hover {{ border-color: #3b434f; }}
QComboBox::drop-down {{ border: none; width: 22px; }}
QComboBox::down-arrow {{ image: none; width: 0; height: 0; border-left: 4px solid {RAISED};
    border-right: 4px solid {RAISED}; border-top: 5px solid {QUIET}; margin-right: 8px; }}
QComboBox QAbstractItemView {{ background: {RAISED}; border: 1px solid {LINE}; outline: none; padding: 4px;
    selection-background-color: #2a4258; }}
QSlider {{ min-height: 20px; }}
QSlider::groove:horizontal {{ height: 4px; background: #2a3038; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {ACCENT}; border-radius: 2px; }}
QSlider::handle:horizontal {{ width: 14px; height: 14px; margin: -5px 0; border-radius: 7px; background: {TEXT}; }}
QSlider::handle:horizontal:hover {{ background: white; }}
QSlider::sub-page:horizontal:disabled, QSlider::handle:horizontal:disabled {{ background: #3a414b; }}
QToolTip {{ background: {RAISED}; color: {TEXT}; border: 1px solid {LINE}; padding: 4px 6px; }}
QScrollArea {{ border: none; background: {PANEL}; }}
QScrollBar:vertical {{ background: {PANEL}; width: 8px; }}
QScrollBar::handle:vertical {{ background: #333a44; border-radius: 4px; min-height: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
"""


def dim(painter: QPainter, area: QRect | QRectF) -> None:
    """Darken what is painted there: it is old."""
    shade = QColor(BACKGROUND)
    shade.setAlphaF(_SHADE)
    painter.fillRect(area, shade)


def apply_theme(application: QApplication) -> None:
    """Dress the whole application."""
    application.setStyle("Fusion")
    palette = QPalette()
    for role, color in (
        (QPalette.ColorRole.Window, BACKGROUND),
        (QPalette.ColorRole.Base, PANEL),
        (QPalette.ColorRole.Button, RAISED),
        (QPalette.ColorRole.Text, TEXT),
        (QPalette.ColorRole.WindowText, TEXT),
        (QPalette.ColorRole.ButtonText, TEXT),
        (QPalette.ColorRole.Highlight, ACCENT),
        (QPalette.ColorRole.PlaceholderText, QUIET),
    ):
        palette.setColor(role, QColor(color))
    application.setPalette(palette)
    font = QFont(application.font())
    font.setFamilies(["Inter", "Cantarell", "Noto Sans", "DejaVu Sans"])
    font.setPixelSize(13)
    application.setFont(font)
    application.setStyleSheet(_STYLE)


def switch(text: str) -> QPushButton:
    """A button that stays down while what it names is on."""
    button = QPushButton(text)
    button.setCheckable(True)
    return button


def slider(maximum: int) -> QSlider:
    """A horizontal slider from 0."""
    widget = QSlider(Qt.Orientation.Horizontal)
    widget.setRange(0, maximum)
    return widget


def label(text: str, role: str = "") -> QLabel:
    """A label in one of the roles title, quiet, value or plain."""
    widget = QLabel(text)
    widget.setProperty("role", role)
    return widget
