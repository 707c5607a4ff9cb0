"""Damaged takes: what is whole is read, what is lost is reported, nothing wrong is believed."""

from __future__ import annotations

import random
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mcap.exceptions import McapError
from mcap.reader import make_reader

from engine.sensors.protocol import BadRecording, EndOfStream
from engine.takes.container import MAGIC
from engine.takes.facts import TakeError
from engine.takes.reader import Take
from engine.takes.recovery import recover
from engine.takes.schemas import DEPTH
from engine.takes.source import TakeSource
from engine.types import LumbricalError
from tests.takes.make import make_frame, write_take

FUZZ_CASES = 1000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_take(tmp_path_factory.mktemp("takes") / "whole.mcap", 24).read_bytes()


def _check(path: Path) -> int:
    """Read everything; every frame that comes must be one that was written. Returns how many came."""
    with Take(path) as take:
        count = 0
        for taken in take.frames():
            made = make_frame(taken.number)
            assert taken.frame.depth.tobytes() == made.depth.tobytes()
            assert taken.device_time_s == pytest.approx(made.device_time_s)
            count += 1
        take.poses()
        take.events()
        take.receipt()
        if count < 24:
            assert take.damage, "frames are missing without a word"
    return count


def test_a_take_that_was_cut_off_anywhere_opens(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.part.mcap"
    counts = []
    for cut in range(len(whole), 9000, -3989):
        path.write_bytes(whole[:cut])
        counts.append(_check(path))
    assert counts[0] == 24 and counts[-1] < 8
    assert counts == sorted(counts, reverse=True)


def test_a_damaged_chunk_costs_its_own_frames_only(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "flipped.mcap"
    path.write_bytes(whole)
    with Take(path) as take:
        place = [one for one in take.layout.places if one.channels and DEPTH.id in one.channels][2]
    data = bytearray(whole)
    data[place.data_offset + place.data_size // 2] ^= 0x10
    path.write_bytes(data)
    with TakeSource(path) as source:
        numbers = []
        with pytest.raises(EndOfStream):
            while True:
                frame = source.read()
                assert frame is not None
                numbers.append(frame.number)
        lost = sorted(set(range(24)) - set(numbers))
        assert 1 <= len(lost) <= 5 and lost == list(range(lost[0], lost[-1] + 1))
        assert source.frame_count == 24
        (warning,) = source.warnings
        assert f"{len(lost)} frames are lost" in warning and "recover" in warning
    done = recover(path)
    assert done.path.name == "flipped-recovered.mcap" and done.damage
    assert done.receipt.dropped == {"damaged in the file": len(lost)}
    with Take(done.path) as take:
        assert take.complete and take.verify() == [] and take.frame_count == 24 - len(lost)
        assert take.info.user == "Ann" and len(take.poses()) == 24
    assert path.read_bytes() == bytes(data)


def test_a_take_whose_first_bytes_are_damaged_is_read_but_not_whole(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "oh.mcap"
    for place in range(len(MAGIC)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path.write_bytes(data)
        with Take(path) as take:
            assert not take.complete and "first bytes are damaged" in take.damage[0]
            assert len(list(take.frames())) == 24
            assert len(take.verify()) == 1
    with path.open("rb") as file, pytest.raises(McapError):
        make_reader(file).get_summary()
    done = recover(path)
    with Take(done.path) as take:
        assert take.complete and take.verify() == [] and take.frame_count == 24
    with done.path.open("rb") as file:
        assert sum(channel.topic == DEPTH.name for _, channel, _ in make_reader(file).iter_messages()) == 24


def test_how_many_frames_can_be_read_is_told_as_far_as_it_is_known(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(whole)
    with Take(path) as take:
        assert take.frames_in_words() == "24 frames are there" and take.readable_count == 24
        places = [one for one in take.layout.places if one.channels and DEPTH.id in one.channels]
    data = bytearray(whole)
    for place in (places[0], places[3]):
        data[place.data_offset + place.data_size // 2] ^= 0x10
    path.write_bytes(data)
    with TakeSource(path) as source:
        assert "as far as they were tried" in source.warnings[0], "the second is not known yet"
        numbers = []
        with pytest.raises(EndOfStream):
            while (frame := source.read()) is not None:
                numbers.append(frame.number)
        assert f"; {len(numbers)} of 24 frames can be read. " in source.warnings[0]
    with Take(path) as take:
        take.verify()
        assert take.readable_count == len(numbers) < 24


def test_verifying_finds_what_no_chunk_s_check_sum_covers(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    data = bytearray(whole)
    at = data.index(b"Ann")
    data[at : at + 3] = b"Bob"
    path.write_bytes(data)
    with Take(path) as take:
        assert take.complete and take.info.user == "Bob"
        assert "check sum of the whole file" in take.verify()[0] and not take.complete


def test_recovering_a_take_that_was_cut_off(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wave.part.mcap"
    path.write_bytes(whole[: len(whole) // 2])
    with Take(path) as take:
        frames = take.frame_count
        assert 5 < frames < 20 and not take.complete and "cut off" in take.damage[0]
    done = recover(path)
    assert done.path == tmp_path / "wave.mcap" and done.receipt.reason == "cut off; recovered"
    with Take(done.path) as take:
        assert take.complete and take.frame_count == frames
        assert take.receipt().frames_written == frames
    with pytest.raises(TakeError, match="exists"):
        recover(path)
    assert path.exists() and sorted(one.name for one in tmp_path.iterdir()) == ["wave.mcap", "wave.part.mcap"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\x00" * 5000, "not an MCAP"), (b"PK\x03\x04" * 50, "not an MCAP"), (MAGIC, "no take")],
)
def test_what_is_no_take_is_refused_in_one_line(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=words) as caught:
        Take(path)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_paths(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mcap", tmp_path):
        with pytest.raises(BadRecording):
            Take(path)


def test_an_empty_take_opens_but_does_not_play(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 0)
    with Take(path) as take:
        assert take.complete and take.frame_count == 0 and len(take.poses()) == 0
    with pytest.raises(BadRecording, match="no frames"):
        TakeSource(path).open()


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _spoil_head(data: bytearray, rng: random.Random) -> None:
    data[: rng.randrange(1, 40)] = rng.randbytes(rng.randrange(1, 40))


def _empty(data: bytearray, rng: random.Random) -> None:
    data[:] = b"\x00" * rng.choice((0, 0, 1, 8, 9, 4096))


def _huge_size(data: bytearray, rng: random.Random) -> None:
    """A huge number where a size stands: records, chunks and summary are full of eight-byte sizes."""
    sizes = (2**63, 2**64 - 1, 2**40, 2**31, 127 << 20, 200 << 20, rng.randrange(2**64))
    offsets, at = [], len(MAGIC)
    while at + 9 <= len(data) and data[at]:
        offsets += [at + 1] if data[at] != 6 else [at + 1, at + 25, at + 45]
        at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.choice([*offsets, rng.randrange(len(data) - 8)])
        if at + 8 <= len(data):
            data[at : at + 8] = struct.pack("<Q", rng.choice(sizes))


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.randrange(1, 3000))


def _cut_out(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, 30_000)]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _truncate, _flip, _flip, _flip, _spoil_head, _empty, _huge_size, _huge_size, _insert, _cut_out
)  # fmt: skip


def test_a_thousand_damaged_files(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fuzzed.mcap"
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    read = refused = recovered = 0
    for case in range(FUZZ_CASES):
        rng = random.Random(case)
        data = bytearray(whole)
        rng.choice(MUTATIONS)(data, rng)
        path.write_bytes(data)
        start_s = time.monotonic()
        try:
            count = _check(path)
            read += 1
            if case % 10 == 0:
                done = recover(path, tmp_path / f"recovered-{case}.mcap")
                with Take(done.path) as take:
                    assert take.complete and take.verify() == [] and take.frame_count == count
                recovered += 1
        except LumbricalError as error:
            assert "\n" not in str(error)
            refused += 1
        assert time.monotonic() - start_s < 10, f"case {case} hangs"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    assert grown < 600 << 20, f"{grown >> 20} MB"
    assert read > 0.6 * FUZZ_CASES and recovered > 30 and refused > 20
