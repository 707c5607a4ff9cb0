"""Whether asking drivers for cameras is worth a wait: told from what is plugged in."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runtime import sources


@pytest.mark.parametrize(("vendor", "likely"), [("8086", True), ("045E", True), ("2bc5", True), ("046d", False)])
def test_told_by_its_maker(tmp_path: Path, vendor: str, likely: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "1-1"
    device.mkdir()
    (device / "idVendor").write_text(f"{vendor}\n")
    (device / "idProduct").write_text("0b3a\n")
    monkeypatch.setattr("app.runtime.sources.sys.platform", "linux")
    assert sources.camera_is_likely(tmp_path) is likely
    assert not sources.camera_is_likely(tmp_path / "none")
    monkeypatch.setattr("app.runtime.sources.sys.platform", "darwin")
    assert sources.camera_is_likely(tmp_path / "none")
