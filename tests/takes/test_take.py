"""What goes into a take comes out, and any MCAP tool can read it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader
from mcap.records import Schema
from mcap.stream_reader import StreamReader

from engine.takes.facts import ImageChanged, TakeError, TakeInfo
from engine.takes.names import part_path, take_path
from engine.takes.reader import Take
from engine.takes.writer import TakeWriter
from engine.types import Intrinsics, Side
from tests.takes.make import CAMERA, SMALL_CHUNKS, make_frame, make_result, write_take


def test_frames_come_back_bit_for_bit(tmp_path: Path) -> None:
    with Take(write_take(tmp_path / "a.mcap")) as take:
        assert take.complete and take.damage == [] and not take.recording
        assert take.frame_count == 20 and len(take.layout.places) > 3
        for index in (19, 0, 7, 8, 3):
            taken, made = take.frame(index), make_frame(index)
            assert taken.frame.depth.tobytes() == made.depth.tobytes()
            assert taken.frame.depth_unit_mm == made.depth_unit_mm and taken.frame.intrinsics == CAMERA
            assert taken.frame.device_time_s == made.device_time_s == taken.device_time_s
            assert taken.number == index == taken.frame.number
            assert taken.time_ns == take.times_ns[index]
        assert np.allclose(np.diff(take.times_ns), 1e9 / 30, atol=2)
        assert take.verify() == []
        with pytest.raises(IndexError):
            take.frame(20)


def test_poses_come_back_bit_for_bit_as_arrays(tmp_path: Path) -> None:
    with Take(write_take(tmp_path / "a.mcap")) as take:
        poses = take.poses()
    assert len(poses) == 20 and poses.theta.shape == (20, 26) and poses.joints_mm.shape == (20, 21, 3)
    assert poses.frame.tolist() == poses.number.tolist() == list(range(20))
    assert poses.tracked.sum() == 14
    for row in range(20):
        result = make_result(make_frame(row), tracked=row % 3 != 2)
        assert poses.state[row] == result.state.value and poses.weights_version[row] == "test-1"
        if result.parameters is None or result.geometry is None or result.joint_sigma_mm is None:
            assert np.isnan(poses.theta[row]).all() and np.isnan(poses.joints_mm[row]).all()
            continue
        assert poses.side[row] == "left" and poses.residual_mm[row] == 1.25 and poses.latency_ms[row] == 10
        assert poses.theta[row].tobytes() == result.parameters.theta.tobytes()
        assert poses.beta[row].tobytes() == result.parameters.beta.tobytes()
        assert poses.thickness[row].tobytes() == result.parameters.thickness.tobytes()
        assert poses.joints_mm[row].tobytes() == result.geometry.joints.tobytes()
        assert poses.joint_sigma_mm[row].tobytes() == result.joint_sigma_mm.tobytes()


def test_what_a_take_says_of_itself(tmp_path: Path) -> None:
    info = TakeInfo(
        sensor="cam", fps=60, side=Side.RIGHT, name="wave", notes="two\nlines — ünïcode", user="Ann",
        profile={"beta": [0.25]}, weights_version="w-1", hand_only=True,
    )  # fmt: skip
    with Take(write_take(tmp_path / "a.mcap", info=info)) as take:
        assert take.info == info and take.fps == 60
        (event,) = take.events()
        assert event.kind == "adaptation.step" and event.details == {"loss": 0.5}
        receipt = take.receipt()
    assert (receipt.frames_received, receipt.frames_written, receipt.frames_dropped) == (20, 20, 0)
    assert receipt.poses_written == 20 and receipt.reason == "stopped" and receipt.weights_versions == ("test-1",)
    assert receipt.duration_s == pytest.approx(19 / 30, abs=1e-3)


def test_colour_is_kept_where_there_is_some(tmp_path: Path) -> None:
    with Take(write_take(tmp_path / "a.mcap", color=True)) as take:
        color = take.frame(3).frame.color
        assert color is not None and np.abs(color.astype(int) - (200, 40, 90)).max() < 12
        assert take.frame(3, color=False).frame.color is None


def _message_class(schema: Schema) -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))


def test_the_plain_mcap_package_reads_it_by_the_embedded_schemas(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = write_take(tmp_path / "a.mcap", color=True)
    seen: Counter[str] = Counter()
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None
            seen[channel.topic] += 1
            if schema.encoding == "jsonschema":
                assert channel.message_encoding == "json"
                jsonschema.validate(json.loads(message.data), json.loads(schema.data))
                continue
            decoded = _message_class(schema).FromString(message.data)
            if schema.name == "foxglove.RawImage":
                assert (decoded.width, decoded.height, decoded.encoding, decoded.step) == (64, 48, "16UC1", 128)
                assert decoded.data == make_frame(message.sequence).depth.tobytes()
                assert decoded.timestamp.ToNanoseconds() == message.log_time
            elif schema.name == "foxglove.CameraCalibration":
                assert list(decoded.K) == [48, 0, 32, 0, 48, 24, 0, 0, 1]
    assert seen["/depth/image"] == seen["/depth/frame"] == seen["/color/image"] == seen["/hand/pose"] == 20
    assert seen["/hand/joints"] == 14 and seen["/take/event"] == seen["/take/receipt"] == 1


def test_the_mcap_package_finds_nothing_wrong(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap")
    with path.open("rb") as file:
        # Every chunk's CRC and that of the whole data section.
        records = list(StreamReader(file, validate_crcs=True).records)
    assert len(records) > 60
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == sum(1 for _ in reader.iter_messages())
        assert summary.statistics.chunk_count == len(summary.chunk_indexes)
        (metadata,) = list(reader.iter_metadata())
        assert metadata.name == "lumbrical.take" and metadata.metadata["user"] == "Ann"


def test_nothing_is_ever_replaced(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 2)
    before = path.read_bytes()
    for wanted in (path, tmp_path / "a.part.mcap"):
        with pytest.raises(TakeError):
            take_path(wanted)
    with pytest.raises(TakeError, match="exists"):
        TakeWriter(path, TakeInfo())
    writer = TakeWriter(tmp_path / "b.mcap", TakeInfo(), SMALL_CHUNKS)
    assert part_path(tmp_path / "b.mcap").exists() and not (tmp_path / "b.mcap").exists()
    (tmp_path / "b.mcap").write_bytes(b"came in between")
    writer.close()
    assert writer.path.name == "b-2.mcap" and (tmp_path / "b.mcap").read_bytes() == b"came in between"
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.mcap", "b-2.mcap", "b.mcap"]


def test_names_in_a_folder(tmp_path: Path) -> None:
    first = take_path(tmp_path / "new", "my wave/../x")
    assert first.parent == tmp_path / "new" and first.name.endswith("_my-wave-x.mcap")
    first.touch()
    assert take_path(tmp_path / "new", "my wave/../x") != first
    (tmp_path / "file").touch()
    for wanted in (tmp_path / "file", tmp_path / "none" / "a.mcap", tmp_path / "x.part.mcap"):
        with pytest.raises(TakeError):
            take_path(wanted)


def test_another_camera_ends_the_take(tmp_path: Path) -> None:
    writer = TakeWriter(tmp_path / "a.mcap", TakeInfo(), SMALL_CHUNKS)
    writer.write_frame(make_frame(0))
    for other in (
        make_frame(1, camera=Intrinsics(32, 24, 24.0, 24.0, 16.0, 12.0)),
        replace(make_frame(1), depth_unit_mm=0.5),
    ):
        with pytest.raises(ImageChanged, match="start another"):
            writer.write_frame(other)
    receipt = writer.close("another camera or resolution")
    assert (receipt.frames_received, receipt.frames_written) == (3, 1)
    assert receipt.dropped == {"another camera or resolution": 2}


def test_a_take_that_is_being_written_can_be_read_and_says_so(tmp_path: Path) -> None:
    writer = TakeWriter(tmp_path / "a.mcap", TakeInfo(user="Ann"), SMALL_CHUNKS)
    with Take(writer.part) as take:
        assert take.recording and take.frame_count == 0 and take.info.user == "Ann"
    for number in range(8):
        writer.write_frame(make_frame(number))
    writer.note_dropped("too slow", 3)
    writer.flush()
    with Take(writer.part) as take:
        assert take.recording and take.frame_count == 8 and "recorded now" in take.damage[0]
        receipt = take.receipt()
        assert receipt.dropped == {"too slow": 3} and receipt.frames_received == 11
    writer.close()
    with Take(writer.path) as take:
        assert take.complete and not take.recording
