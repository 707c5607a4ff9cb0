"""How far a tracked hand is from its labels, and how steady and plausible it is on its own. Pure functions, numpy only.

Joints are (N, J, 3) arrays in mm. Two kinds of gap are kept apart: NaN in the truth means that a joint has no label and
is left out everywhere; NaN in a prediction means that the tracker gave nothing for that frame. Means run over what
exists; `worst_joint_errors` and everything counted from it takes a missing prediction for a miss.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from engine.types import JOINT_PARENTS, FloatArray

Array = NDArray[np.float64]

WRIST = 0
#: Of the interval about each joint that is drawn and reported.
INTERVAL_SHARE = 0.9
#: A rigid fit in three dimensions needs three points that do not lie on one line.
_MIN_POINTS_TO_ALIGN = 3
#: How far around the joints `point_cloud_distances` looks first, mm.
_CLOUD_MARGIN_MM = 60.0


def joint_errors(predicted: FloatArray, truth: FloatArray) -> Array:
    """Euclidean distance of each joint from its label: (N, J) mm, NaN where either is missing.

    predicted, truth: (N, J, 3) mm, or (N, J, 2) pixels for an error in pixels.
    """
    predicted, truth = _matching(predicted, truth)
    return np.linalg.norm(predicted - truth, axis=-1)


def mean_or_none(values: FloatArray) -> float | None:
    """Mean of the values that are not NaN, None when there are none: what a report prints for "not measured"."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def median_or_none(values: FloatArray) -> float | None:
    """Median of the values that are not NaN, None when there are none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None


def per_joint_means(errors: FloatArray) -> list[float | None]:
    """Mean error of every joint over the frames, J values in mm, from (N, J) errors."""
    return [mean_or_none(errors[:, joint]) for joint in range(errors.shape[1])]


def finger_joint_error(errors: FloatArray) -> float | None:
    """Mean error in mm over all joints but the wrist, whose place every label set defines its own way."""
    return mean_or_none(np.delete(errors, WRIST, axis=1))


def worst_joint_errors(predicted: FloatArray, truth: FloatArray) -> Array:
    """The largest joint error of each frame: (N,) mm; NaN where a frame has no label, infinity where no prediction."""
    predicted, truth = _matching(predicted, truth)
    labelled = np.logical_not(np.any(np.isnan(truth), axis=-1))
    errors = np.where(np.isnan(predicted).any(-1), np.inf, joint_errors(predicted, truth))
    worst = np.where(labelled, errors, -np.inf).max(1)
    return np.where(np.any(labelled, axis=1), worst, np.nan)


def fraction_within(worst_errors: FloatArray, thresholds_mm: FloatArray | float) -> Array:
    """Fraction of labelled frames whose worst joint is at most each threshold, the papers' "success rate" curve.

    worst_errors: (N,) from `worst_joint_errors`; NaN frames are not counted, infinite ones are misses.
    Returns (T,) for T thresholds (or a 0-d array for one); NaN when no frame is labelled.
    """
    known = worst_errors[~np.isnan(worst_errors)]
    thresholds = np.asarray(thresholds_mm, float)
    if known.size == 0:
        return np.full(thresholds.shape, np.nan)
    return (known <= thresholds[..., None]).mean(-1)


def procrustes_align(predicted: FloatArray, truth: FloatArray) -> Array:
    """One hand moved onto its label by the least-squares similarity: rotation, translation, one scale (Umeyama 1991).

    predicted, truth: (J, 3) mm, both complete. Reflections are not allowed. Returns (J, 3) mm.
    """
    centre_predicted, centre_truth = predicted.mean(0), truth.mean(0)
    source, target = predicted - centre_predicted, truth - centre_truth
    left, singular, right = np.linalg.svd(target.T @ source)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = (singular * signs).sum() / max((source**2).sum(), 1e-12)
    return scale * source @ (left @ np.diag(signs) @ right).T + centre_truth


def procrustes_errors(predicted: FloatArray, truth: FloatArray) -> Array:
    """Joint errors (N, J) mm after each frame's own similarity alignment (rotation, translation and scale).

    NaN where a label is missing, and for frames with no prediction or fewer than three labelled joints.
    """
    predicted, truth = _matching(predicted, truth)
    errors = np.full(truth.shape[:2], np.nan)
    for frame, (hand, label) in enumerate(zip(predicted, truth, strict=True)):
        known = ~(np.isnan(label).any(-1) | np.isnan(hand).any(-1))
        if known.sum() >= _MIN_POINTS_TO_ALIGN:
            aligned = procrustes_align(hand[known], label[known])
            errors[frame, known] = np.linalg.norm(aligned - label[known], axis=-1)
    return errors


def point_cloud_distances(joints: FloatArray, cloud: FloatArray) -> Array:
    """MDPC: each joint's minimum distance to the observed points, (J,) mm (Wang et al. section IV-B).

    joints: (J, 3) mm; cloud: (P, 3) mm, the frame's whole point cloud. NaN when the cloud is empty or a joint is NaN.
    It says whether joints lie inside the flesh that was seen, whatever the labels say: half a finger is right.
    """
    if len(cloud) == 0:
        return np.full(len(joints), np.nan)
    low, high = joints.min(0) - _CLOUD_MARGIN_MM, joints.max(0) + _CLOUD_MARGIN_MM
    near = cloud[((cloud >= low) & (cloud <= high)).all(1)]
    distances = _nearest(joints, near)
    far = distances > _CLOUD_MARGIN_MM
    if far.any():
        distances[far] = _nearest(joints[far], cloud)
    return distances


def _nearest(joints: FloatArray, cloud: FloatArray) -> Array:
    if len(cloud) == 0:
        return np.full(len(joints), np.inf)
    return np.array([np.sqrt(((cloud - joint) ** 2).sum(1).min()) for joint in np.asarray(joints, float)])


def bone_lengths(joints: FloatArray) -> Array:
    """Lengths of the 20 bones, (N, 20) mm, from 21 joints (N, 21, 3): bone k joins joint k + 1 to its parent."""
    joints = np.asarray(joints, float)
    return np.linalg.norm(joints[:, 1:] - joints[:, list(JOINT_PARENTS[1:])], axis=-1)


def bone_length_statistics(joints: FloatArray) -> tuple[Array, Array]:
    """Mean and standard deviation over the frames of each bone's length, (20,) mm each; frames with NaN are left out.

    One person's bones do not change: the deviation is error of the tracker (or of the labels).
    """
    lengths = bone_lengths(joints)
    known = lengths[~np.isnan(lengths).any(1)]
    if len(known) == 0:
        return np.full(lengths.shape[1], np.nan), np.full(lengths.shape[1], np.nan)
    return known.mean(0), known.std(0)


def jitter(joints: FloatArray) -> float | None:
    """Standard deviation in mm of a hand held still: the root of the joints' mean variance over the frames.

    joints: (N, J, 3) mm; frames with NaN are left out; None with fewer than two frames left.
    """
    joints = np.asarray(joints, float)
    known = joints[~np.isnan(joints).any((1, 2))]
    return float(np.sqrt(known.var(0).sum(-1).mean())) if len(known) > 1 else None


@lru_cache(maxsize=128)
def interval_radius(share: float) -> float:
    """Radius of the ball that holds this share, 0 < share < 1, of isotropic Gaussian errors in three dimensions whose
    root mean square distance is 1. Times joint_sigma_mm it is the joint's interval in mm; 1.4435 for 90 %.

    Distances are Maxwell-distributed: with deviation s along each axis, the root mean square is s sqrt(3) and the share
    within x s is erf(x / sqrt 2) - sqrt(2 / pi) x exp(-x^2 / 2), which is solved for x by bisection.
    """
    if not 0 < share < 1:
        raise ValueError(f"an interval holds a share between 0 and 1, not {share}")
    low, high = 0.0, 10.0
    for _ in range(60):
        x = 0.5 * (low + high)
        within = math.erf(x / math.sqrt(2)) - math.sqrt(2 / math.pi) * x * math.exp(-0.5 * x * x)
        low, high = (x, high) if within < share else (low, x)
    return 0.5 * (low + high) / math.sqrt(3)


def interval_coverage(errors: FloatArray, sigma: FloatArray, share: float) -> float | None:
    """Share of the errors, mm, that lie within their intervals of `share` (interval_radius), where sigma, of the same
    shape, is what they were expected to be; NaN errors are left out, None when there are no others.

    It equals `share` where the expected errors are calibrated.
    """
    known = ~np.isnan(errors)
    return mean_or_none((errors[known] <= interval_radius(share) * sigma[known]).astype(float))


def k_means(
    vectors: FloatArray, k: int = 2, seed: int = 0, restarts: int = 8, iterations: int = 100
) -> NDArray[np.intp]:
    """Cluster (N, D) vectors into k by Lloyd's algorithm from k-means++ seeds; the best of several restarts.

    Deterministic for a given seed. Returns the cluster (N,) of each vector.
    """
    data = np.asarray(vectors, np.float64)
    if k < 1 or len(data) < k:
        raise ValueError(f"cannot make {k} clusters of {len(data)} vectors")
    generator = np.random.default_rng(seed)
    best_cost, best = np.inf, np.zeros(len(data), np.intp)
    for _ in range(restarts):
        centres = _spread_seeds(data, k, generator)
        clusters = np.full(len(data), -1, np.intp)
        for _ in range(iterations):
            distances = np.stack([((data - centre) ** 2).sum(1) for centre in centres], 1)
            moved, clusters = clusters, distances.argmin(1)
            if np.array_equal(moved, clusters):
                break
            # A cluster that lost its last vector keeps its centre.
            centres = np.stack([data[clusters == c].mean(0) if (clusters == c).any() else centres[c] for c in range(k)])
        cost = distances.min(1).sum()
        if cost < best_cost:
            best_cost, best = cost, clusters
    return best


def _spread_seeds(vectors: Array, k: int, generator: np.random.Generator) -> Array:
    """k-means++: each further seed is drawn in proportion to its squared distance from those taken."""
    seeds = [vectors[generator.integers(len(vectors))]]
    while len(seeds) < k:
        squared = np.min([((vectors - seed) ** 2).sum(1) for seed in seeds], axis=0)
        total = squared.sum()
        weights = squared / total if total > 0 else None
        seeds.append(vectors[generator.choice(len(vectors), p=weights)])
    return np.stack(seeds)


def subject_f1(lengths: FloatArray, subjects: NDArray[np.integer], seed: int = 0) -> Array:
    """How well bone lengths tell people apart: F1 of each subject's cluster (Wang et al. section IV-C).

    lengths: (N, 20) mm; subjects: (N,) whole numbers 0 .. k - 1, each present. The clusters are matched to the subjects
    the way that gives the highest mean F1. Returns (k,), each 2 precision recall / (precision + recall), 1 is perfect.
    """
    k = int(subjects.max()) + 1
    clusters = k_means(lengths, k, seed)
    overlap = np.array([[np.sum((subjects == s) & (clusters == c)) for c in range(k)] for s in range(k)], float)
    sizes = np.bincount(subjects, minlength=k)[:, None] + np.bincount(clusters, minlength=k)[None]
    scores = 2 * overlap / np.maximum(sizes, 1)
    return max((scores[range(k), list(order)] for order in permutations(range(k))), key=lambda row: row.mean())


def _matching(predicted: FloatArray, truth: FloatArray) -> tuple[Array, Array]:
    if predicted.shape != truth.shape or truth.ndim != 3:
        raise ValueError(f"predicted {predicted.shape} and true joints {truth.shape} must both be (N, J, 2 or 3)")
    return np.asarray(predicted, float), np.asarray(truth, float)
