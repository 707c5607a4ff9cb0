"""Every type that crosses a module boundary.

Units are millimetres, radians and seconds. The camera frame is x right, y down, z forward. The right hand is
canonical: a left hand is mirrored (x -> -x) where it enters the tracker and mirrored back where it leaves.
Joint order (21): 0 wrist; 1-4 thumb (CMC, MCP, IP, tip); 5-8 index (MCP, PIP, DIP, tip); 9-12 middle;
13-16 ring; 17-20 little.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

FINGERS = ("thumb", "index", "middle", "ring", "little")
JOINT_COUNT = 21
JOINT_NAMES = ("wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip") + tuple(
    f"{finger}_{joint}" for finger in FINGERS[1:] for joint in ("mcp", "pip", "dip", "tip")
)
#: Parent of each joint; the wrist is its own. Bone k (0-19) joins joint k + 1 to its parent.
JOINT_PARENTS = (0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
BONE_COUNT = 20
THETA_SIZE = 26
BETA_SIZE = 20
#: Extra flesh in mm, in this order: palm, thumb, index, middle, ring, little.
THICKNESS_SIZE = 6
#: Of engine.filter, from 0 (off) to 1 (calmest), where nobody chose: joints of a hand held still move by a third of
#: a millimetre, and one that moves does not trail visibly.
DEFAULT_SMOOTHING = 0.5


class LumbricalError(Exception):
    """A failure its user can act on: the message is one line that says what is wrong and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of a library's or a driver's message, cut to a readable length."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


class Side(enum.Enum):
    """Which hand is tracked."""

    RIGHT = "right"
    LEFT = "left"


class TrackingState(enum.Enum):
    """What the tracker is doing, in the words the window shows."""

    SEARCHING = "searching"
    TRACKING = "tracking"
    LOST = "lost"


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion.

    Pixel centres are at whole numbers: pixel (0, 0) covers [-0.5, 0.5] x [-0.5, 0.5].
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if self.width <= 0 or self.height <= 0 or not np.all(np.isfinite(numbers)):
            raise LumbricalError(f"intrinsics are not usable: {self.width} x {self.height}, fx fy cx cy = {numbers}")
        if self.fx <= 0 or self.fy <= 0:
            raise LumbricalError(f"focal lengths must be positive, not {self.fx}, {self.fy}")


@dataclass(frozen=True)
class DepthFrame:
    """One depth image that owns its pixels.

    depth: (H, W) uint16, 0 where nothing was measured; depth * depth_unit_mm is the distance along z in mm.
    color: (H, W, 3) uint8 RGB registered to depth, or None.
    device_time_s: the device's clock; host_time_s: time.monotonic() when the frame arrived.
    Raises LumbricalError where these do not fit together: what comes after a sensor relies on them.
    """

    depth: NDArray[np.uint16]
    depth_unit_mm: float
    intrinsics: Intrinsics
    number: int
    device_time_s: float
    host_time_s: float
    color: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        size = (self.intrinsics.height, self.intrinsics.width)
        for what, image, shape, kind in (
            ("depth", self.depth, size, np.uint16),
            ("color", self.color, (*size, 3), np.uint8),
        ):
            if image is not None and (image.shape != shape or image.dtype != kind):
                raise LumbricalError(
                    f"frame {self.number}: its {what} is {image.shape} {image.dtype}, where the camera's intrinsics "
                    f"say {shape} {np.dtype(kind)}: open the camera again, or make the recording again"
                )
        if not 0 < self.depth_unit_mm < np.inf:
            raise LumbricalError(f"frame {self.number}: its depth unit must be above 0 mm, not {self.depth_unit_mm}")
        if not np.isfinite((self.device_time_s, self.host_time_s)).all():
            raise LumbricalError(
                f"frame {self.number}: its times are no numbers (device {self.device_time_s}, host {self.host_time_s} "
                "s): open the camera again, or make the recording again"
            )

    def depth_mm(self) -> NDArray[np.float32]:
        """The depth image in mm, (H, W) float32, 0 where nothing was measured."""
        return self.depth.astype(np.float32) * np.float32(self.depth_unit_mm)


