"""The fitted surface with skin that need not sit on the bones as the template's does.

Where a joint's centre lies within the flesh differs from hand to hand, and from any template: skin that lies further
out, broader or thicker, must not be taken for longer bones. So in a calibration each bone's skin may slide and stretch
along the bone, lie nearer to the flexor side or to the thumb, and be thicker, alike in all frames, by as much as hands
differ. What then still fixes a bone is what moves: a finger bends about its joints wherever its skin lies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.fitting.kinematics import Kinematics
from engine.fitting.observation import Observation
from engine.fitting.state import PARAMETERS, HandState
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface
from engine.geometry.vectors import dot
from engine.hand.bones import PosedBones
from engine.hand.relief import vertex_normals
from engine.hand.template import HandTemplate
from engine.types import BONE_COUNT, FloatArray

#: Where each kind of looseness lies, mm for each bone: slide of its skin outwards, shift to its flexor side, girth
#: around it, stretch of its skin between its ends, and shift along x, to the side that faces the thumb.
SLIDE, SHIFT, GIRTH, STRETCH, LATERAL = (slice(at, at + BONE_COUNT) for at in range(0, 5 * BONE_COUNT, BONE_COUNT))
SKIN_SIZE = 5 * BONE_COUNT
#: A hand's parameters in a calibration: those of a fit, then its skin's.
ALL_PARAMETERS = PARAMETERS + SKIN_SIZE
_PALM = np.arange(0, BONE_COUNT, 4)


@dataclass(frozen=True)
class SkinPrior:
    """By how much skin may differ from the template's, standard deviations in mm.

    slide, stretch: of the bones of each row, from metacarpals to tips; tips lie on the skin and hardly slide.
    palm_slide, palm_stretch: of the whole palm at once, as nothing of the skin marks where the wrist turns. shift,
    lateral: of each bone's; finger_lateral: of a whole finger's, as breadth says little of lengths. girth: of each
    bone's, beyond the thickness of its finger.
    """

    slide: tuple[float, float, float, float] = (6.0, 6.0, 2.5, 0.7)
    stretch: tuple[float, float, float, float] = (4.0, 4.0, 2.0, 1.0)
    palm_slide: float = 25.0
    palm_stretch: float = 15.0
    shift: float = 5.0
    girth: float = 2.0
    lateral: float = 6.0
    finger_lateral: float = 8.0

    def precision(self) -> NDArray[np.float64]:
        """(100, 100) inverse covariance of the skin's parameters."""
        variance = np.empty(SKIN_SIZE)
        variance[SLIDE], variance[STRETCH] = np.tile(self.slide, 5) ** 2.0, np.tile(self.stretch, 5) ** 2.0
        variance[SHIFT], variance[GIRTH], variance[LATERAL] = self.shift**2, self.girth**2, self.lateral**2
        covariance = np.diag(variance)
        for part, sd in ((SLIDE, self.palm_slide), (STRETCH, self.palm_stretch)):
            covariance[np.ix_(part.start + _PALM, part.start + _PALM)] += sd**2
        for finger in range(5):
            chain = LATERAL.start + 4 * finger + np.arange(1, 4)
            covariance[np.ix_(chain, chain)] += self.finger_lateral**2
        return np.asarray(np.linalg.inv(covariance))


class LooseSurface(FittedSurface):
    """A FittedSurface whose skin is given with each call. rest: (P, 3) mm, its points on the template."""

    def __init__(self, template: HandTemplate, kinematics: Kinematics, count: int) -> None:
        super().__init__(template, kinematics, count)
        blocks = self._skin.position_weights.reshape(-1, BONE_COUNT, 4)
        self._bone_weights = blocks[..., 3].copy()
        self.rest = blocks[..., :3].sum(1)
        self._along = shares_along(self.rest, self._bone_weights, kinematics)

    def loosened(
        self, bones: PosedBones, thickness: FloatArray, skin: FloatArray, observation: Observation
    ) -> SeenSurface:
        """`seen` with the skin moved by skin (100,) mm. Normals and what hides what are those without it."""
        seen = self.seen(bones, thickness, observation)
        moved = skin_moves(skin, self._bone_weights, self._along, bones.frames, seen.normals)
        points = seen.points + moved.astype(np.float32)
        column, row, inside = observation.pixels(points)
        return SeenSurface(points, seen.normals, column, row, seen.facing & inside, seen.visible & inside)

    def loose_jacobian(self, seen: SeenSurface, pulls: Pulls, bones: PosedBones, hand: HandState) -> FloatArray:
        """(K, 152) derivatives of the pulled points along their directions, by the hand's and the skin's parameters."""
        index, along = pulls.index, pulls.direction
        weights = self._bone_weights[index]
        jacobian = np.empty((len(index), ALL_PARAMETERS), np.float32)
        jacobian[:, :PARAMETERS] = self.jacobian(seen, pulls, bones, hand)
        x, y, z = (along @ bones.frames[:, :, axis].T.astype(np.float32) for axis in range(3))
        skin = jacobian[:, PARAMETERS:]
        skin[:, SLIDE], skin[:, STRETCH] = weights * y, self._along[index] * y
        skin[:, SHIFT], skin[:, LATERAL] = weights * z, weights * x
        skin[:, GIRTH] = weights * dot(along, seen.normals[index])[:, None]
        return jacobian


def personal_template(template: HandTemplate, skin: FloatArray, kinematics: Kinematics) -> HandTemplate:
    """The template with its skin moved by skin (100,) mm: what a calibrated hand is drawn and tracked with."""
    along = shares_along(template.vertices, template.bone_weights, kinematics)
    moved = skin_moves(skin, template.bone_weights, along, kinematics.rest_frames, template.normals)
    vertices = (template.vertices + moved).astype(np.float32)
    return replace(template, vertices=vertices, normals=vertex_normals(vertices, template))


def shares_along(rest: FloatArray, weights: FloatArray, kinematics: Kinematics) -> FloatArray:
    """(P, 20) how far along each bone points (P, 3) of the rest surface lie, as a part of its length, weighted."""
    local = np.einsum("bi,pbi->pb", kinematics.rest_frames[:, :, 1], rest[:, None] - kinematics.rest_origins)
    return np.asarray(weights * local / kinematics.mean, np.float32)


def skin_moves(
    skin: FloatArray, weights: FloatArray, along: FloatArray, frames: FloatArray, normals: FloatArray
) -> FloatArray:
    """(P, 3) mm by which points move whose bones stand in frames (20, 3, 3)."""
    x, y, z = frames[..., 0], frames[..., 1], frames[..., 2]
    whole = skin[SLIDE, None] * y + skin[SHIFT, None] * z + skin[LATERAL, None] * x
    girth = (weights @ skin[GIRTH])[:, None] * normals
    return np.asarray(weights @ whole + along @ (skin[STRETCH, None] * y) + girth)
