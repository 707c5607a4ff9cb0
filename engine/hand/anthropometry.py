"""Bone lengths and girths of adult hands from published anthropometry: b = b_avg + M_pca beta (Wang et al., Eq. 1).

Bone k joins joint k + 1 to its parent (engine.types): per finger, thumb to little, the bone from the wrist (to the
CMC joint of the thumb, to the MCP joint of the others), then three bones out to the end of the skin. Millimetres.

Sources, called by their first word below:

Buryanov   Buryanov & Kotiuk 2010, Proportions of hand segments, Int. J. Morphol. 28(3):755-758, Table I:
           radiographs of 66 adults of both sexes, 19-78 years.
Greiner    Greiner 1991, Hand anthropometry of U.S. Army personnel, Natick/TR-92/011: 1304 women, 1003 men.
           "Both" below is the mean of the two sexes.
Youm       Youm, McMurtry, Flatt & Gillespie 1978, Kinematics of the wrist I, J. Bone Joint Surg. 60-A(4):423-431:
           carpal height is 0.54 +- 0.03 of the third metacarpal; the wrist turns about the head of the capitate.
Nattrass   Nattrass, King, McMurtry & Brant 1994, J. Bone Joint Surg. 76-A(1):88-94: carpal height is 1.57 +- 0.05
           of the capitate's length.
Buchholz   Buchholz, Armstrong & Goldstein 1992, Ergonomics 35(3):261-273: the centre of a finger joint is the centre
           of curvature of the head of the proximal bone (Reuleaux's method agrees within 1.4 mm); the index MCP joint
           lies 0.251 hand breadths to the radial side of the third metacarpal's axis.
Rows       Human Biology 50(1), 1978, article 7: the lengths of the 19 tubular bones of 85 Japanese men have one
           factor per row (metacarpals; proximal, middle, distal phalanges); the thumb's proximal phalanx
           goes with the middle phalanges.
AIST       AIST Japan, hand dimensions of 530 adults: hand thickness at the third metacarpal, men 32.1, women 27.8 mm.
Hauck      Hauck, Camp, Ehrlich et al. 2004, Plast. Reconstr. Surg. 113(2):536-539: fingertip pulp 6.4 +- 0.8 mm thick
           over a distal phalanx 4 +- 1 mm high.

Buryanov's and Greiner's tables were taken from transcriptions that agree with each other where there are two, the
other numbers from abstracts and reviews. What is modelled here rather than published says so where it stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.types import BONE_COUNT

Array = NDArray[np.float64]

# ---- Bones on radiographs, mm. Rows: thumb, index, middle, ring, little. ----
# Buryanov Table I, mean and standard deviation. Columns: metacarpal, proximal, middle and distal phalanx, flesh
# beyond the distal phalanx. The thumb has no middle phalanx.
_BONES_MM = np.array(
    [
        [46.22, 31.57, np.nan, 21.67, 5.67],
        [68.12, 39.78, 22.38, 15.82, 3.84],
        [64.60, 44.63, 26.33, 17.40, 3.95],
        [58.00, 41.37, 25.65, 17.30, 3.95],
        [53.69, 32.74, 18.11, 15.96, 3.73],
    ]
)
_BONES_SD_MM = np.array(
    [
        [3.94, 3.13, np.nan, 1.60, 0.61],
        [6.27, 4.94, 2.51, 2.26, 0.59],
        [5.38, 3.81, 3.00, 1.85, 0.61],
        [5.06, 3.87, 3.29, 2.22, 0.60],
        [4.36, 2.77, 2.54, 2.45, 0.62],
    ]
)

# ---- From bone ends to joint centres. ----
# A bone's length reaches the far end of its head, but the joint turns about a point inside the head, one radius of
# curvature before that end (definition: Buchholz). The segment between two centres is therefore
#     radius of the near head + gap of cartilage + bone - radius of the far head.
# These radii and gaps are modelled: round numbers, about a tenth of the bone, no table behind them. They only move a
# joint along its finger; the length of the whole ray does not depend on the radii.
# Columns: MCP, PIP (IP of the thumb), DIP.
_HEAD_RADIUS_MM = np.array([[6.5, 4.8, np.nan], [7.5, 4.6, 3.2], [7.4, 4.7, 3.3], [6.7, 4.4, 3.1], [6.2, 3.8, 2.8]])
_GAP_MM = np.array([1.6, 1.0, 0.8])
_CMC_GAP_MM = 0.5

# ---- The carpal part of each ray. ----
_CARPAL_HEIGHT_MM = 0.54 * _BONES_MM[2, 0]  # Youm
_CAPITATE_LENGTH_MM = _CARPAL_HEIGHT_MM / 1.57  # Nattrass; comes to 22.2
_CAPITATE_HEAD_RADIUS_MM = 6.0  # modelled: the head is about 12 mm across
#: From the wrist's centre of rotation (the middle of the capitate's head) to the base of the third metacarpal.
CAPITATE_CENTRE_TO_BASE_MM = _CAPITATE_LENGTH_MM - _CAPITATE_HEAD_RADIUS_MM
_RADIAL_HEIGHT_MM = 11.5  # modelled: the styloid's tip lies 11-12 mm beyond the lunate fossa, the usual normal value
#: Hand length is measured from the radial styloid (Greiner); the centre of rotation lies this far beyond it.
STYLION_TO_WRIST_CENTRE_MM = _CARPAL_HEIGHT_MM - CAPITATE_CENTRE_TO_BASE_MM - _RADIAL_HEIGHT_MM

# Where each metacarpal starts, from the wrist's centre, and where it points in a flat hand. Right hand seen from its
# own wrist: x to the little finger's side, y distal along the third metacarpal, z to the palm. Modelled from the
# widths of the carpal bones, and set so that the MCP centres agree with Buchholz (index, 21 mm radial of the middle
# one), with Greiner's tip-to-wrist distances and with a palm as broad as the hand. Degrees: to the ulnar side, palm.
_METACARPAL_BASE_MM = np.array(
    [
        [-23.0, 10.0, 11.0],  # the saddle of the trapezium, radial and palmar of the capitate: 27 mm away
        [-11.0, 13.0, 1.0],
        [0.0, CAPITATE_CENTRE_TO_BASE_MM + _CMC_GAP_MM, 0.0],
        [9.5, 16.0, 1.0],
        [17.0, 14.5, 3.0],
    ]
)
_METACARPAL_DIRECTION_DEG = np.array([[-10.0, 1.0], [0.0, 0.0], [9.5, 2.0], [20.0, 4.0]])
#: Ulnar splay of the metacarpals of index, middle, ring and little finger against the third, radians.
METACARPAL_SPLAY_RAD = np.deg2rad(_METACARPAL_DIRECTION_DEG[:, 0])


def _first_joint_positions() -> Array:
    """(5, 3) the thumb's CMC and the fingers' MCP centres from the wrist's centre, mm (x ulnar, y distal, z palmar)."""
    splay, tilt = np.deg2rad(_METACARPAL_DIRECTION_DEG).T
    direction = np.stack([np.sin(splay) * np.cos(tilt), np.cos(splay) * np.cos(tilt), np.sin(tilt)], axis=1)
    length = _BONES_MM[1:, 0] - _HEAD_RADIUS_MM[1:, 0]
    positions = _METACARPAL_BASE_MM.copy()
    positions[1:] += direction * length[:, None]
    return positions