@dataclass(frozen=True)
class HandParameters:
    """What the encoder estimates, always as a right hand.

    theta: (26,) camera-frame wrist position in mm (3), rotation as Euler angles x, y, z in radians with
        R = Rz Rx Ry (3), then per finger, thumb to little: flexion and abduction of the first articulated joint,
        flexion of the second, flexion of the third (20). Paper (Wang et al.) section III-A.
    beta: (20,) coordinates in the bone-length space, b = b_avg + M_pca beta (Eq. 1).
    thickness: (6,) extra flesh in mm: palm, thumb, index, middle, ring, little.
    confidence: 0 to 1, that a hand is in the crop.
    """

    theta: NDArray[np.float32]
    beta: NDArray[np.float32]
    thickness: NDArray[np.float32]
    confidence: float

    def __post_init__(self) -> None:
        for name, size in (("theta", THETA_SIZE), ("beta", BETA_SIZE), ("thickness", THICKNESS_SIZE)):
            if getattr(self, name).shape != (size,):
                raise ValueError(f"{name} must have shape ({size},), not {getattr(self, name).shape}")


@dataclass(frozen=True)
class HandSurface:
    """The flesh around a posed hand's bones, in the camera frame, mm.

    vertices: (V, 3) of the skinned mesh (its triangles are HandModel.faces); gaussian_means: (G, 3) and
    gaussian_sigmas: (G,) of the volumetric model (Eq. 2).
    """

    vertices: NDArray[np.float32]
    gaussian_means: NDArray[np.float32]
    gaussian_sigmas: NDArray[np.float32]


@dataclass(frozen=True)
class HandGeometry:
    """The posed hand in the camera frame, mm.

    joints: (21, 3). make_surface: gives what is around them. It is called when surface is first asked for, by whoever
    asks: of most results nobody wants more than the joints.
    """

    joints: NDArray[np.float32]
    make_surface: Callable[[], HandSurface]

    @classmethod
    def of(cls, joints: NDArray[np.float32], surface: HandSurface) -> HandGeometry:
        """With a surface that is there already."""
        return cls(joints, lambda: surface)

    @cached_property
    def surface(self) -> HandSurface:
        """The mesh and the Gaussians."""
        return self.make_surface()

    def mirrored(self) -> HandGeometry:
        """The same hand reflected in the camera's y-z plane: x -> -x. Triangles then turn inside out."""
        flip = np.array([-1, 1, 1], np.float32)

        def make_surface() -> HandSurface:
            own = self.surface
            return replace(own, vertices=own.vertices * flip, gaussian_means=own.gaussian_means * flip)

        return HandGeometry(self.joints * flip, make_surface)

    def __reduce__(self) -> tuple[Callable[..., HandGeometry], tuple[NDArray[np.float32], HandSurface]]:
        """Another process gets it whole."""
        return HandGeometry.of, (self.joints, self.surface)


@dataclass(frozen=True)
class TrackingResult:
    """What the tracker says of one frame, in the frame's own camera, the hand on its own side.

    geometry, parameters and crop_corners_uv are None unless the state is TRACKING. parameters stay those of the
    canonical (mirrored, when side is LEFT) hand; geometry is already mirrored back.
    joint_sigma_mm: (21,) root mean square distance by which each joint is expected to be off, calibrated on rendered
        hands (engine.fitting.fitter.FitConfig); smoothing is not accounted for.
    residual_mm: median |observed - rendered depth| over the hand's pixels; NaN when there is none.
    crop_corners_uv: (4, 2) the crop's outline in the depth image, pixels.
    stage_ms: milliseconds spent in each named stage of the tracker.
    """

    frame: DepthFrame
    state: TrackingState
    side: Side = Side.RIGHT
    parameters: HandParameters | None = None
    geometry: HandGeometry | None = None
    joint_sigma_mm: NDArray[np.float32] | None = None
    crop_corners_uv: NDArray[np.float32] | None = None
    confidence: float = 0.0
    residual_mm: float = float("nan")
    stage_ms: dict[str, float] = field(default_factory=dict)
    weights_version: str = ""
    message: str = ""
