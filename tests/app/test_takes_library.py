"""The library's model: what a folder's takes are, read lazily; renamed, annotated, checked, recovered, deleted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.take_notes import TakeNotes, notes_path, read_notes, rename_take, write_notes
from app.take_summary import (
    THUMBNAIL_SIZE,
    Picture,
    TakeState,
    TakeSummary,
    depth_picture,
    make_thumbnail,
    read_summary,
)
from app.take_words import clock, facts, folder_words, remarks, size_words, time_left, title
from app.takes_folder import checked_takes_folder, default_takes_folder
from app.takes_library import TakeEntry, TakesLibrary
from engine.takes.facts import TakeInfo
from engine.takes.names import part_path
from engine.takes.reader import Take
from engine.takes.recovery import recover
from engine.takes.writer import TakeWriter
from engine.types import LumbricalError, Side
from tests.app.fakes import wait_until
from tests.takes.make import SMALL_CHUNKS, make_frame, write_take

ROOT = Path(__file__).resolve().parents[2]


def cut_off(path: Path, source: Path) -> Path:
    """What is left of a take whose recorder was killed."""
    data = source.read_bytes()
    target = part_path(path)
    target.write_bytes(data[: int(0.7 * len(data))])
    return target


def damaged(path: Path, source: Path) -> Path:
    data = bytearray(source.read_bytes())
    for place in range(len(data) // 4, len(data) // 4 + 2000):
        data[place] ^= 0x55
    path.write_bytes(bytes(data))
    return path


@contextmanager
def library(folder: Path, cache: Path) -> Iterator[TakesLibrary]:
    made = TakesLibrary(folder, cache)
    made.start()
    made.refresh()
    try:
        yield made
    finally:
        assert made.stop()


def read_all(made: TakesLibrary, count: int) -> bool:
    return wait_until(lambda: len(made.view.entries) == count and all(entry.done for entry in made.view.entries), 10.0)


def entry(made: TakesLibrary, path: Path) -> TakeEntry:
    return next(one for one in made.view.entries if one.path == path)


# --- one take ---


def test_a_summary_says_what_there_is(tmp_path: Path) -> None:
    info = TakeInfo(name="wave", notes="slow", user="Ann", side=Side.LEFT, sensor="camera 1", fps=30)
    summary = read_summary(write_take(tmp_path / "a.mcap", 31, info=info))
    assert (summary.name, summary.notes, summary.user, summary.sensor) == ("wave", "slow", "Ann", "camera 1")
    assert (summary.frames, summary.poses, summary.dropped, summary.side) == (31, 31, 0, Side.LEFT)
    assert summary.state is TakeState.COMPLETE and summary.problem == "" and not summary.recording
    assert summary.duration_s == pytest.approx(1.0, abs=0.01)
    assert summary.created is not None and abs(summary.created.timestamp() - time.time()) < 60


def test_states_of_takes(tmp_path: Path) -> None:
    whole = write_take(tmp_path / "whole.mcap", 60)
    part = cut_off(tmp_path / "cut.mcap", whole)
    assert read_summary(part).state is TakeState.RECOVERED and "cut off" in read_summary(part).problem
    clean = recover(part, tmp_path / "clean.mcap").path
    assert read_summary(clean).state is TakeState.RECOVERED
    # Damage within a frame shows when it is read.
    hurt = damaged(tmp_path / "hurt.mcap", whole)
    assert read_summary(hurt).state is TakeState.COMPLETE
    found = read_summary(hurt, lambda: True)
    assert found.state is TakeState.DAMAGED and "damaged" in found.problem
    assert read_summary(whole, lambda: True).state is TakeState.COMPLETE
    hurt.write_bytes(hurt.read_bytes()[:-40])
    assert read_summary(hurt).state is not TakeState.COMPLETE
    (tmp_path / "none.mcap").write_bytes(b"no take at all")
    none = read_summary(tmp_path / "none.mcap")
    assert none.state is TakeState.DAMAGED and "not an MCAP file" in none.problem and none.frames == 0
    assert read_summary(tmp_path / "gone.mcap").state is TakeState.DAMAGED


def test_a_take_that_is_being_recorded_says_so(tmp_path: Path) -> None:
    writer = TakeWriter(tmp_path / "now.mcap", TakeInfo(), SMALL_CHUNKS)
    for number in range(20):
        writer.write_frame(make_frame(number))
    writer.flush()
    try:
        assert read_summary(writer.part).recording
    finally:
        writer.close()


def test_thumbnails_are_made_once_and_never_believed(tmp_path: Path) -> None:
    path, cache = write_take(tmp_path / "a.mcap", 9), tmp_path / "cache"
    first = make_thumbnail(path, cache)
    assert first is not None and first.shape == (THUMBNAIL_SIZE[1], THUMBNAIL_SIZE[0], 3)
    (kept,) = cache.iterdir()
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    moment = kept.stat().st_mtime_ns
    again = make_thumbnail(path, cache)
    assert again is not None and np.array_equal(again, first) and kept.stat().st_mtime_ns == moment
    kept.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8) + (10**9).to_bytes(4, "big") * 2)
    repaired = make_thumbnail(path, cache)
    assert repaired is not None and np.array_equal(repaired, first)
    # Another file under the name has another picture.
    path.unlink()
    write_take(path, 3)
    assert make_thumbnail(path, cache) is not None and len(list(cache.iterdir())) == 2


def test_a_thumbnail_of_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "none.mcap").write_bytes(b"no take at all")
    assert make_thumbnail(tmp_path / "none.mcap", tmp_path) is None
    assert make_thumbnail(tmp_path / "gone.mcap", tmp_path) is None
    # A cache that cannot be written costs time, not the picture.
    (tmp_path / "file").write_text("")
    assert make_thumbnail(write_take(tmp_path / "a.mcap", 3), tmp_path / "file") is not None


@pytest.mark.parametrize("shape", [(480, 848), (576, 640), (30, 40), (1, 1), (900, 100)])
def test_pictures_of_all_sizes_fit(shape: tuple[int, int]) -> None:
    depth = np.full(shape, 900, np.uint16)
    depth[: shape[0] // 2] = 500
    picture = depth_picture(depth, 1.0)
    assert picture.shape == (THUMBNAIL_SIZE[1], THUMBNAIL_SIZE[0], 3)
    if shape[0] > 1:
        assert picture[10].mean() > picture[-10].mean(), "near is brighter"
    assert depth_picture(np.zeros(shape, np.uint16), 1.0).max() < 40


# --- notes ---


def test_notes_are_beside_the_take_and_the_take_stays_as_it_is(tmp_path: Path) -> None:
    path = write_take(tmp_path / "2026-11-20_10-00-00_wave.mcap", 3, info=TakeInfo(name="wave", notes="old"))
    before = path.read_bytes()
    moved = rename_take(path, TakeNotes("Ann waves", "new"))
    assert moved.name == "2026-11-20_10-00-00_Ann-waves.mcap" and moved.read_bytes() == before and not path.exists()
    summary = read_summary(moved)
    assert (summary.name, summary.notes) == ("Ann waves", "new")
    assert sorted(one.name for one in tmp_path.iterdir()) == [notes_path(moved).name, moved.name]


def test_renaming_replaces_nothing(tmp_path: Path) -> None:
    other = write_take(tmp_path / "2026-11-20_10-00-00_wave.mcap", 5)
    kept = other.read_bytes()
    path = write_take(tmp_path / "2026-11-20_10-00-00_fist.mcap", 3)
    moved = rename_take(path, TakeNotes("wave"))
    assert moved.name == "2026-11-20_10-00-00_wave-2.mcap" and other.read_bytes() == kept
    assert rename_take(moved, TakeNotes("wave", "again")) == moved
    assert rename_take(moved, TakeNotes("/../: ", "")).parent == tmp_path


def test_damaged_notes_are_passed_over(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 3, info=TakeInfo(name="wave"))
    for text in ("", "{", "[]", '{"name": 3}', "[" * 5000):
        notes_path(path).write_text(text)
        assert read_summary(path).name in ("wave", "")
    notes_path(path).unlink()
    assert read_notes(path) is None
    with pytest.raises(LumbricalError, match="shorten"):
        write_notes(path, TakeNotes("x" * 20_001))
    with pytest.raises(LumbricalError, match="cannot be written"):
        write_notes(tmp_path / "missing" / "a.mcap", TakeNotes("x"))


# --- the folder ---


def test_the_default_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = default_takes_folder()
    assert folder.name == "takes" and not folder.is_relative_to(ROOT)
    assert checked_takes_folder(folder) == folder


@pytest.mark.parametrize("inside", [".", "takes", "app/../takes"])
def test_the_programs_own_folder_is_refused(monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(LumbricalError, match="program's own folder"):
        checked_takes_folder(inside)
    assert checked_takes_folder("..") == ROOT / ".."


# --- the library ---


def test_hundreds_of_takes_are_listed_at_once_and_those_in_view_read_first(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"2026-11-20_10-{number // 60:02d}-{number % 60:02d}.mcap").write_bytes(b"x")
    read: list[Path] = []
    go_on = threading.Semaphore(0)

    def slow(path: Path) -> TakeSummary:
        go_on.acquire()
        read.append(path)
        return TakeSummary("", "", "", "", None, 0.0, 0, 0, 0, None, False, TakeState.COMPLETE)

    made = TakesLibrary(tmp_path, tmp_path, slow, lambda *_: None)
    made.start()
    try:
        began_s = time.monotonic()
        made.refresh()
        assert wait_until(lambda: len(made.view.entries) == 300)
        assert time.monotonic() - began_s < 2.0 and made.view.listed
        names = [one.path.name for one in made.view.entries]
        assert names == sorted(names, reverse=True), "newest first"
        wanted = [made.view.entries[place].path for place in (200, 201)]
        made.show_first(wanted)
        for _ in range(4):
            go_on.release()
        assert wait_until(lambda: len(read) == 4)
        # One may have been under way when these were asked for.
        assert set(wanted) <= set(read[:3])
    finally:
        made.request_stop()
        for _ in range(400):
            go_on.release()
        assert made.stop()


def test_the_library_reads_renames_and_deletes(tmp_path: Path) -> None:
    folder, cache = tmp_path / "takes", tmp_path / "cache"
    folder.mkdir()
    first = write_take(folder / "2026-11-20_10-00-00_a.mcap", 4)
    second = write_take(folder / "2026-11-20_11-00-00_b.mcap", 4)
    (folder / "notes.txt").write_text("not a take")
    with library(folder, cache) as made:
        assert read_all(made, 2)
        assert [one.path for one in made.view.entries] == [second, first]
        assert all(one.thumbnail is not None for one in made.view.entries)
        made.describe(first, TakeNotes("fist", "tight"))
        renamed = folder / "2026-11-20_10-00-00_fist.mcap"
        assert wait_until(lambda: any(one.path == renamed for one in made.view.entries))
        summary = entry(made, renamed).summary
        assert summary is not None and (summary.name, summary.notes) == ("fist", "tight")
        made.describe(renamed, TakeNotes("fist", "loose"))
        assert wait_until(lambda: read_notes(renamed) == TakeNotes("fist", "loose"))
        made.delete(renamed)
        assert wait_until(lambda: len(made.view.entries) == 1)
        assert "deleted" in made.view.news and not renamed.exists() and not notes_path(renamed).exists()
        second.unlink()
        made.delete(second)
        assert wait_until(lambda: "cannot be deleted" in made.view.trouble)


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    counts: dict[Path, int] = {}

    def counted(path: Path) -> TakeSummary:
        counts[path] = counts.get(path, 0) + 1
        return read_summary(path)

    paths = [write_take(tmp_path / f"{name}.mcap", 3) for name in "ab"]
    made = TakesLibrary(tmp_path, tmp_path / "cache", counted)
    made.start()
    try:
        made.refresh()
        assert read_all(made, 2)
        version = made.view.version
        made.refresh()
        time.sleep(0.3)
        assert made.view.version == version
        write_take(tmp_path / "c.mcap", 3)
        made.refresh()
        assert read_all(made, 3)
        assert counts == {paths[0]: 1, paths[1]: 1, tmp_path / "c.mcap": 1}
    finally:
        assert made.stop()


def _is_there(made: TakesLibrary, path: Path) -> bool:
    return path.exists() and path.name in made.view.news


def test_a_damaged_take_is_recovered_beside_it(tmp_path: Path) -> None:
    whole = write_take(tmp_path / "whole.mcap", 60)
    hurt = damaged(tmp_path / "hurt.mcap", whole)
    with library(tmp_path, tmp_path / "cache") as made:
        assert read_all(made, 2)
        made.check(hurt)
        assert wait_until(lambda: (summary := entry(made, hurt).summary) is not None and summary.problem != "")
        # Reading it for the list may have found the same, before it was checked.
        assert wait_until(lambda: "hurt.mcap: " in made.view.news)
        assert "hurt.mcap: " in made.view.news
        for name in ("hurt-recovered.mcap", "hurt-recovered-2.mcap"):
            made.recover(hurt)
            assert wait_until(partial(_is_there, made, tmp_path / name))
        with Take(tmp_path / "hurt-recovered.mcap") as take:
            assert take.complete and take.frame_count > 10


def test_a_take_that_is_recorded_now_is_not_deleted(tmp_path: Path) -> None:
    writer = TakeWriter(tmp_path / "now.mcap", TakeInfo(), SMALL_CHUNKS)
    for number in range(20):
        writer.write_frame(make_frame(number))
    writer.flush()
    with library(tmp_path, tmp_path / "cache") as made:
        assert read_all(made, 1)
        made.delete(writer.part)
        assert wait_until(lambda: "stop the recording" in made.view.trouble) and writer.part.exists()
        writer.close()
        made.refresh()
        assert wait_until(lambda: [one.path for one in made.view.entries] == [writer.path])


def test_a_folder_that_is_not_there_has_no_takes(tmp_path: Path) -> None:
    with library(tmp_path / "none", tmp_path) as made:
        assert wait_until(lambda: made.view.listed) and made.view.entries == () and made.view.trouble == ""
        other = tmp_path / "other"
        other.mkdir()
        write_take(other / "a.mcap", 3)
        made.refresh(other)
        assert read_all(made, 1) and made.folder == other


# --- words ---


def test_words() -> None:
    assert [clock(seconds) for seconds in (0, 5.9, 65, 3723)] == ["0:00", "0:05", "1:05", "1:02:03"]
    assert [size_words(size) for size in (0, 999, 34_200_000, 250_000_000, 3_100_000_000)] == [
        "0 kB", "1 kB", "34.2 MB", "250 MB", "3.1 GB"
    ]  # fmt: skip
    assert [time_left(seconds, 10**9) for seconds in (None, 30, 600, 7200, 10**6)] == [
        "1.0 GB free", "30 s left", "10 min left", "2 h left", "days left"
    ]  # fmt: skip
    assert folder_words(Path.home() / "a" / "takes") == "~/a/takes" and folder_words(Path("/else")) == "/else"
    dated = TakeEntry(Path("2026-11-20_10-00-00.mcap"), 1000, 0)
    assert title(dated) == "Untitled" and "reading" in facts(dated) and remarks(dated) == ""
    assert title(TakeEntry(Path("wave.mcap"), 1, 0)) == "wave"


def test_pictures_are_those_of_the_summary(tmp_path: Path) -> None:
    asked: list[Path] = []

    def picture(path: Path, _: Path) -> Picture | None:
        asked.append(path)
        return None

    empty = TakeWriter(tmp_path / "empty.mcap", TakeInfo(), SMALL_CHUNKS)
    empty.close()
    made = TakesLibrary(tmp_path, tmp_path, picture=picture)
    made.start()
    made.refresh()
    try:
        assert read_all(made, 1) and made.view.entries[0].no_thumbnail and asked == []
    finally:
        assert made.stop()
