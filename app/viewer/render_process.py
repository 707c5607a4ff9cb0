"""Drawing in a process of its own.

Open3D holds the interpreter's lock while it draws; in this process that would stall tracking for as long, and on a
machine without a GPU that is most of a frame's time. So the drawing has its own interpreter, at a lower priority, and
sends pictures back through shared memory. A driver that crashes takes the picture with it, not the session.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from app.runtime.tuning import interrupt_nobody, keep_beside_tracking, loading
from app.viewer.scene import SceneBuilder, SceneInput
from engine.types import LumbricalError

if TYPE_CHECKING:
    from app.viewer.open3d_view import Open3DView

#: A picture may wait, a result may not.
_NICENESS = 10
_STOP_TIMEOUT_S = 2.0
MAX_SIDE = 4096


@dataclass(frozen=True)
class Resize:
    """Pictures of this size from now on, into the shared memory of that name."""

    width: int
    height: int
    memory: str


@dataclass(frozen=True)
class Drawn:
    """A picture lies in the shared memory."""

    width: int
    height: int


@dataclass(frozen=True)
class DrawingFailed:
    """Drawing ended; line says why in words, detail is the traceback."""

    line: str
    detail: str


def software_rendering() -> bool:
    """Whether OpenGL will run on the processor: a Linux machine without a render device, or told to do so."""
    if os.environ.get("LIBGL_ALWAYS_SOFTWARE") in ("1", "true"):
        return True
    return os.name == "posix" and Path("/dev").is_dir() and not list(Path("/dev/dri").glob("render*"))


class RenderProcess:
    """The drawing process as its owner sees it: send one scene, get one picture, never wait.

    All methods belong to one thread.
    """

    def __init__(self, point_size: float = 2.0) -> None:
        self.failure: DrawingFailed | None = None
        self._memory: SharedMemory | None = None
        self._busy = self._has_drawn = False
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_draw_until_told,
            args=(theirs, point_size),
            name="lumbrical-view",
            daemon=True,
        )
        self._process.start()
        theirs.close()

    def fileno(self) -> int:
        """Readable when there may be a picture."""
        return self._connection.fileno()

    @property
    def pid(self) -> int | None:
        """The process's number."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether a picture is being made."""
        return self._busy

    def resize(self, width: int, height: int) -> bool:
        """Make pictures of this size in pixels; False, and nothing done, while busy or after a failure."""
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise ValueError(f"a picture cannot be {width} x {height}")
        if self._busy or self.failure:
            return False
        self._forget_memory()
        self._memory = SharedMemory(create=True, size=width * height * 4)
        return self._send(Resize(width, height, self._memory.name))

    def set_faces(self, faces: NDArray[np.int32]) -> None:
        """The hand mesh's triangles (F, 3), of a right hand; before this, no mesh is drawn."""
        self._send(np.ascontiguousarray(faces, np.int32))

    def submit(self, scene: SceneInput) -> bool:
        """Ask for a picture; False, and nothing asked, while busy, before resize() or after a failure."""
        if self._busy or self.failure or self._memory is None:
            return False
        self._busy = self._send(scene)
        return self._busy

    def poll(self, timeout_s: float = 0.0) -> NDArray[np.uint8] | None:
        """A new picture, (height, width, 4) B, G, R, X; None when there is none.

        After the process has failed, failure says why.
        """
        try:
            if not self.failure and self._connection.poll(timeout_s):
                reply = self._connection.recv()
                self._busy = False
                self._has_drawn = True
                if isinstance(reply, Drawn) and self._memory is not None:
                    size = reply.height * reply.width * 4
                    return _pixels(self._memory, size).reshape(reply.height, reply.width, 4).copy()
                if isinstance(reply, DrawingFailed):
                    self.failure = reply
        except (EOFError, OSError):
            self._note_death()
        return None

    def stop(self) -> None:
        """End the process, within a bound, and give back the memory; may be called again."""
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._connection.close()
        # One that is still loading would not listen, and has nothing to put in order.
        self._process.join(_STOP_TIMEOUT_S if self._has_drawn else 0.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_STOP_TIMEOUT_S)
        self._forget_memory()

    def _send(self, message: object) -> bool:
        try:
            self._connection.send(message)
        except OSError:
            self._note_death()
            return False
        return True

    def _note_death(self) -> None:
        self._busy = False
        self._process.join(0.2)
        code = self._process.exitcode
        line = f"the 3D view's process ended (exit {code}); the graphics driver may have crashed"
        self.failure = self.failure or DrawingFailed(line, line)

    def _forget_memory(self) -> None:
        if self._memory is None:
            return
        self._memory.close()
        self._memory.unlink()
        self._memory = None


def _draw_until_told(connection: Connection, point_size: float) -> NoReturn:
    """The drawing process: obey messages until None or until the owner is gone. Ends the process, never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    software = software_rendering()
    if software:
        # Multisampling more than doubles the cost of a picture on a processor; edges are softened afterwards instead.
        os.environ["DRI_NO_MSAA"] = "1"
        # One drawing thread (Mesa's llvmpipe) leaves the other cores to the tracker.
        os.environ.setdefault("LP_NUM_THREADS", "1")
    _prefer_x11()
    keep_beside_tracking()
    interrupt_nobody()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    try:
        _leave_out_web_plots()
        with loading():
            from app.viewer.open3d_view import Open3DView

        view = Open3DView(point_size, soften_edges=software)
        _serve(connection, view)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the owner is gone
    except Exception as error:
        # The last thing this process can do is to say what it died of.
        line = str(error) if isinstance(error, LumbricalError) else f"the 3D view stopped: {error}"
        with contextlib.suppress(OSError):
            connection.send(DrawingFailed(line, traceback.format_exc()))
    # Left to the interpreter, taking Open3D apart lasts seconds and now and then crashes. Nothing is left to save.
    os._exit(0)


def _pixels(memory: SharedMemory, size: int) -> NDArray[np.uint8]:
    """The first size bytes; there may be more, because memory comes in whole pages."""
    assert memory.buf is not None
    return np.frombuffer(memory.buf, np.uint8, size)


def _prefer_x11() -> None:
    """Open3D's OpenGL loader speaks GLX only, so under Wayland its window has to go through Xwayland."""
    os.environ.pop("WAYLAND_DISPLAY", None)
    # Looking for Wayland, GLFW prints an error where this is not set.
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())


def _leave_out_web_plots() -> None:
    """Open3D loads its plots for web pages, too, with a server's packages: half of the time that loading it takes."""
    stand_in = ModuleType("open3d.visualization.draw_plotly")
    vars(stand_in).update(dict.fromkeys(("get_plotly_fig", "draw_plotly", "draw_plotly_server")))
    sys.modules[stand_in.__name__] = stand_in


def _serve(connection: Connection, view: Open3DView) -> None:
    builder = SceneBuilder()
    memory: SharedMemory | None = None
    size = (0, 0)
    while (message := connection.recv()) is not None:
        if isinstance(message, Resize):
            if memory is not None:
                memory.close()
            memory, size = SharedMemory(message.memory), (message.width, message.height)
            view.resize(*size)
        elif isinstance(message, np.ndarray):
            builder = SceneBuilder(message)
        elif isinstance(message, SceneInput) and memory is not None:
            picture = view.draw(builder.build(message), message.camera)
            _pixels(memory, picture.nbytes)[:] = picture.ravel()
            connection.send(Drawn(*size))
    view.close()
