"""The takes of a folder: what is known of each, read on a thread of its own, those in view first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from app.runtime.worker import Worker
from app.take_notes import TakeNotes, remove_take, rename_take, write_notes
from app.take_summary import Picture, TakeSummary, make_thumbnail, read_summary
from engine.takes.names import SUFFIX
from engine.types import LumbricalError

_PAUSE_S = 0.2
#: Between two takes, so that reading hundreds leaves the tracker its share of the processor.
_BREATH_S = 0.005


@dataclass(frozen=True, eq=False)
class TakeEntry:
    """A file of the folder. summary and thumbnail are None until they were read; no_thumbnail: there will be none."""

    path: Path
    size: int
    modified_ns: int
    summary: TakeSummary | None = None
    thumbnail: Picture | None = None
    no_thumbnail: bool = False

    @property
    def done(self) -> bool:
        """Whether all of it was read."""
        return self.summary is not None and (self.thumbnail is not None or self.no_thumbnail)


@dataclass(frozen=True)
class LibraryView:
    """What there is to show: the takes, newest first; trouble: why the last thing asked for was not done; news: what
    was done, in words; listed: whether the folder has been looked at. version rises with each change."""

    version: int = 0
    entries: tuple[TakeEntry, ...] = ()
    trouble: str = ""
    news: str = ""
    listed: bool = False


class TakesLibrary(Worker):
    """Lists, reads, renames, recovers and deletes takes; no method waits. `view` is what is known so far."""

    def __init__(
        self,
        folder: Path,
        thumbnails: Path,
        summarise: Callable[[Path], TakeSummary] = read_summary,
        picture: Callable[[Path, Path], Picture | None] = make_thumbnail,
    ) -> None:
        super().__init__("takes library")
        self._folder, self._thumbnails = folder, thumbnails
        self._summarise, self._picture = summarise, picture
        self._jobs: deque[Callable[[], None]] = deque()
        self._in_view: tuple[Path, ...] = ()
        self._entries: dict[Path, TakeEntry] = {}
        self._view = LibraryView()
        self._woken = threading.Event()

    @property
    def view(self) -> LibraryView:
        """What is known at this moment."""
        return self._view

    @property
    def folder(self) -> Path:
        """The folder that is shown."""
        return self._folder

    def refresh(self, folder: Path | None = None) -> None:
        """Look into the folder, or another one, again; what has not changed is not read again."""
        if folder is not None:
            self._folder = folder
        self._ask(self._list)

    def show_first(self, paths: Iterable[Path]) -> None:
        """These are in view: read them before the others."""
        self._in_view = tuple(paths)

    def describe(self, path: Path, notes: TakeNotes) -> None:
        """Change a take's name and notes."""
        self._ask(lambda: self._describe(path, notes))

    def delete(self, path: Path) -> None:
        """Delete a take for good."""
        self._ask(lambda: self._delete(path))

    def check(self, path: Path) -> None:
        """Read all of a take, to find what is damaged in it."""
        self._ask(lambda: self._check(path))

    def recover(self, path: Path) -> None:
        """Write a clean copy of a damaged take beside it."""
        self._ask(lambda: self._recover(path))

    def step(self) -> None:
        """Do what was asked for, else read one more take, else wait."""
        self._woken.clear()
        if self._jobs:
            try:
                self._jobs.popleft()()
            except LumbricalError as error:
                self._publish(trouble=str(error), news="")
            return
        waiting = self._next_unread()
        if waiting is None:
            self._woken.wait(_PAUSE_S)
            return
        self._read(waiting)
        self.pause_step(_BREATH_S)

    def wake_waiters(self) -> None:
        """End the pause of a step."""
        self._woken.set()

    def _ask(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)
        self._woken.set()

    def _publish(self, trouble: str | None = None, news: str | None = None) -> None:
        ordered = sorted(self._entries.values(), key=_age)
        self._view = replace(
            self._view,
            version=self._view.version + 1,
            entries=tuple(ordered),
            trouble=self._view.trouble if trouble is None else trouble,
            news=self._view.news if news is None else news,
        )

    def _list(self) -> None:
        found: dict[Path, TakeEntry] = {}
        try:
            paths = sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder.is_dir() else []
        except OSError as error:
            raise LumbricalError(f"{self._folder} cannot be read: {error.strerror or error}") from error
        for path in paths:
            try:
                state = path.stat()
            except OSError:
                continue  # it went away meanwhile
            known = self._entries.get(path)
            same = known is not None and (known.size, known.modified_ns) == (state.st_size, state.st_mtime_ns)
            # A take that was being recorded may have been closed without another byte.
            settled = known is not None and known.summary is not None and not known.summary.recording
            found[path] = known if known and same and settled else TakeEntry(path, state.st_size, state.st_mtime_ns)
        same = self._view.listed and list(found.values()) == list(self._entries.values())
        self._entries = found
        if not same:
            self._view = replace(self._view, listed=True)
            self._publish()

    def _next_unread(self) -> TakeEntry | None:
        in_view = (self._entries[path] for path in self._in_view if path in self._entries)
        unread = next((entry for entry in in_view if not entry.done), None)
        if unread is not None:
            return unread
        return next((entry for entry in self._view.entries if not entry.done), None)

    def _read(self, entry: TakeEntry) -> None:
        """The summary first: words come before pictures."""
        if entry.summary is None:
            entry = replace(entry, summary=self._summarise(entry.path))
        else:
            picture = self._picture(entry.path, self._thumbnails) if entry.summary.frames else None
            entry = replace(entry, thumbnail=picture, no_thumbnail=picture is None)
        if entry.path in self._entries:
            self._entries[entry.path] = entry
            self._publish()

    def _describe(self, path: Path, notes: TakeNotes) -> None:
        entry = self._entries.get(path)
        if entry is None or entry.summary is None:
            return
        if notes.name == entry.summary.name or entry.summary.recording:
            write_notes(path, notes)
            target = path
        else:
            target = rename_take(path, notes)
        state = target.stat()
        del self._entries[path]
        summary = replace(entry.summary, name=notes.name, notes=notes.notes)
        self._entries[target] = replace(entry, path=target, summary=summary, modified_ns=state.st_mtime_ns)
        self._publish(trouble="", news="")

    def _delete(self, path: Path) -> None:
        entry = self._entries.get(path)
        if entry is not None and entry.summary is not None and entry.summary.recording:
            raise LumbricalError(f"{path.name} is being recorded now: stop the recording first")
        remove_take(path)
        self._entries.pop(path, None)
        self._publish(trouble="", news=f"{path.name} was deleted")

    def _check(self, path: Path) -> None:
        entry = self._entries.get(path)
        if entry is None:
            return
        self._publish(trouble="", news=f"checking {path.name} …")
        summary = read_summary(path, lambda: not self.stopping)
        if path in self._entries:
            self._entries[path] = replace(entry, summary=summary)
        found = summary.problem or "nothing is wrong with it"
        self._publish(news=f"{path.name}: {found}")

    def _recover(self, path: Path) -> None:
        from engine.takes.recovery import recover

        self._publish(trouble="", news=f"recovering {path.name} …")
        done = recover(path, _free_name(path))
        self._list()
        self._publish(news=f"{done.path.name}: {done.receipt.sentence()}")


def _free_name(path: Path) -> Path:
    """Where the clean copy goes: recovery refuses names that are taken."""
    from engine.takes.recovery import recovered_path

    wanted = recovered_path(path)
    stem = wanted.name[: -len(SUFFIX)]
    names = (wanted, *(wanted.with_name(f"{stem}-{count}{SUFFIX}") for count in range(2, 1000)))
    return next((name for name in names if not name.exists()), wanted)


def _age(entry: TakeEntry) -> tuple[int, str]:
    """Newest first, by the moment in the file's name, where it has one: that is known before anything is read."""
    try:
        made_s = datetime.strptime(entry.path.name[:19], "%Y-%m-%d_%H-%M-%S").timestamp()
    except (ValueError, OverflowError):
        made_s = entry.modified_ns / 1e9
    return -round(made_s), entry.path.name
