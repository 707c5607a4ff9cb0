"""Render assets/demo, the take that plays where no camera is found: python -m tools.render_demo LEAP.

LEAP is leap.npz (assets/hand/README.md says where it comes from). A hand of another shape than the mean moves as the
recorded ones did, before a person. What is drawn by chance follows from --seed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from engine.geometry.camera import pixel_rays, project
from engine.geometry.rotations import matrix_to_euler
from engine.hand.hand import HandModel
from engine.localise.frames import PALM_JOINTS
from engine.rendering.mesh_depth import render_depth
from engine.rendering.quadrics import Quadrics, limb_between, quadric_depth
from engine.sensors.sequence_folder import write_sequence
from engine.training.noise import edges
from engine.types import DepthFrame, HandGeometry, HandParameters, Intrinsics, LumbricalError, Side
from tools.demo_motion import Motion, Piece, looped
from tools.motion_sources import read_leap

Array = NDArray[np.float32]

DEMO = Path(__file__).resolve().parents[1] / "assets" / "demo"
CAMERA = Intrinsics(640, 480, 475.0, 475.0, 319.5, 239.5)
FPS = 30.0
PIECES = (
    Piece("leap/HandSplay-110fps", 0.8, 2.6, (0, 8, -4)),
    Piece("leap/grab", 0.0, 3.25, (-8, -18, 0)),
    Piece("leap/gun", 0.0, 1.2, (-5, 25, 5), pace=0.55),
    Piece("leap/pinch", 0.3, 2.5, (0, -40, -8)),
    Piece("leap/rollAndPitchWithEntry", 1.0, 4.95, pace=1.1),
)
_MEAN_WRIST_MM = torch.tensor([-50.0, 95.0, 440.0])
#: From the wrist to the elbow when the hand is held straight up, and the forearm's length.
_ELBOW_WAY = (-85.0, 160.0, 188.0)
_FOREARM_MM = 255.0
_SHOULDER_MM = (-150.0, 10.0, 905.0)
#: A sleeve from the elbow on, this share of the forearm long.
_SLEEVE = 0.55
#: Where the camera's range ends.
_RANGE_MM = 1300.0
#: Beyond this its steps are coarse.
_COARSE_MM = 680.0
_FAR = float("inf")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("leap", type=Path)
    parser.add_argument("--out", type=Path, default=DEMO, help="a folder that does not exist yet (default assets/demo)")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    try:
        motion = looped(PIECES, {clip.name: clip for clip in read_leap(options.leap)}, FPS)
        hands = _hands(motion, options.seed)
        joints = np.stack([hand.joints for hand in hands])
        count = write_sequence(
            options.out,
            _frames(motion, hands, options.seed),
            fps=FPS,
            side=Side.RIGHT,
            sensor="rendered demo",
            labels={"joints_mm": joints, "palm_uv": project(joints[:, PALM_JOINTS].mean(1), CAMERA)},
            extra={
                "rendered": True,
                "joint_convention": "anatomical",
                "licence": "MIT; motion Apache-2.0, see README.md",
            },
        )
        _pack(options.out / "depth")
    except LumbricalError as error:
        print(error, file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {count} frames, {count / FPS:.1f} s, {size / 1e6:.1f} MB")
    return 0


def _pack(folder: Path) -> None:
    """Write the images again, as small as they get: the writer is made for speed."""
    for path in folder.iterdir():
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None, "the writer has just written it"
        path.write_bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())


def _hands(motion: Motion, seed: int) -> list[HandGeometry]:
    """The posed hand of every frame, of one shape."""
    model = HandModel()
    generator = torch.Generator().manual_seed(seed)
    beta = (0.8 * torch.randn(20, generator=generator)).numpy()
    thickness = (0.8 * torch.randn(6, generator=generator)).numpy()
    theta = torch.cat((_MEAN_WRIST_MM + motion.offset, matrix_to_euler(motion.rotation), motion.articulation), 1)
    return [model(HandParameters(row, beta, thickness, 1.0)) for row in theta.numpy()]


def _frames(motion: Motion, hands: list[HandGeometry], seed: int) -> Iterator[DepthFrame]:
    rays = torch.from_numpy(pixel_rays(CAMERA)).reshape(1, -1, 2)
    person = quadric_depth(rays, _body()).amin(1)
    faces = HandModel().faces
    camera = _Camera(seed + 1)
    for number, hand in enumerate(tqdm(hands, unit="frame")):
        skin = torch.from_numpy(render_depth(hand.surface.vertices, faces, CAMERA)).reshape(1, -1)
        arm = quadric_depth(rays, _arm(torch.from_numpy(hand.joints[0]), motion.rotation[number])).amin(1)
        # Two breaths a loop.
        breath = 3.0 * np.sin(4 * np.pi * number / len(hands))
        nearest = torch.minimum(torch.minimum(torch.where(skin > 0, skin, _FAR), arm), person + breath)
        depth = camera(nearest.reshape(CAMERA.height, CAMERA.width))
        yield DepthFrame(depth, 1.0, CAMERA, number, number / FPS, number / FPS)


class _Camera:
    """What a mild short-range camera measures: noise that grows with the distance and changes slowly, a shadow on one
    side of edges, holes where surfaces turn away. Coarser steps far away, which also keeps the files small."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._waves = self._normal(1, 1, 24, 32)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator)

    def __call__(self, depth: Tensor) -> NDArray[np.uint16]:
        """depth (H, W) mm, infinite where nothing is. Returns (H, W) mm, 0 where nothing was measured."""
        seen = torch.where(depth < _RANGE_MM, depth, 2 * _RANGE_MM)
        jump, spread = (image[0] for image in edges(seen.unsqueeze(0), 0.5))
        metres = seen / 1000
        chance = torch.rand(depth.shape, generator=self._generator)
        gone = jump & (chance < 0.25)
        gone |= (spread * CAMERA.fx / (2 * seen) > 6.0) & (chance < 0.5)
        gone[:, 2:] |= (seen[:, 2:] - seen[:, :-2]) > 25.0
        self._waves = 0.8 * self._waves + 0.6 * self._normal(*self._waves.shape)
        waves = torch.nn.functional.interpolate(self._waves, depth.shape, mode="bilinear", align_corners=True)[0, 0]
        noisy = seen + 2.0 * metres.square() * waves + 0.7 * metres.square() * self._normal(*depth.shape)
        step = torch.where(seen < _COARSE_MM, 1.0, 8.0)
        measured = (noisy / step).round() * step
        return torch.where(gone | (seen > _RANGE_MM), 0.0, measured).numpy().astype(np.uint16)


