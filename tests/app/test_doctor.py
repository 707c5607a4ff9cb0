"""The report on what this machine has; drivers that hang, crash or chatter do not spoil it."""

from __future__ import annotations

import argparse
import json
import re
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from app import doctor, probes
from app.commands import doctor as command
from app.doctor import Check, Package
from app.system_packages import SystemPackage
from engine.runners.int8 import int8_is_fast

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def module_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which child processes import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def _fake_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> list[Check]:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return doctor.check_nvidia_driver()


def test_every_dependency_of_the_project_is_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[=<>; ]", requirement)[0] for requirement in project["dependencies"]}
    assert wanted == {name for package in doctor.PACKAGES for name in package.distributions}


def test_installed_package_shows_its_version() -> None:
    (check,) = doctor.check_package(Package(("numpy",), "numpy", "everything"))
    assert check.ok and check.detail == np.__version__


def test_missing_package_says_how_to_get_it() -> None:
    (check,) = doctor.check_package(Package(("no-such-thing",), "no_such_thing", "dreams"))
    assert not check.ok and check.required
    assert check.fix == "pip install no-such-thing"
    assert not doctor.can_run([check])


def test_package_that_is_installed_but_does_not_load_is_found_out(module_folder: Path) -> None:
    (module_folder / "unloadable.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    (check,) = doctor.check_package(Package(("numpy",), "unloadable", "everything"))
    assert not check.ok
    assert "libGL.so.1: cannot open" in check.detail


def test_hanging_driver_is_given_up(module_folder: Path) -> None:
    (module_folder / "hanging.py").write_text("import time; time.sleep(60)")
    start = time.monotonic()
    assert probes.ask("import", "hanging", timeout_s=1.0).error == "no answer within 1 s"
    assert time.monotonic() - start < 10


def test_crashing_driver_takes_only_its_child_with_it(module_folder: Path) -> None:
    (module_folder / "crashing.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert probes.ask("import", "crashing").error == "crashed with signal 11"


def test_chatter_of_a_library_does_not_spoil_the_answer(module_folder: Path) -> None:
    (module_folder / "chatty.py").write_text("import os; os.write(1, b'[info] hello'); print('hello')")
    assert probes.ask("import", "chatty") == probes.Answer()


def test_unforeseen_failure_of_a_probe_is_one_line(module_folder: Path) -> None:
    (module_folder / "broken.py").write_text("raise KeyError('boo')")
    assert probes.ask("import", "broken").error == "KeyError: 'boo'"


def test_missing_system_library_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SystemPackage("libno-such-thing.so.9", "libno-such-thing9", "the window")
    assert not entry.is_present()
    monkeypatch.setattr(doctor, "missing_packages", lambda *, dev: [entry])
    (check,) = doctor.check_system_libraries()
    assert (check.ok, check.required, check.fix) == (False, True, "apt-get install libno-such-thing9")


def test_cameras_are_listed_and_usb_2_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = {"name": "Intel RealSense D435", "serial": "123", "firmware": "5.15", "usb": "2.1"}
    monkeypatch.setattr(probes, "ask", lambda probe: probes.Answer({"cameras": [camera]}))
    (check,) = doctor.check_realsense()
    assert check.ok
    assert "D435, serial 123" in check.detail and "USB 3 port and cable" in check.detail


def test_camera_that_the_sdk_may_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ask", lambda probe: probes.Answer({"cameras": []}))
    monkeypatch.setattr(doctor, "_usb_products", lambda word: ["Intel(R) RealSense(TM) Depth Camera 435"])
    (check,) = doctor.check_realsense()
    assert not check.ok and "udev" in check.fix


def test_gpus_as_nvidia_smi_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = _fake_nvidia_smi(tmp_path, monkeypatch, "echo 'A100, 580.1, 40960 MiB'; echo 'B200, 580.1, 99 MiB'")
    assert [(check.ok, check.detail) for check in checks] == [
        (True, "A100, 580.1, 40960 MiB"),
        (True, "B200, 580.1, 99 MiB"),
    ]


def test_driver_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = _fake_nvidia_smi(tmp_path, monkeypatch, "echo 'no devices were found'; exit 6")
    assert not check.ok and "no devices were found" in check.detail


@pytest.mark.parametrize("gpu", [True, False])
def test_tensorrt_is_of_use_where_there_is_a_gpu(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ask", lambda probe: probes.Answer({"version": "1.7", "module": "tensorrt_rtx"}))
    monkeypatch.setattr(doctor, "check_nvidia_driver", lambda: [Check("GPU (optional)", "NVIDIA driver", gpu, "")])
    (check,) = doctor.check_tensorrt()
    assert check.ok is gpu and check.detail.startswith("1.7 (tensorrt_rtx)") and not check.fix
    assert ("without an NVIDIA GPU" in check.detail) is not gpu
    monkeypatch.setattr(probes, "ask", lambda probe: probes.Answer(error="none is installed"))
    (check,) = doctor.check_tensorrt()
    assert not check.ok and check.fix.endswith("pip install '.[tensorrt]'")


def test_weights_state_their_version() -> None:
    encoder, detector = doctor.check_weights(doctor.WEIGHTS_FOLDER)
    assert encoder.ok and "version encoder-" in encoder.detail
    assert detector.ok and "rendered images" in detector.detail


def test_missing_weights_stop_the_app(tmp_path: Path) -> None:
    for check in doctor.check_weights(tmp_path):
        assert check.required and not check.ok and "main.py train" in check.fix


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    for name in doctor.WEIGHTS:
        (tmp_path / name).write_bytes(b"not weights at all")
    for check in doctor.check_weights(tmp_path):
        assert not check.ok and check.detail and "\n" not in check.detail


@pytest.mark.parametrize(
    ("answer", "ok", "words"),
    [
        (probes.Answer({"fast": True}), True, "this processor is made for it (VNNI)"),
        (probes.Answer({"fast": False}), False, "of no use here"),
        (probes.Answer(error="there is no int8 encoder"), False, "no int8 encoder"),
        (probes.Answer(error="no answer within 30 s", slow=True), False, "busy"),
    ],
)
def test_int8_is_a_tick_where_it_is_of_use_and_never_required(
    answer: probes.Answer, ok: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "ask", lambda *_: answer)
    (check,) = doctor.check_int8(doctor.WEIGHTS_FOLDER)
    assert check.ok is ok and words in check.detail and not check.required


def test_the_int8_encoder_is_looked_at_beside_its_weights(tmp_path: Path) -> None:
    facts = probes.ask("int8", str(doctor.WEIGHTS_FOLDER / "encoder.safetensors")).facts
    assert facts == {"fast": int8_is_fast()}
    assert "no weights" in probes.ask("int8", str(tmp_path / "encoder.safetensors")).error


def test_a_slow_machine_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ask", lambda *_: probes.Answer(error="no answer within 30 s", slow=True))
    (torch,) = doctor.check_package(doctor.PACKAGES[0])
    assert torch.ok and "busy" in torch.detail
    assert all(check.ok for check in doctor.check_weights(doctor.WEIGHTS_FOLDER))


def test_whole_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status = command.run(argparse.Namespace(json=True))
    report = json.loads(capsys.readouterr().out)
    assert status == (0 if report["can_run"] else 1)
    by_name = {check["name"]: check for check in report["checks"]}
    assert by_name["torch"].keys() == {"group", "name", "ok", "detail", "required", "fix"}
    assert {"Python", "numpy", "RealSense", "Azure Kinect", "ONNX Runtime", "TensorRT", "display"} <= by_name.keys()
    assert by_name["ONNX Runtime"]["ok"] and "CPUExecutionProvider" in by_name["ONNX Runtime"]["detail"]


def test_table_marks_and_closing_line() -> None:
    checks = [
        Check("A", "there", True, "1.0", required=True),
        Check("A", "optional", False, "absent", fix="get it"),
        Check("B", "vital", False, "absent", required=True),
    ]
    text = doctor.as_table(checks)
    assert "  ✓ there     1.0\n  · optional  absent; get it\n\nB\n  ✗ vital" in text
    assert "cannot run: vital missing" in text
    assert "✓" not in doctor.as_table(checks, "ascii")
    assert doctor.as_table(checks[:2]).endswith("The app can run.")