#: (5, 3) where the mean flat right hand has the thumb's CMC and the fingers' MCP centres, from the wrist's centre, mm:
#: x to the little finger's side, y distal, z to the palm. Their distances are the means of bones 0, 4, 8, 12, 16.
FIRST_JOINT_POSITIONS_MM = _first_joint_positions()


def _mean_lengths() -> Array:
    """(20,) mean length of each bone, mm."""
    head = _HEAD_RADIUS_MM
    length = np.empty((5, 4))
    length[:, 0] = np.linalg.norm(FIRST_JOINT_POSITIONS_MM, axis=1)
    # The thumb's CMC joint turns about its joint line: one axis lies in the trapezium, the other in the metacarpal.
    length[0, 1] = _CMC_GAP_MM / 2 + _BONES_MM[0, 0] - head[0, 0]
    length[0, 2] = head[0, 0] + _GAP_MM[0] + _BONES_MM[0, 1] - head[0, 1]
    length[0, 3] = head[0, 1] + _GAP_MM[1] + _BONES_MM[0, 3] + _BONES_MM[0, 4]
    length[1:, 1] = head[1:, 0] + _GAP_MM[0] + _BONES_MM[1:, 1] - head[1:, 1]
    length[1:, 2] = head[1:, 1] + _GAP_MM[1] + _BONES_MM[1:, 2] - head[1:, 2]
    length[1:, 3] = head[1:, 2] + _GAP_MM[2] + _BONES_MM[1:, 3] + _BONES_MM[1:, 4]
    return length.reshape(BONE_COUNT)


