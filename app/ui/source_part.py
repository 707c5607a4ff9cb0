"""Sources in the window: cameras that come and go, recordings that are opened, sources that misbehave for a test."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from app.runtime.session import LiveSession
from app.runtime.sources import CameraSearch, SourceChoice, demo_choice, is_demo, recording_choice, recording_suffixes
from app.ui.fault_menu import FaultMenu
from app.ui.settings import Memory
from app.ui.source_panel import SourcePanel
from engine.sensors.faulty import is_faulty

_LOOK_EVERY = 20
#: What can be chosen before cameras have been looked for.
_SYNTHETIC = SourceChoice("synthetic", "Synthetic camera (a moving sphere)")


class SourcePart(QObject):
    """Owns the panel; emits switched when another source was asked for. has_camera: whether any is attached."""

    switched = Signal()

    def __init__(
        self,
        session: LiveSession,
        memory: Memory,
        sources: list[SourceChoice] | None,
        over: QWidget,
        chosen: bool = False,
    ) -> None:
        """sources: found before the window opened, None to look for them once it is at work; over: what dialogs stand
        before; chosen: the session's source was asked for, also where it is the demo take."""
        super().__init__()
        self._session, self._memory, self._over = session, memory, over
        # A camera that is plugged in takes over from the demo take, but never from what the user chose.
        self._chosen_by_user = chosen or not is_demo(session.capture.spec)
        self._search = CameraSearch()
        self._ticks = 0
        self.has_camera = False
        self.faults = FaultMenu(session, self._test, over)
        self.panel = SourcePanel(self.faults)
        self.panel.chosen.connect(self.choose)
        self.panel.refresh_wanted.connect(self._search.start)
        self.panel.file_wanted.connect(self.open_file)
        self.panel.folder_wanted.connect(self.open_folder)
        self._to_look_for = sources is None
        self.note_cameras([_SYNTHETIC] if sources is None else sources)
        self.panel.add_recording(demo_choice())
        spec = session.capture.spec
        if all(spec != choice.spec for choice in self.panel.choices()):
            self.panel.add_recording(recording_choice(Path(spec)))
        self.panel.show_current(spec)

    @property
    def is_for_want_of_a_camera(self) -> bool:
        """Whether the demo take plays because no camera is there."""
        return is_demo(self._session.capture.spec) and not self.has_camera and not self._chosen_by_user

    def refresh(self) -> None:
        """Notice cameras that were plugged in."""
        self._ticks += 1
        if self._ticks % _LOOK_EVERY == 0:
            if self._to_look_for:
                # Drivers are asked in processes of their own, which would have slowed the start down.
                self._search.start()
                self._to_look_for = False
            self._search.start_if_plugged()
        found = self._search.result()
        if found is not None:
            self.note_cameras(found)

    def note_cameras(self, sources: list[SourceChoice]) -> None:
        """These are attached now."""
        cameras = [source for source in sources if source.is_camera]
        self.has_camera = bool(cameras)
        self.panel.set_cameras(sources)
        self.panel.show_current(self._session.capture.spec)
        if cameras and not self._chosen_by_user:
            self._switch(cameras[0].spec)

    def choose(self, spec: str) -> None:
        """Play or stream another source, because the user wants it."""
        self._chosen_by_user = True
        self._switch(spec)

    def open_recording(self, path: str) -> None:
        """Play a recording; nothing for no path."""
        if path:
            self._memory.folder = str(Path(path).parent)
            choice = recording_choice(Path(path))
            self.panel.add_recording(choice)
            self.choose(choice.spec)

    def open_file(self) -> None:
        """Ask which recording to play."""
        kinds = f"Recordings ({' '.join(f'*{suffix}' for suffix in recording_suffixes())});;All files (*)"
        self.open_recording(QFileDialog.getOpenFileName(self._over, "Open a recording", self._memory.folder, kinds)[0])

    def open_folder(self) -> None:
        """Ask which sequence folder to play."""
        self.open_recording(QFileDialog.getExistingDirectory(self._over, "Open a sequence folder", self._memory.folder))

    def _test(self, spec: str) -> None:
        """Open a source that misbehaves on purpose, or the source itself again."""
        if is_faulty(spec):
            self.panel.add_recording(SourceChoice(spec, f"Testing: {Path(spec).name}"))
        self.choose(spec)

    def _switch(self, spec: str) -> None:
        self._session.switch_source(spec)
        self.panel.show_current(spec)
        self.switched.emit()
