"""Finding out whether a window can be opened."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from app.display import display_problem, require_display
from engine.types import LumbricalError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X displays are Linux's")

# Far above the numbers that X servers and xvfb-run take.
LOCAL_NUMBER = 9871


@pytest.fixture
def local_server() -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0/tmp/.X11-unix/X{LOCAL_NUMBER}")
        server.listen()
        yield


def test_without_a_display_the_headless_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(LumbricalError, match=r"^no display; .*main\.py track SOURCE --headless") as caught:
        require_display()
    assert "\n" not in str(caught.value)


def test_wayland_alone_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert "Xwayland" in (display_problem() or "")


@pytest.mark.parametrize("name", [f":{LOCAL_NUMBER}", f":{LOCAL_NUMBER}.0", f"unix:{LOCAL_NUMBER}"])
@pytest.mark.usefixtures("local_server")
def test_display_that_answers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DISPLAY", name)
    require_display()


def test_stale_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", f":{LOCAL_NUMBER}")
    assert display_problem() == f"the display :{LOCAL_NUMBER} does not answer"


def test_forwarded_display_is_asked_over_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1] - 6000
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{number}.0")
        assert display_problem() is None
    assert display_problem() == f"the display 127.0.0.1:{number}.0 does not answer"


@pytest.mark.parametrize("name", ["here", ":", ":abc", ":-1"])
def test_display_that_is_no_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DISPLAY", name)
    assert display_problem() == f"DISPLAY={name} is not the name of a display"
