"""Statistics of a whole run beside those of its last seconds, which the window shows."""

from __future__ import annotations

from collections.abc import Mapping

from app.runtime.statistics import LiveStatistics


class WholeRunStatistics(LiveStatistics):
    """The app's own statistics, and in `whole` those of everything since reset(). room: for so many results."""

    def __init__(self, room: int) -> None:
        self.whole = LiveStatistics(room=room)
        super().__init__()

    def reset(self) -> None:
        """See LiveStatistics.reset."""
        super().reset()
        self.whole.reset()

    def record_capture(self, overtaken: int = 0, lost_by_sensor: int = 0) -> None:
        """See LiveStatistics.record_capture."""
        super().record_capture(overtaken, lost_by_sensor)
        self.whole.record_capture(overtaken, lost_by_sensor)

    def record_failure(self) -> None:
        """See LiveStatistics.record_failure."""
        super().record_failure()
        self.whole.record_failure()

    def record_result(self, latency_s: float, stage_ms: Mapping[str, float]) -> None:
        """See LiveStatistics.record_result."""
        super().record_result(latency_s, stage_ms)
        self.whole.record_result(latency_s, stage_ms)

    def record_view(self, draw_s: float) -> None:
        """See LiveStatistics.record_view."""
        super().record_view(draw_s)
        self.whole.record_view(draw_s)
