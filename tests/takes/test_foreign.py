"""MCAP files of other programs and of newer versions: said in one line what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcap.writer import Writer

from engine.sensors.protocol import BadRecording
from engine.takes import facts
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.takes.source import TakeSource
from tests.takes.make import write_take


def _foreign(path: Path, topic: str, data: bytes, info: TakeInfo | None = None) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start("", "another program")
        channel = writer.register_channel(topic, "json", writer.register_schema("any", "jsonschema", b"{}"))
        for number in range(3):
            writer.add_message(channel, number, data, number)
        if info is not None:
            writer.add_metadata("lumbrical.take", info.as_metadata())
        writer.finish()
    return path


def test_another_programs_file_is_no_take(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="MCAP file of another program"):
        Take(_foreign(tmp_path / "a.mcap", "/chatter", b"{}"))


@pytest.mark.parametrize("data", [b"{}", b"\xff" * 100, b"[" * 100_000, b""])
@pytest.mark.parametrize("topic", ["/depth/image", "/hand/pose", "/take/receipt", "/depth/frame"])
def test_our_topics_with_other_contents_are_damage(topic: str, data: bytes, tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.mcap", topic, data, TakeInfo(user="Eve"))
    with Take(path) as take:
        assert list(take.frames()) == [] and take.info.user == "Eve"
        take.poses()
        take.events()
        take.receipt()
        assert topic == "/depth/frame" or data == b"{}" or take.damage
    with pytest.raises(BadRecording) as caught:
        TakeSource(path).open()
    assert "\n" not in str(caught.value)


def test_a_newer_take_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facts, "FORMAT", "lumbrical-take-2")
    path = write_take(tmp_path / "a.mcap", 3)
    monkeypatch.undo()
    with pytest.raises(BadRecording, match=r"take-2.*a newer one"):
        Take(path)
