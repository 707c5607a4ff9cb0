"""The whole hand model for one frame: parameters in, geometry out, as numpy arrays."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from engine.geometry.turns import matrix_of
from engine.hand.bones import Bones, PosedBones
from engine.hand.gaussians import GaussianModel
from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.skin import Skin
from engine.hand.template import HandTemplate, load_template
from engine.types import FloatArray, HandGeometry, HandParameters, HandSurface


class HandModel:
    """Skeleton, Gaussians and mesh that agree. faces: (F, 3) triangles of HandSurface.vertices, right hand."""

    def __init__(self, template: HandTemplate | None = None) -> None:
        self.template = template or load_template()
        self.skeleton = Skeleton()
        self.faces: NDArray[np.int32] = self.template.faces
        self._bones = Bones()
        self._skin = Skin(skin_of(self.template, self.skeleton), self._bones)
        gaussians = GaussianModel(self.skeleton)
        self._gaussians = Skin(gaussians.points, self._bones)
        self._sigmas = gaussians.sigmas

    def __call__(self, parameters: HandParameters) -> HandGeometry:
        """Pose a hand, in the canonical camera frame, mm."""
        theta = parameters.theta.astype(np.float64)
        bones = self._bones.posed(theta[:3], matrix_of(theta[3:6]), theta[6:], parameters.beta)
        return HandGeometry(bones.joints.astype(np.float32), partial(self._surface, bones, parameters.thickness))

    def _surface(self, bones: PosedBones, thickness: FloatArray) -> HandSurface:
        vertices, _ = self._skin.posed(bones, thickness)
        means, _ = self._gaussians.posed(bones, thickness)
        return HandSurface(vertices, means, self._sigmas(torch.from_numpy(thickness)[None])[0].numpy())
