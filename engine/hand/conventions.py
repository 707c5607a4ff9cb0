"""Where label sets place their joints: one fixed map per convention from the project's anatomical joint centres.

The project's joints are centres of rotation (engine.hand.anthropometry), its finger tips the end of the skin. Label
sets come from other hand models: their knuckles lie further out, their tips inside the flesh, their wrist somewhere
near the carpus. A map moves each joint along the bones it joins and nothing else. It is fixed for the whole label set
and scales with the size of the hand. No map was fitted to what the tracker says; what enters is what is known of each
set's hand model, the mean bone lengths of one of its subjects and, for nyu and msra14, where wrist and tips appear
against the outline of the hand in one labelled image. For mano and msra14 that subject is the one of the very recording
that the tracker is measured on, so its labels' mean lengths, though no pose of theirs, stand behind the mapped error;
the unmapped error is free of them.

From bone lengths to shifts. The lengths alone do not say how large the subject's hand is against the mean hand, so
two things are stated for each convention from its definition: how far its wrist lies beyond the head of the capitate,
towards the forearm, and how deep its tips lie inside the skin. The hand's size then follows from the rays of the four
fingers (wrist to skin), and each joint's shift is the difference of its distance from the finger's end. Sideways
nothing moves. Towards the palm, each joint moves to the middle of the flesh around it: mano's regressor averages rings
of its mesh, nyu's joints lie on the axis of one, msra14's are the centres of spheres that fill the hand, whereas our
centres of rotation, wrist and knuckles above all, lie nearer to the back of the hand.

A shift is a vector along y and z in bone frames: half of it in the frame of the bone before the joint and half in that
of the bone after it, because a knuckle that lies 15 mm too far out belongs to the palm as much as to the finger once
that bends. The wrist moves along the middle finger's metacarpal, the thumb's first joint along the thumb's metacarpal,
a tip along its own bone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.hand.anthropometry import BONE_LENGTH_MEAN_MM
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray, LumbricalError

Array = NDArray[np.float64]

#: The project's own joints: what a folder without a convention, or one rendered by the project, is measured in.
ANATOMICAL = "anatomical"
_MIDDLE_METACARPAL, _WRIST = 8, 0
_THUMB_CMC = 1
_TIPS = (4, 8, 12, 16, 20)


#: (21,) how far the middle of the flesh lies from each of our joints towards the flexor side: halfway between skin and
#: skin in a slice of the template's rest surface across the joint. Tips lie on the skin and stay.
MIDDLE_OF_FLESH_MM = np.array([8.3, 4.2, 1.1, 1.1, 0.0] + 4 * [2.4, 0.6, 0.8, 0.0])


@dataclass(frozen=True)
class Convention:
    """One label set's joints against ours, for a hand of mean size.

    distal_mm: (21,) how far each label joint lies from ours along its finger, positive towards the finger's end; for
    the wrist, positive towards the knuckle of the middle finger. palmar_mm: (21,) the same towards the flexor side.
    """

    name: str
    distal_mm: Array
    palmar_mm: Array


def _from_label_bones(
    name: str,
    label_bones_mm: tuple[tuple[float, ...], ...],
    wrist_proximal_mm: float,
    tip_inset_mm: float,
    thumb_cmc_mm: float,
    own_share: float = 1.0,
) -> Convention:
    """A convention from a subject's mean bone lengths, (5, 4) mm thumb to little, outwards.

    wrist_proximal_mm, tip_inset_mm: on the mean hand, as the module's text explains. own_share: how much of what sets
    a finger's shifts apart from the mean of the four fingers is taken for the model's and not the subject's.
    thumb_cmc_mm: shift of the thumb's first joint. It hangs between two estimates, the one that keeps the label's
    distance to the end of the thumb and the one that keeps its distance to the label's wrist; this is their mean.
    """
    label, ours = np.array(label_bones_mm), BONE_LENGTH_MEAN_MM.reshape(5, 4)
    size = label[1:].sum() / (ours[1:].sum() + 4 * (wrist_proximal_mm - tip_inset_mm))
    shift = _from_finger_end(ours) - (_from_finger_end(label / size) + tip_inset_mm)
    common = shift[1:].mean(0)
    shift[1:] = common + own_share * (shift[1:] - common)
    shift[0, 0] = thumb_cmc_mm
    return Convention(name, np.concatenate(([-wrist_proximal_mm], shift.ravel())), MIDDLE_OF_FLESH_MM)


def _from_finger_end(bones: Array) -> Array:
    """(5, 4) distance along the finger from each of its joints to its last joint, mm, for (5, 4) bone lengths."""
    outwards = bones[:, :0:-1].cumsum(1)[:, ::-1]
    return np.concatenate((outwards, np.zeros((5, 1))), 1)


# MANO (Romero et al. 2017): 16 joints regressed from the mesh, tips added as vertices at the end of the skin, so no
# inset. Its wrist is the root that turns the mesh, inside the carpus between the capitate's head (0) and the wrist
# crease (7 mm beyond it: hand length is measured from the styloid), taken in the middle. The learned regressor puts
# the first knuckles far out, towards the creases where the fingers leave the palm. The lengths are one person's shape,
# a fit that also carries their own proportions: a quarter of the differences between fingers is taken for theirs.
_MANO = _from_label_bones(
    "mano",
    ((38, 33, 30, 39), (96, 37, 25, 29), (101, 34, 26, 30), (93, 34, 29, 29), (87, 24, 22, 23)),
    wrist_proximal_mm=4.0,
    tip_inset_mm=0.0,
    thumb_cmc_mm=9.0,  # 11.9 from the thumb's end, 6 from the wrist
    own_share=0.75,
)

# NYU (Tompson et al. 2014): joints of one artist's hand mesh, scaled as a whole to each user, so all the differences
# between fingers are the model's. The wrist is the middle between two corners where hand and forearm meet: the crease.
# The tips are the ends of the bones inside the mesh, half a fingertip under the skin.
_NYU = _from_label_bones(
    "nyu",
    ((35, 51, 27, 30), (91, 47, 23, 21), (96, 43, 22, 25), (97, 32, 20, 23), (93, 25, 17, 17)),
    wrist_proximal_mm=8.0,
    tip_inset_mm=6.0,
    thumb_cmc_mm=0.0,  # -2.4 from the thumb's end, 1.8 from the wrist
)

# MSRA14 (Qian et al. 2014): centres of a model of 48 spheres, whose proportions are the model's. A finger's last
# sphere has a radius of 6-7 mm, its centre is the tip, a little deeper than the rounding of the finger. The hand is
# cut at a wrist band and has no forearm; its root lies well inside the palm's heel, two spheres' radii above the
# band: about 14 mm nearer to the knuckles than the capitate's head. The knuckles are the spheres where fingers part.
_MSRA14 = _from_label_bones(
    "msra14",
    ((31, 27, 22, 22), (69, 31, 23, 21), (74, 36, 24, 22), (77, 32, 21, 20), (80, 23, 14, 15)),
    wrist_proximal_mm=-14.0,
    tip_inset_mm=5.0,
    thumb_cmc_mm=20.0,  # 31 from the thumb's end, 10 from the wrist: the model's thumb is very short
)

# FPHA (Garcia-Hernando et al. 2018; the same magnetic trackers as BigHand2.2M): sensors on the nails and on the back
# of the hand; bone lengths measured on each subject; joints by inverse kinematics. What one measures on a hand
# is from crease or bent knuckle to the next: joint lines, about half a bone head beyond the centre of rotation (MCP
# 3.5, PIP 2.3, DIP 1.6 mm), and the wrist at its crease. The tip is the nail sensor's place moved into the flesh by
# half the finger's thickness: under the nail, 4 mm short of the skin's end. No lengths were at hand: this one rests on
# the description alone and is the least certain of the four.
_FPHA = Convention(
    "fpha",
    np.concatenate(([-7.0], [0.0, 3.2, 2.4, -4.0], np.tile([3.5, 2.3, 1.6, -4.0], 4))),
    MIDDLE_OF_FLESH_MM,
)

_NONE = Convention(ANATOMICAL, np.zeros(JOINT_COUNT), np.zeros(JOINT_COUNT))
_CONVENTIONS = {c.name: c for c in (_MANO, _NYU, _MSRA14, _FPHA, _NONE)}
#: The names `map_joints` knows.
CONVENTION_NAMES = tuple(_CONVENTIONS)


def check_convention(name: str) -> None:
    """Raise LumbricalError, naming the known conventions, if there is none of this name."""
    if name not in _CONVENTIONS:
        known = ", ".join(CONVENTION_NAMES)
        raise LumbricalError(f'joint_convention "{name}" is not known; put one of {known} into sequence.json')


def map_joints(convention: str, pose: FloatArray, rotations: FloatArray, bone_lengths: FloatArray) -> Array:
    """The posed skeleton's joints where a label set would place them: (21, 3) mm in the frame of pose.

    convention: one of CONVENTION_NAMES. pose: (21, 3) joints in mm; rotations: (20, 3, 3) from each bone's frame to
    the frame of pose; bone_lengths: (20,) mm, as in engine.hand.skeleton.SkeletonPose. The canonical (right) hand.
    Raises LumbricalError for a name that is not known.
    """
    check_convention(convention)
    if pose.shape != (JOINT_COUNT, 3) or rotations.shape != (BONE_COUNT, 3, 3) or bone_lengths.shape != (BONE_COUNT,):
        raise ValueError(f"not a posed skeleton: {pose.shape}, {rotations.shape}, {bone_lengths.shape}")
    size = float(np.sum(bone_lengths)) / float(BONE_LENGTH_MEAN_MM.sum())
    shift, frames = _CONVENTIONS[convention], np.asarray(rotations, float)
    distal = shift.distal_mm[:, None] * _directions(frames[..., 1])
    palmar = shift.palmar_mm[:, None] * _directions(frames[..., 2])
    return np.asarray(pose, float) + size * (distal + palmar)


def _directions(along: Array) -> Array:
    """(21, 3) the direction in which each joint's shift is meant, from one axis of each bone's frame, (20, 3)."""
    directions = np.empty((JOINT_COUNT, 3))
    directions[_WRIST] = along[_MIDDLE_METACARPAL]
    for joint in range(1, JOINT_COUNT):
        before = along[joint - 1]
        if joint in _TIPS:
            directions[joint] = before
        elif joint == _THUMB_CMC:
            directions[joint] = along[joint]
        else:
            directions[joint] = (before + along[joint]) / 2
    return directions
