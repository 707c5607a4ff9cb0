"""The whole hand model for one frame: parameters in, geometry out, as numpy arrays."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.gaussians import GaussianModel
from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.hand.template import HandTemplate, load_template
from engine.types import HandGeometry, HandParameters


class HandModel:
    """Skeleton, Gaussians and mesh that agree. faces: (F, 3) triangles of HandGeometry.vertices, right hand."""

    def __init__(self, template: HandTemplate | None = None) -> None:
        self.template = template or load_template()
        self.skeleton = Skeleton()
        self._skin = skin_of(self.template, self.skeleton)
        self._gaussians = GaussianModel(self.skeleton)
        self.faces: NDArray[np.int32] = self.template.faces

    @torch.inference_mode()
    def pose(self, parameters: HandParameters) -> SkeletonPose:
        """The posed skeleton, a batch of one, in the canonical camera frame."""
        theta, beta = (torch.from_numpy(a).unsqueeze(0) for a in (parameters.theta, parameters.beta))
        return self.skeleton(theta, beta)

    @torch.inference_mode()
    def __call__(self, parameters: HandParameters) -> HandGeometry:
        """Pose everything, in the canonical camera frame, mm."""
        pose = self.pose(parameters)
        thickness = torch.from_numpy(parameters.thickness).unsqueeze(0)
        vertices, _ = self._skin(pose, thickness)
        means, sigmas = self._gaussians(pose, thickness)
        return HandGeometry(*(t[0].numpy() for t in (pose.joints, vertices, means, sigmas)))
