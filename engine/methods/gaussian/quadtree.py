"""Image Gaussians (Wang et al. section III-B): a depth crop as 2D Gaussians, each with one depth.

A quadtree splits the crop until the depth within each region differs by less than c. A region that holds an empty pixel
is split as well, so that leaves lie on the surface alone, and regions of empty pixels alone are left out. A leaf is
then a cell of a pyramid of grids, known by its number in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.types import LumbricalError

#: The paper's c: a region is one Gaussian when its depths differ by less.
DEPTH_RANGE_MM = 20.0
#: A place that no Gaussian of an image reaches, pixels.
_FAR_PX = 1e6


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Grids over a square image of `size` pixels: level l has size / 2^l cells a side, each 2^l pixels wide.

    Cells are numbered row by row, level after level. `level`, `row`, `column`: (cells,) int64 of each cell. `ticks`:
    rows (or columns) of all levels one after another, (2 * size,) centres in pixels from the image's middle, and a last
    one that is far from everything; `tick_sigma`: (2 * size,) half the width of a cell there, pixels; `level_ticks`:
    where each level's ticks begin.
    """

    size: int
    levels: int
    level: Tensor
    row: Tensor
    column: Tensor
    ticks: Tensor
    tick_sigma: Tensor
    level_ticks: Tensor


@lru_cache(maxsize=8)
def pyramid(size: int, device: torch.device) -> Pyramid:
    """The grids over an image; size must be a power of two."""
    if size < 1 or size & (size - 1):
        raise LumbricalError(f"a quadtree needs a square crop of 2^n pixels a side, not {size}; use a 128 x 128 crop")
    levels, rows, columns, ticks, sigmas, starts = [], [], [], [], [], []
    begin = 0
    for level in range(size.bit_length()):
        side, width = size >> level, 1 << level
        places = torch.arange(side, device=device)
        row, column = torch.meshgrid(places, places, indexing="ij")
        rows.append(row.flatten())
        columns.append(column.flatten())
        levels.append(torch.full((side * side,), level, device=device))
        ticks.append((places.double() + 0.5) * width - size / 2)
        sigmas.append(torch.full((side,), width / 2, dtype=torch.float64, device=device))
        starts.append(begin)
        begin += side
    return Pyramid(
        size=size,
        levels=len(levels),
        level=torch.cat(levels),
        row=torch.cat(rows),
        column=torch.cat(columns),
        ticks=torch.cat((*ticks, torch.full((1,), _FAR_PX, dtype=torch.float64, device=device))),
        tick_sigma=torch.cat((*sigmas, sigmas[0][:1])),
        level_ticks=torch.tensor(starts, device=device),
    )


@dataclass(frozen=True)
class ImageGaussians:
    """The leaves of a batch of crops, padded to the longest list; at most size^2 of them an image (each pixel one).

    cells: (B, L) int64, a leaf's number in the pyramid, level by level and row by row; 0 where padded. depth_mm: (B, L)
    mean depth of the leaf, camera frame. counts: (B,) int64 leaves of each image: the first ones of its list. size:
    pixels of a crop's side. self_similarity: (B,) px^2, the denominator of Eq. 6; 0 for an empty crop.
    """

    cells: Tensor
    depth_mm: Tensor
    counts: Tensor
    size: int
    self_similarity: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, L) bool, where the list holds a leaf."""
        return torch.arange(self.cells.shape[1], device=self.cells.device) < self.counts.unsqueeze(1)

    @property
    def sigmas_px(self) -> Tensor:
        """(B, L) half the leaf's side, pixels."""
        grid = pyramid(self.size, self.cells.device)
        return (0.5 * 2.0 ** grid.level[self.cells]).to(self.depth_mm.dtype)

    @property
    def centres_px(self) -> Tensor:
        """(B, L, 2) u, v of the leaf's centre; pixel centres are at whole numbers."""
        grid = pyramid(self.size, self.cells.device)
        place = torch.stack((grid.column[self.cells], grid.row[self.cells]), -1)
        width = 2.0 ** grid.level[self.cells].unsqueeze(-1)
        return ((place + 0.5) * width - 0.5).to(self.depth_mm.dtype)


@torch.no_grad()
def image_gaussians(crop: Tensor, distance: Tensor, depth_range_mm: float = DEPTH_RANGE_MM) -> ImageGaussians:
    """Quadtrees of crops (B, 128, 128) or (B, 1, 128, 128) in [-1, 1]; distance: (B,) mm of the cubes' centres.

    Pixels of 1 (or more) are empty. Nothing here needs or has a gradient. Raises LumbricalError for a crop that is not
    finite, not square, or not 2^n pixels wide.
    """
    images = crop.squeeze(1) if crop.ndim == 4 else crop
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise LumbricalError(f"crops must be (B, 128, 128) or (B, 1, 128, 128), not {tuple(crop.shape)}")
    # Whatever is not finite shows in the sum, which is five times as fast as asking every pixel.
    if not images.sum().isfinite():
        raise LumbricalError("a depth crop holds NaN or infinite pixels; mark what was not measured with 1")
    images = images.to(distance.dtype)
    grid = pyramid(images.shape[-1], images.device)
    leaves, means = _leaves(images, depth_range_mm / HALF_CUBE_MM)
    image, cell = leaves.nonzero(as_tuple=True)
    counts = torch.bincount(image, minlength=len(images))
    longest = int(counts.max()) if len(counts) else 0
    slot = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    cells = cell.new_zeros(len(images), longest)
    cells[image, slot] = cell
    depth = images.new_zeros(len(images), longest)
    depth[image, slot] = distance[image] + HALF_CUBE_MM * means[image, cell]
    return ImageGaussians(cells, depth, counts, grid.size, self_similarity(leaves.to(depth.dtype), grid))