def _body() -> Quadrics:
    """A person who faces the camera: chest, belly, shoulders, neck, head, nose, ears, the other arm."""
    parts = _Parts()
    for centre, half in (
        ((30, 180, 915), (185, 250, 115)),
        ((30, 400, 905), (178, 260, 118)),
        ((30, 15, 915), (205, 62, 72)),
        ((30, -218, 885), (74, 112, 96)),
        ((30, -205, 795), (13, 24, 20)),
        ((-45, -210, 895), (8, 28, 17)),
        ((105, -210, 895), (8, 28, 17)),
        (_SHOULDER_MM, (52, 58, 56)),
        ((210, 10, 905), (52, 58, 56)),
    ):
        parts.ellipsoid(centre, half)
    parts.limb((30, 10, 910), (30, -150, 893), 58, 54)
    parts.limb((212, 15, 905), (262, 300, 880), 52, 42)
    parts.limb((262, 300, 880), (225, 520, 800), 42, 34)
    return parts.stack()


def _arm(wrist: Tensor, rotation: Tensor) -> Quadrics:
    """The arm that ends at the wrist, hung between the hand and the shoulder."""
    down = torch.nn.functional.normalize(torch.tensor(_ELBOW_WAY), dim=0)
    way = torch.nn.functional.normalize(0.6 * down + 0.4 * rotation[:, 1], dim=0)
    elbow = wrist + _FOREARM_MM * way
    cuff = elbow - _FOREARM_MM * _SLEEVE * way
    parts = _Parts()
    side = rotation[:, 0]
    # The hand's own wrist lies a little to the palm's side of the joint.
    parts.limb(elbow, wrist - 3.0 * rotation[:, 2], 43, 35, side, 0.67)
    parts.limb(elbow, cuff, 50, 43, side, 0.85)
    parts.ellipsoid(elbow, (49, 49, 49))
    parts.limb(_SHOULDER_MM, elbow, 60, 49)
    return parts.stack()


class _Parts:
    """Collects the quadrics of one scene."""

    def __init__(self) -> None:
        self._rows: list[tuple[Tensor, Tensor, Tensor, float, bool]] = []

    def ellipsoid(self, centre: tuple[float, ...] | Tensor, half: tuple[float, ...]) -> None:
        self._rows.append((torch.as_tensor(centre).float(), torch.eye(3), torch.tensor(half).float(), 0.0, False))

    def limb(
        self,
        start: tuple[float, ...] | Tensor,
        end: tuple[float, ...] | Tensor,
        start_radius: float,
        end_radius: float,
        side: Tensor | None = None,
        flat: float = 1.0,
    ) -> None:
        """A limb between two points; its radius along `side`, the other one is `flat` times that."""
        ends = (torch.as_tensor(point).float().unsqueeze(0) for point in (start, end))
        centre, turn, half_length = (value[0] for value in limb_between(*ends))
        if side is not None:
            z = torch.nn.functional.normalize(torch.linalg.cross(side, turn[:, 1]), dim=0)
            turn = torch.stack((torch.linalg.cross(turn[:, 1], z), turn[:, 1], z), 1)
        middle = (start_radius + end_radius) / 2
        half = torch.stack((torch.tensor(middle), half_length, torch.tensor(flat * middle)))
        self._rows.append((centre, turn, half, (end_radius - start_radius) / (2 * middle), True))

    def stack(self) -> Quadrics:
        """All parts so far, as one scene."""
        centre, turn, half, taper, limb = zip(*self._rows, strict=True)
        centres, turns, halves = (torch.stack(column).unsqueeze(0) for column in (centre, turn, half))
        shown = torch.ones(1, len(self._rows), dtype=torch.bool)
        return Quadrics(centres, turns, halves, torch.tensor([taper]), torch.tensor(limb), shown)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