# ---- Spread and correlation. ----
# A factor model with unit variance per bone: size of the whole hand + finger + row + the bone's own. The form follows
# Rows (a factor per row) and the wish that neighbours on a finger share a little; the shares are modelled:
# - size + finger = 0.40, because Greiner's standard deviations of the four segments of a ray and of the whole ray
#   (tip to wrist crease, both) agree when two segments of a ray correlate by 0.35, 0.47 and 0.42 (middle, ring,
#   little);
# - row = 0.40, so that neighbouring bones of one row correlate by 0.75 and rows matter more than fingers, as in Rows.
SIZE_SHARE, FINGER_SHARE, ROW_SHARE, OWN_SHARE = 0.35, 0.05, 0.40, 0.20
_CARPUS, _METACARPAL, _PROXIMAL, _MIDDLE, _DISTAL = range(5)
#: Row of each bone. A finger's first bone is nearly all metacarpal; thumb as in Rows.
_ROW = np.array([_CARPUS, _METACARPAL, _MIDDLE, _DISTAL] + 4 * [_METACARPAL, _PROXIMAL, _MIDDLE, _DISTAL])
_FINGER = np.repeat(np.arange(5), 4)


def _correlation() -> Array:
    """(20, 20) correlation of bone lengths."""
    same_finger = _FINGER[:, None] == _FINGER[None, :]
    same_row = _ROW[:, None] == _ROW[None, :]
    own = OWN_SHARE * np.eye(BONE_COUNT)
    return np.asarray(SIZE_SHARE + FINGER_SHARE * same_finger + ROW_SHARE * same_row + own)


def _standard_deviations() -> Array:
    """(20,) standard deviation of each bone's length, mm."""
    sd = np.empty((5, 4))
    # A carpal part varies like the third metacarpal, to which carpal height is proportional (Youm), and correlates
    # with its metacarpal like any two bones of a ray.
    variation = _BONES_SD_MM[2, 0] / _BONES_MM[2, 0]
    carpal = variation * np.linalg.norm(_METACARPAL_BASE_MM, axis=1)
    metacarpal = _BONES_SD_MM[:, 0]
    shared = 2 * (SIZE_SHARE + FINGER_SHARE) * carpal * metacarpal
    sd[:, 0] = np.sqrt(carpal**2 + metacarpal**2 + shared)
    sd[0, 0] = carpal[0]
    sd[0, 1:3] = _BONES_SD_MM[0, 0:2]
    sd[1:, 1:3] = _BONES_SD_MM[1:, 1:3]
    sd[:, 3] = np.hypot(_BONES_SD_MM[:, 3], _BONES_SD_MM[:, 4])
    return sd.reshape(BONE_COUNT)


#: (20,) mean bone length b_avg, mm.
BONE_LENGTH_MEAN_MM = _mean_lengths()
#: (20,) standard deviation of each bone's length, mm.
BONE_LENGTH_SD_MM = _standard_deviations()
#: (20, 20) covariance of bone lengths, mm^2.
BONE_LENGTH_COVARIANCE = _correlation() * np.outer(BONE_LENGTH_SD_MM, BONE_LENGTH_SD_MM)


def bone_length_basis() -> tuple[Array, Array]:
    """The bone-length space of Eq. 1: lengths = mean + basis @ beta, beta ~ N(0, I).

    Returns the mean (20,) and the basis (20, 20), both in mm. Columns are the covariance's eigenvectors scaled by
    their standard deviation, falling variance first, each signed so that its sum is positive.
    """
    variance, vectors = np.linalg.eigh(BONE_LENGTH_COVARIANCE)
    basis = (vectors * np.sqrt(variance))[:, ::-1]
    sign = np.where(basis.sum(axis=0) < 0, -1.0, 1.0)
    return BONE_LENGTH_MEAN_MM.copy(), np.ascontiguousarray(basis * sign)


# ---- Girths, for building the surface. mm; women then men, finally both. ----
# Greiner, circumference at the PIP joints (thumb: IP) and at the DIP joints of index to little finger, and their
# standard deviations at the PIP joints. The women's values at the ring and little DIP joints are modelled: the men's
# (53.8, 49.2) times the women-to-men ratio at the same finger's PIP joint.
_PIP_CIRCUMFERENCE_MM = np.array([[63.0, 61.2, 61.3, 57.4, 50.6], [72.3, 68.4, 69.6, 64.9, 57.8]])
_PIP_CIRCUMFERENCE_SD_MM = np.array([[2.5, 2.0, 1.9, 1.9, 1.7], [2.9, 1.8, 2.0, 1.9, 1.8]])
_DIP_CIRCUMFERENCE_MM = np.array([[50.8, 50.9, 53.8 * 57.4 / 64.9, 49.2 * 50.6 / 57.8], [57.4, 57.8, 53.8, 49.2]])
# Greiner, breadth at the same PIP joints; the women's thumb, ring and little finger by the circumferences' ratio.
_PIP_BREADTH_MM = np.array(
    [[24.0 * 63.0 / 72.3, 19.9, 19.3, 21.4 * 57.4 / 64.9, 19.2 * 50.6 / 57.8], [24.0, 23.0, 22.5, 21.4, 19.2]]
)

