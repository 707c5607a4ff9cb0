import numpy as np
import pytest

from engine.filter import PoseFilter, SmoothingConfig, shape_certainty
from engine.types import HandParameters


def hand(theta: np.ndarray, beta: float = 0.0, confidence: float = 1.0) -> HandParameters:
    return HandParameters(theta.astype(np.float32), np.full(20, beta, np.float32), np.zeros(6, np.float32), confidence)


def run(amount: float, thetas: np.ndarray, rate_hz: float = 60.0) -> np.ndarray:
    smoother = PoseFilter(SmoothingConfig(amount=amount))
    return np.array([smoother.update(hand(t), i / rate_hz).theta for i, t in enumerate(thetas)])


def test_noise_shrinks_as_the_amount_grows() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (300, 26)) * ([2.0] * 3 + [0.02] * 23)
    spreads = [run(amount, noise)[60:].std(0) for amount in (0.0, 0.4, 0.9)]
    assert (spreads[1] < 0.8 * spreads[0]).all()
    assert (spreads[2] < 0.7 * spreads[1]).all()


def test_a_fast_hand_is_followed_closely() -> None:
    time = np.arange(120) / 60
    thetas = np.zeros((120, 26))
    thetas[:, 0] = 1000 * time
    lag_mm = 1000 * time[-1] - run(0.4, thetas)[-1, 0]
    assert lag_mm < 20


def test_amount_zero_changes_no_pose() -> None:
    thetas = np.random.default_rng(1).normal(0, 0.4, (10, 26)).astype(np.float32)
    assert np.array_equal(run(0.0, thetas), thetas)


def test_rotation_does_not_jump_where_its_angle_wraps() -> None:
    thetas = np.zeros((60, 26))
    thetas[:, 5] = np.linspace(np.pi - 0.3, np.pi + 0.3, 60)
    thetas[:, 5] = (thetas[:, 5] + np.pi) % (2 * np.pi) - np.pi
    smooth = run(0.3, thetas)[:, 5]
    turn = np.abs(np.angle(np.exp(1j * np.diff(smooth))))
    assert turn.max() < 0.05


def test_shape_becomes_the_mean_of_what_was_seen() -> None:
    smoother = PoseFilter(SmoothingConfig(shape_seconds=1000))
    for i, beta in enumerate([1.0, 3.0] * 100):
        shape = smoother.update(hand(np.zeros(26), beta), i / 60).beta
    assert np.allclose(shape, 2.0, atol=0.05)


def test_sure_frames_decide_the_shape() -> None:
    smoother = PoseFilter(SmoothingConfig(shape_seconds=1000))
    for i in range(20):
        smoother.update(hand(np.zeros(26), 0.0), i / 60, certainty=0.01)
    shape = smoother.update(hand(np.zeros(26), 2.0), 0.5, certainty=1.0).beta
    assert (shape > 1.6).all()


def test_straight_fingers_and_sure_joints_say_more_of_the_shape() -> None:
    fist = np.zeros(26)
    fist[6:].reshape(5, 4)[:, 2] = 1.5
    sure, unsure = np.full(21, 4.0), np.full(21, 12.0)
    assert shape_certainty(hand(np.zeros(26)), sure) > 20 * shape_certainty(hand(fist), sure)
    assert shape_certainty(hand(np.zeros(26)), sure) > 5 * shape_certainty(hand(np.zeros(26)), unsure)


def test_reset_forgets() -> None:
    smoother = PoseFilter()
    smoother.update(hand(np.full(26, 0.1)), 0.0)
    smoother.reset()
    assert np.allclose(smoother.update(hand(np.full(26, 0.4)), 0.1).theta, 0.4, atol=1e-6)


def walk(mm_per_s: float, seconds: float = 4.0, rate_hz: float = 60.0, noise_mm: float = 1.0) -> tuple[np.ndarray, ...]:
    """Times (N,), true and measured theta (N, 26) of a hand that goes sideways from the first second on."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    truth = np.zeros((len(time), 26))
    truth[:, 0] = mm_per_s * np.maximum(time - 1.0, 0.0)
    scale = noise_mm * np.array([1.0] * 3 + [0.01] * 3 + [0.02] * 20)
    return time, truth, truth + np.random.default_rng(3).normal(0, 1, truth.shape) * scale


@pytest.mark.parametrize("noise_mm", [0.5, 2.0])
def test_a_still_hand_stays_still_by_default_however_strong_the_noise(noise_mm: float) -> None:
    _, _, noisy = walk(0.0, seconds=10.0, noise_mm=noise_mm)
    left = run(SmoothingConfig().amount, noisy).std(0) / noisy.std(0)
    assert left.max() < 0.3


@pytest.mark.parametrize("rate_hz", [30.0, 60.0, 90.0])
@pytest.mark.parametrize("mm_per_s", [300.0, 1000.0])
def test_default_lag_is_bounded_at_every_frame_rate(mm_per_s: float, rate_hz: float) -> None:
    time, truth, noisy = walk(mm_per_s, rate_hz=rate_hz)
    smooth = run(SmoothingConfig().amount, noisy, rate_hz)
    late_mm = (truth - smooth)[time > 1.5, 0].mean()
    assert 1.0 < late_mm < 0.025 * mm_per_s


def test_a_slow_hand_is_not_taken_for_noise() -> None:
    time, truth, noisy = walk(50.0)
    assert (truth - run(SmoothingConfig().amount, noisy))[time > 2.0, 0].mean() < 4.0


def test_a_finger_that_moves_does_not_wake_the_others() -> None:
    _, _, noisy = walk(0.0)
    moving = noisy.copy()
    moving[:, 10] += 0.8 * np.sin(np.arange(len(noisy)) / 4)
    still, beside = (run(0.5, thetas)[60:, 14:] for thetas in (noisy, moving))
    assert np.array_equal(still, beside)


def test_a_frame_left_out_is_not_taken_for_noise() -> None:
    time, truth, noisy = walk(1000.0, noise_mm=0.1)
    kept = np.arange(len(time)) % 3 != 1
    smoother = PoseFilter()
    smooth = np.array([smoother.update(hand(t), s).theta for t, s in zip(noisy[kept], time[kept], strict=True)])
    assert (truth[kept] - smooth)[time[kept] > 1.5, 0].mean() < 15


def test_the_first_frames_are_averaged_at_the_calmest() -> None:
    """A low cut-off alone would hold on to the first frame's error for seconds."""
    _, _, noisy = walk(0.0)
    noisy[0, :3] += 3.0
    assert np.abs(run(1.0, noisy)[60:, :3]).max() < 0.6


def test_app_window_and_engine_have_the_same_default() -> None:
    pytest.importorskip("PySide6")
    from app.config import TrackingConfig
    from app.ui.settings import Choices

    assert SmoothingConfig().amount == TrackingConfig().smoothing == Choices().smoothing
