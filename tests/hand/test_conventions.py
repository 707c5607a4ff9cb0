"""The maps into label conventions: what they promise of mean hands, and that they move with the hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.hand.conventions import ANATOMICAL, CONVENTION_NAMES, MIDDLE_OF_FLESH_MM, check_convention, map_joints
from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.hand.template import load_template
from engine.metrics import bone_lengths
from engine.types import LumbricalError

Posed = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
#: Mean bone lengths of one subject of each set, mm, thumb to little, outwards.
LABEL_BONES = {
    "mano": ((38, 33, 30, 39), (96, 37, 25, 29), (101, 34, 26, 30), (93, 34, 29, 29), (87, 24, 22, 23)),
    "nyu": ((35, 51, 27, 30), (91, 47, 23, 21), (96, 43, 22, 25), (97, 32, 20, 23), (93, 25, 17, 17)),
    "msra14": ((31, 27, 22, 22), (69, 31, 23, 21), (74, 36, 24, 22), (77, 32, 21, 20), (80, 23, 14, 15)),
}


def _pose(theta: dict[int, float] | None = None, scale: float = 1.0) -> Posed:
    skeleton = Skeleton(torch.float64)
    values = torch.zeros(1, 26, dtype=torch.float64)
    for index, value in (theta or {}).items():
        values[0, index] = value
    eye = torch.eye(3, dtype=torch.float64)[None]
    posed = skeleton.pose(values[:, :3], eye, values[:, 6:], scale * skeleton.bone_length_mean[None])
    return posed.joints[0].numpy(), posed.rotations[0].numpy(), posed.bone_lengths[0].numpy()


def test_our_own_convention_changes_nothing() -> None:
    joints, rotations, lengths = _pose({7: 0.4, 11: 0.8})
    np.testing.assert_allclose(map_joints(ANATOMICAL, joints, rotations, lengths), joints)


def test_the_middle_of_the_flesh_is_that_of_the_template() -> None:
    template, rest = load_template(), rest_pose(Skeleton())
    joints, rotations = rest.joints[0].numpy(), rest.rotations[0].numpy()
    for joint in (0, 5, 6, 7, 9, 10, 11, 13, 14, 15, 18, 19):
        bone = joint if joint else 8
        x, y, z = ((template.vertices - joints[joint]) @ rotations[bone]).T
        own = template.bone_weights[:, 4 * (bone // 4) + 1 : 4 * (bone // 4) + 4].sum(1) > 0.5
        if joint == 0:
            own = np.ones_like(own)
        elif joint % 4 == 1:
            own = np.abs(x) < 9
        around = z[(np.abs(y) < 4) & own]
        assert abs((around.max() + around.min()) / 2 - MIDDLE_OF_FLESH_MM[joint]) < 0.6, joint


@pytest.mark.parametrize("name", LABEL_BONES)
def test_the_mean_hand_takes_on_the_proportions_of_the_label_set(name: str) -> None:
    joints, rotations, lengths = _pose()
    label = np.array(LABEL_BONES[name], float)[1:]

    def misfit(hand: NDArray[np.float64]) -> NDArray[np.float64]:
        bones = bone_lengths(hand[None]).reshape(5, 4)[1:]
        return np.abs(bones / bones.sum() - label / label.sum()) * label.sum()

    mapped = misfit(map_joints(name, joints, rotations, lengths))
    assert mapped.max() < 7.5
    assert mapped.mean() < 0.6 * misfit(joints).mean()


@pytest.mark.parametrize("name", CONVENTION_NAMES)
def test_offsets_turn_with_the_hand(name: str) -> None:
    joints, rotations, lengths = _pose({7: 0.4, 10: 1.2, 12: 0.9})
    angle = 0.8
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    moved = map_joints(name, joints @ turn.T + (10, 20, 600), turn @ rotations, lengths)
    np.testing.assert_allclose(moved, map_joints(name, joints, rotations, lengths) @ turn.T + (10, 20, 600), atol=1e-9)


@pytest.mark.parametrize("name", CONVENTION_NAMES)
def test_offsets_grow_with_the_hand(name: str) -> None:
    joints, rotations, lengths = _pose({10: 0.9})
    larger = _pose({10: 0.9}, scale=1.2)
    np.testing.assert_allclose(map_joints(name, *larger), 1.2 * map_joints(name, joints, rotations, lengths), atol=1e-9)


def test_a_tip_moves_along_its_bent_bone_and_mano_keeps_it() -> None:
    joints, rotations, lengths = _pose({11: 0.3, 12: 1.2, 13: 0.7})
    inset = map_joints("nyu", joints, rotations, lengths)[8] - joints[8]
    np.testing.assert_allclose(np.cross(inset, joints[8] - joints[7]), 0, atol=1e-9)
    assert inset @ (joints[8] - joints[7]) < 0
    tips = [4, 8, 12, 16, 20]
    np.testing.assert_allclose(map_joints("mano", joints, rotations, lengths)[tips], joints[tips])


def test_a_knuckle_stays_between_palm_and_finger_when_the_finger_bends() -> None:
    straight, bent = (_pose({14: angle}) for angle in (0.0, np.pi / 2))
    shift = map_joints("mano", *straight)[9] - straight[0][9]
    distal = shift @ straight[1][8, :, 1]
    assert distal > 10
    assert shift @ straight[1][8, :, 2] == pytest.approx(MIDDLE_OF_FLESH_MM[9], rel=0.01)
    bent_shift = map_joints("mano", *bent)[9] - bent[0][9]
    along_palm, along_finger = bent_shift @ bent[1][8, :, 1], bent_shift @ bent[1][9, :, 1]
    # The finger's own direction is then the palm's normal, along which the joint also moves to the middle of the flesh.
    assert along_finger - along_palm == pytest.approx(MIDDLE_OF_FLESH_MM[9], rel=0.01)
    assert along_palm + along_finger == pytest.approx(distal, rel=0.01)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LumbricalError, match='"leap" is not known; put one of mano, nyu, msra14, fpha'):
        map_joints("leap", *_pose())
    with pytest.raises(LumbricalError, match="not known"):
        check_convention("")


def test_arrays_of_another_shape_are_refused() -> None:
    joints, rotations, lengths = _pose()
    with pytest.raises(ValueError, match="not a posed skeleton"):
        map_joints("mano", joints[:20], rotations, lengths)