#: (5,) circumference at the PIP joints (thumb: IP), both.
PIP_CIRCUMFERENCE_MM = _PIP_CIRCUMFERENCE_MM.mean(axis=0)
#: (4,) circumference at the DIP joints of index to little finger, both.
DIP_CIRCUMFERENCE_MM = _DIP_CIRCUMFERENCE_MM.mean(axis=0)
#: (5,) breadth (side to side) at the PIP joints (thumb: IP), both.
PIP_BREADTH_MM = _PIP_BREADTH_MM.mean(axis=0)
#: (5,) depth (back to palm) at the PIP joints (thumb: IP): of the ellipse with that breadth and circumference.
PIP_DEPTH_MM = 2 * PIP_CIRCUMFERENCE_MM / np.pi - PIP_BREADTH_MM

HAND_BREADTH_MM = (79.5 + 90.4) / 2  # Greiner, both, across the MCP joints; SD within a sex 3.8 and 4.2
HAND_CIRCUMFERENCE_MM = (186.5 + 213.3) / 2  # Greiner, both, at the MCP joints; SD within a sex 8.6 and 9.8
PALM_THICKNESS_MM = (32.1 + 27.8) / 2  # AIST, both, at the third metacarpal
WRIST_BREADTH_MM = (57.0 + 65.8) / 2  # Greiner, both; SD within a sex 3.4 and 4.5
WRIST_CIRCUMFERENCE_MM = (151.4 + 174.3) / 2  # Greiner, both; SD within a sex 6.9 and 8.2
# A wrist's section lies between an ellipse and a flat bar with round ends; the mean of the two thicknesses that have
# the published breadth and circumference.
_WRIST_ELLIPSE_MM = 2 * WRIST_CIRCUMFERENCE_MM / np.pi - WRIST_BREADTH_MM
_WRIST_BAR_MM = (WRIST_CIRCUMFERENCE_MM - 2 * WRIST_BREADTH_MM) / (np.pi - 2)
#: Back to palm, modelled from breadth and circumference.
WRIST_THICKNESS_MM = (_WRIST_ELLIPSE_MM + _WRIST_BAR_MM) / 2


def _joint_radii() -> Array:
    """(21,) radius of a round limb at each joint, mm."""
    pip = PIP_CIRCUMFERENCE_MM / (2 * np.pi)
    dip = DIP_CIRCUMFERENCE_MM / (2 * np.pi)
    # Modelled: at the MCP joints the hand is as thick as the palm, thicker where the finger is thicker.
    mcp = PALM_THICKNESS_MM / 2 * pip / pip[2]
    # Modelled: a fingertip is as deep as pulp + bone (Hauck) + 2 mm of nail and bed, in proportion to its DIP joint;
    # the thumb's in proportion to its IP joint.
    tip_over_dip = (6.4 + 4.0 + 2.0) / 2 / dip.mean()
    radii = [np.array([WRIST_THICKNESS_MM / 2])]
    # Modelled: the thumb's MCP joint is a seventh thicker than its IP joint, its root half as thick as the palm.
    radii.append(np.array([PALM_THICKNESS_MM / 2, pip[0] * 8 / 7, pip[0], pip[0] * tip_over_dip]))
    for finger in range(1, 5):
        distal = dip[finger - 1]
        radii.append(np.array([mcp[finger], pip[finger], distal, distal * tip_over_dip]))
    return np.concatenate(radii)


#: (21,) radius at each joint of the mean hand, mm; half the thickness at the wrist. A tip lies on the skin: its radius
#: is that of the rounding, whose centre is one radius before the tip. Wrist and MCP joints are not round in truth:
#: see WRIST_BREADTH_MM, HAND_BREADTH_MM.
JOINT_RADIUS_MM = _joint_radii()


def _thickness_sd() -> Array:
    """(6,) standard deviation of flesh over the population, mm: palm, thumb, index, middle, ring, little."""

    def both(sd: Array, mean: Array) -> Array:
        return np.asarray(np.sqrt((sd**2).mean(axis=0) + (np.diff(mean, axis=0)[0] / 2) ** 2))

    hand = both(np.array([[8.6], [9.8]]), np.array([[186.5], [213.3]])) / HAND_CIRCUMFERENCE_MM
    fingers = both(_PIP_CIRCUMFERENCE_SD_MM, _PIP_CIRCUMFERENCE_MM) / (2 * np.pi)
    return np.concatenate([hand * PALM_THICKNESS_MM / 2, fingers])


#: (6,) standard deviation of the radius, mm: palm, thumb, index, middle, ring, little. Fingers: Greiner's PIP
#: circumferences, spread within a sex and between the sexes; palm: that of the hand's circumference, in proportion.
THICKNESS_SD_MM = _thickness_sd()
