"""The life of a worker thread: named states, the traceback it died of, an end within a bound."""

from __future__ import annotations

import abc
import enum
import threading
import traceback

from app.runtime.tuning import use_all_cores
from engine.types import LumbricalError


class WorkerState(enum.Enum):
    """Where a worker is in its life, in the words the window shows."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"


class Worker(abc.ABC):
    """A thread that repeats step() until it is stopped or dies.

    Every call in a subclass's step() must return within a fraction of a second, so that stop() is honoured soon.
    Whatever ends the thread, wake_waiters() runs, so that nobody waits for a worker that is gone.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._stop_requested = threading.Event()
        self._lock = threading.Lock()
        self._state = WorkerState.NEW
        self._message = ""
        self._traceback: str | None = None
        self._thread = threading.Thread(target=self._live, name=f"lumbrical-{name}", daemon=True)

    @property
    def state(self) -> WorkerState:
        """The state it is in now."""
        with self._lock:
            return self._state

    @property
    def message(self) -> str:
        """One line on why it waits or failed; empty when all is well."""
        with self._lock:
            return self._message

    @property
    def traceback(self) -> str | None:
        """The full traceback it died of, or None."""
        with self._lock:
            return self._traceback

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop_requested.is_set()

    def start(self) -> None:
        """Begin; a worker starts once."""
        self._set_state(WorkerState.STARTING)
        self._thread.start()

    def request_stop(self) -> None:
        """Ask it to end after the current step, without waiting."""
        self._stop_requested.set()
        self.wake_waiters()

    def stop(self, timeout_s: float = 3.0) -> bool:
        """Ask it to end and wait up to timeout_s; False when it is still alive (a daemon: it holds up no exit)."""
        self.request_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        elif self.state is WorkerState.NEW:
            self._set_state(WorkerState.STOPPED)
        return not self._thread.is_alive()

    def pause_step(self, seconds: float) -> bool:
        """Sleep inside step() without delaying stop(); True when stopping."""
        return self._stop_requested.wait(seconds)

    def set_up(self) -> None:  # noqa: B027 (an optional hook)
        """Runs once on the thread before the first step."""

    @abc.abstractmethod
    def step(self) -> None:
        """One bounded piece of work."""

    def tear_down(self) -> None:  # noqa: B027 (an optional hook)
        """Runs once on the thread at its end, also after a failure."""

    def wake_waiters(self) -> None:  # noqa: B027 (an optional hook)
        """Wake whoever waits for this worker's output, and the worker itself; may be called more than once."""

    def _set_state(self, state: WorkerState, message: str = "") -> None:
        with self._lock:
            self._state = state
            self._message = message

    def _live(self) -> None:
        use_all_cores()
        try:
            try:
                self.set_up()
                self._set_state(WorkerState.RUNNING)
                while not self._stop_requested.is_set():
                    self.step()
            finally:
                self.tear_down()
            self._set_state(WorkerState.STOPPED)
        except Exception as error:
            # The one place where everything is caught: the thread ends here, and must say of what.
            self._fail(error)
        finally:
            self.wake_waiters()

    def _fail(self, error: Exception) -> None:
        line = str(error) if isinstance(error, LumbricalError) else f"{type(error).__name__}: {error}"
        with self._lock:
            self._state = WorkerState.FAILED
            self._message = f"{self.name} stopped: {line}"
            self._traceback = "".join(traceback.format_exception(error))
