"""Kinds of arguments that several sub-commands take."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

from engine.sensors.protocol import CAMERA_FPS_RANGE
from engine.types import LumbricalError


def minutes(text: str) -> float:
    """A number of minutes, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes")
    return value


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def whole_number(text: str) -> int:
    """From 0 to 9999."""
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to 9999")
    return int(text)


def camera_fps(text: str) -> int:
    """Frames a second that a camera is asked for, within CAMERA_FPS_RANGE."""
    least, most = CAMERA_FPS_RANGE
    if not (re.fullmatch(r"[0-9]{1,3}", text) and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text} is not a number of frames a second from {least} to {most}")
    return int(text)


def frame_count(text: str) -> int:
    """Of a calibration: from 6 to 300."""
    if not (text.isascii() and text.isdigit() and 6 <= int(text[:9]) <= 300):
        raise argparse.ArgumentTypeError(f"{text} is not a number of frames from 6 to 300")
    return int(text)


def images(text: str) -> int:
    """How many images to train on: 1 to 999,999,999, underscores allowed."""
    digits = text.replace("_", "")
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", digits):
        raise argparse.ArgumentTypeError(f"{text} is not a number of images")
    return int(digits)


def add_method(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Declare --method, a name or None. default: what holds without it, in words."""
    from app.runtime.methods import DEFAULT_METHOD, METHODS

    what = "; ".join(f"{method.name}: {method.what}" for method in METHODS)
    parser.add_argument(
        "--method",
        choices=[method.name for method in METHODS],
        help=f"how the hand is found. {what} (default: {default or DEFAULT_METHOD})",
    )


#: What tracks without a window where none is named: how `engine.runners.choose.cpu_runner` is put into words.
HEADLESS_RUNNER = "onnx for a recording; for a camera int8, on processors made for it, else onnx"


def add_runner(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare --runner, a name of RUNNERS or None. default: what holds without it, in words."""
    from engine.runners.choose import RUNNERS

    what = "; ".join(f"{name}: {kind.title}" for name, kind in RUNNERS.items())
    parser.add_argument(
        "--runner",
        choices=list(RUNNERS),
        help=f"what computes the encoder. {what} (default: {default})",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Declare --weights, a Path or None."""
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="encoder weights, such as finetune writes (not the shipped ones)",
    )


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Declare --profile, a name or None, and --profiles."""
    parser.add_argument("--profile", metavar="NAME", help="hold the hand that `calibrate` learnt of NAME")
    add_profiles_folder(parser)


def one_hand(hand: Path | None, profile: str | None) -> None:
    """Raise LumbricalError where --hand and --profile are both given."""
    if hand is not None and profile is not None:
        raise LumbricalError("--hand and --profile each say what your hand looks like: give one of them")


def add_profiles_folder(parser: argparse.ArgumentParser) -> None:
    """Declare --profiles, a Path or None."""
    parser.add_argument("--profiles", type=Path, metavar="FOLDER", help="where profiles are kept")
