"""A disk that fills up ends the take, which stays whole, plays, and says why it ended."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.takes.facts import DiskFull, Receipt, TakeInfo
from engine.takes.reader import Take
from engine.takes.writer import TakeWriter, WriterConfig
from tests.takes.make import SMALL_CHUNKS, make_frame, make_result


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Writing beyond so many bytes fails, as on a full disk: the first part of a write goes through, the rest does
    not."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _fill(writer: TakeWriter, most: int = 2000) -> int:
    """Write until it is full; how many frames were handed over."""
    for number in range(most):
        frame = make_frame(number)
        try:
            writer.write_frame(frame)
            writer.write_pose(make_result(frame))
        except DiskFull as error:
            assert "make room" in str(error) and "\n" not in str(error)
            return number + 1
    raise AssertionError("it never got full")


def _check(path: Path, receipt: Receipt, handed: int) -> None:
    assert receipt.poses_written + receipt.poses_dropped in (handed, handed - 1)
    assert receipt.frames_received == handed == receipt.frames_written + receipt.frames_dropped
    with Take(path) as take:
        assert take.complete and take.verify() == []
        assert take.frame_count == receipt.frames_written > 10
        assert take.receipt() == receipt
        numbers = [taken.number for taken in take.frames()]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("size", [150_000, 151_000, 157_003, 163_333])
def test_a_write_that_is_refused_leaves_a_whole_take(size: int, tmp_path: Path) -> None:
    writer = TakeWriter(tmp_path / "a.mcap", TakeInfo(), SMALL_CHUNKS)
    with _largest_file(size):
        handed = _fill(writer)
        receipt = writer.close()
    assert receipt.reason == "the disk is full" and receipt.frames_dropped + receipt.poses_dropped > 0
    assert writer.path.stat().st_size <= size
    _check(writer.path, receipt, handed)


def test_it_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    left = iter(range(300 << 20, 0, -(1 << 20)))
    config = WriterConfig(chunk_bytes=20_000, min_free_bytes=256 << 20)
    writer = TakeWriter(tmp_path / "a.mcap", TakeInfo(), config, free_bytes=lambda folder: next(left))
    handed = _fill(writer)
    receipt = writer.close(DiskFull.reason)
    assert receipt.reason == "the disk is nearly full" and not receipt.dropped
    _check(writer.path, receipt, handed)


def test_a_disk_without_room_is_refused_at_the_start(tmp_path: Path) -> None:
    config = WriterConfig(min_free_bytes=256 << 20)
    with pytest.raises(DiskFull, match="100 MB left"):
        TakeWriter(tmp_path / "a.mcap", TakeInfo(), config, free_bytes=lambda folder: 100 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_system(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(mounted)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        writer = TakeWriter(mounted / "a.mcap", TakeInfo(), SMALL_CHUNKS)
        handed = _fill(writer)
        receipt = writer.close()
        _check(writer.path, receipt, handed)
        assert receipt.frames_dropped + receipt.poses_dropped > 0
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