def _leaves(images: Tensor, depth_range: float) -> tuple[Tensor, Tensor]:
    """Which cells of the pyramid are leaves, (B, cells) bool, and each cell's mean, (B, cells), both in its order.

    A cell is even when its depths differ by less than depth_range; cells within an even one are even, so the leaves are
    the even cells without an even parent.
    """
    empty = images >= 1
    low, high, mean = images, images.masked_fill(empty, torch.inf), images
    even, means = [~empty], [mean]
    while low.shape[-1] > 1:
        low = _reduce(low, torch.minimum)
        high = _reduce(high, torch.maximum)
        mean = _reduce(mean, torch.add) * 0.25
        even.append(high - low < depth_range)
        means.append(mean)
    leaves = [own & ~_doubled(parent) for own, parent in pairwise(even)] + even[-1:]
    return torch.cat([x.flatten(1) for x in leaves], 1), torch.cat([x.flatten(1) for x in means], 1)


def _reduce(grid: Tensor, join: object) -> Tensor:
    """Join (minimum, maximum, add) the four cells of the next level's: (B, N, N) -> (B, N / 2, N / 2)."""
    assert callable(join)
    # Rows first: they lie together in memory, and halve what the slower columns have to do.
    rows = join(grid[:, 0::2], grid[:, 1::2])
    joined: Tensor = join(rows[..., 0::2], rows[..., 1::2])
    return joined


def _doubled(flags: Tensor) -> Tensor:
    """Each flag of (B, N, N) four times: (B, 2 N, 2 N). Two equal bytes are one 16-bit number, fast to write."""
    pairs = (flags.to(torch.int16) * 257).view(torch.bool)
    return pairs.unsqueeze(2).expand(-1, -1, 2, -1).reshape(len(flags), 2 * flags.shape[1], -1)


def falloff(exponent: Tensor) -> Tensor:
    """exp(exponent) in place, e^-40 where it would be less: far below all rounding, and so are products of two, while
    numbers too small for their format would slow whatever touches them tenfold."""
    return exponent.clamp_(min=-40.0).exp_()


def self_similarity(leaves: Tensor, grid: Pyramid) -> Tensor:
    """The denominator of Eq. 6, sum over i and k of S_ik: (B,) px^2 from the leaves as (B, cells) of 0 and 1.

    Leaves of one level lie on a grid and their Gaussians are separable, so the sum over all pairs of two levels is
    <K' M_a K, M_b> with the overlaps K of rows and columns: no pair is ever listed, and memory does not grow with the
    number of leaves.
    """
    total = leaves.new_zeros(len(leaves))
    sides = [grid.size >> level for level in range(grid.levels)]
    maps = [x.unflatten(1, (n, n)) for x, n in zip(leaves.split([n * n for n in sides], 1), sides, strict=True)]
    used = [level for level in range(grid.levels) if maps[level].any()]
    ticks = [x.to(leaves.dtype) for x in grid.ticks[:-1].split(sides)]
    with torch.autocast(leaves.device.type, enabled=False):
        for place, a in enumerate(used):
            total += torch.pi / 4 * 4.0**a * _level_with_itself(maps[a])
            coarser = used[place + 1 :]
            if not coarser:
                break
            variances = [0.25 * (4.0**a + 4.0**b) for b in coarser]
            kernels = [
                falloff((ticks[a].unsqueeze(1) - ticks[b]).square_().mul_(-0.5 / variance))
                for b, variance in zip(coarser, variances, strict=True)
            ]
            across = (maps[a].flatten(0, 1) @ torch.cat(kernels, 1)).unflatten(0, (len(leaves), sides[a]))
            parts = across.split([sides[b] for b in coarser], 2)
            for b, variance, kernel, part in zip(coarser, variances, kernels, parts, strict=True):
                factor = torch.pi / 8 * 4.0 ** (a + b) / variance
                total += 2 * factor * ((kernel.T @ part) * maps[b]).sum((1, 2))
    return total


def _level_with_itself(leaves: Tensor) -> Tensor:
    """Sum of exp(-d^2) over all pairs of leaves (B, N, N), d in cells: (B,). Beyond four, 1e-10 is left."""
    reach = range(1, min(5, leaves.shape[1]))
    across = leaves.clone()
    for k in reach:
        across[:, :, k:].add_(leaves[:, :, :-k], alpha=math.exp(-(k**2)))
        across[:, :, :-k].add_(leaves[:, :, k:], alpha=math.exp(-(k**2)))
    total = (across * leaves).sum((1, 2))
    for k in reach:
        total += 2 * math.exp(-(k**2)) * (across[:, k:] * leaves[:, :-k]).sum((1, 2))
    return total
