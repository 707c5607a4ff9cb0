"""The depth-weighted overlap of model and image Gaussians (Wang et al., Eqs. 4-6) with analytic gradients.

Autograd would keep a dozen arrays of the size leaves x model Gaussians. Here the pairs are gone through in chunks of
bounded size, and forward gathers what backward needs: five numbers a model Gaussian. Nothing is approximated, no pair
is left out.

Leaves lie on grids, so exp(-d^2 / 2 s^2) is a product of one factor for the leaf's column and one for its row; both are
tabulated once a Gaussian, over the rows of all levels, and a pair costs two look-ups, a product and the depth weight.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.methods.gaussian.quadtree import ImageGaussians, Pyramid, falloff, pyramid

#: Pairs looked at together: small enough for a core's cache, large enough to keep a GPU busy.
_CHUNK_PAIRS_CPU = 1 << 17
_CHUNK_PAIRS_GPU = 1 << 24


def similarity(
    centres_px: Tensor, sigmas_px: Tensor, surface_mm: Tensor, sigmas_mm: Tensor, images: ImageGaussians
) -> Tensor:
    """The numerator of Eq. 6: the sum over leaves i and model Gaussians p of Delta(i, p) S_ip, (B,) px^2.

    centres_px: (B, P, 2), sigmas_px: (B, P), surface_mm: (B, P), sigmas_mm: (B, P) of the model (DecodedHand).
    Gaussians are not normalised, g(0) = 1, so that S_ip (Eq. 4) = 2 pi si^2 sp^2 / s^2 exp(-d^2 / 2 s^2), s^2 = si^2 +
    sp^2. Delta (Eq. 5) takes sigmas_mm for sigma_h. Differentiable once in the first four.
    """
    with torch.autocast(centres_px.device.type, enabled=False):
        total: Tensor = _Similarity.apply(centres_px, sigmas_px, surface_mm, sigmas_mm, images)
    return total


class _Tables(NamedTuple):
    """Per image (B), tick of the pyramid (T) and model Gaussian (P).

    across, down: (B, T, P) factors of S_ip for a column and a row, the amplitude in `across`. variance: (B, levels,
    P) s^2 of Eq. 4; leaf_variance: (levels,) si^2.
    """

    across: Tensor
    down: Tensor
    variance: Tensor
    leaf_variance: Tensor


class _Similarity(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, centres: Tensor, sigmas: Tensor, surface: Tensor, sigmas_mm: Tensor, images: ImageGaussians
    ) -> Tensor:
        grid = pyramid(images.size, centres.device)
        cells, depth, counts = _within_reach(images, surface, sigmas_mm)
        order = counts.argsort(descending=True)
        model = [x.detach()[order] for x in (centres, sigmas, surface, sigmas_mm)]
        centres, sigmas, surface, sigmas_mm = model
        # From the middles of image and hand: differences of small numbers keep more digits.
        middle = surface.mean(1, keepdim=True)
        inverse = 0.5 / sigmas_mm
        tables = _tables(centres - (grid.size - 1) / 2, sigmas, grid)
        sums = _PairSums(tables, (surface - middle) * inverse, inverse, grid, any(ctx.needs_input_grad))
        sums.add_all(cells[order], depth[order] - middle, counts[order])
        back = order.argsort()
        if sums.wants_gradient:
            place = centres - (grid.size - 1) / 2
            gradients = _gradients(sums, tables, place, sigmas, surface - middle, sigmas_mm)
            ctx.save_for_backward(*(gradient[back] for gradient in gradients))
        return sums.total.sum(1)[back]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        centres, sigmas, surface, sigmas_mm = ctx.saved_tensors
        row = slope.unsqueeze(1)
        return row.unsqueeze(2) * centres, row * sigmas, row * surface, row * sigmas_mm, None


def _within_reach(images: ImageGaussians, surface: Tensor, sigmas_mm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells, depths (B, L) and counts (B,) of the leaves whose depth any Gaussian's Delta reaches; the others' is 0.

    What is held, worn or behind the hand, often half of a crop, drops out here.
    """
    reach = 2 * sigmas_mm
    nearest, farthest = (surface - reach).amin(1, keepdim=True), (surface + reach).amax(1, keepdim=True)
    keep = images.mask & (images.depth_mm > nearest) & (images.depth_mm < farthest)
    image, place = keep.nonzero(as_tuple=True)
    counts = torch.bincount(image, minlength=len(keep))
    slot = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    cells, depth = torch.zeros_like(images.cells), torch.zeros_like(images.depth_mm)
    cells[image, slot] = images.cells[image, place]
    depth[image, slot] = images.depth_mm[image, place]
    return cells, depth, counts


def _tables(centres: Tensor, sigmas: Tensor, grid: Pyramid) -> _Tables:
    """centres (B, P, 2) from the image's middle."""
    dtype = centres.dtype
    leaf = (0.5 * 2.0 ** torch.arange(grid.levels, device=centres.device, dtype=dtype)).square()
    model = sigmas.square().unsqueeze(1)
    variance = leaf.view(1, -1, 1) + model
    of_tick = (2 * grid.tick_sigma).log2().long()
    factor = (-0.5 / variance)[:, of_tick]
    ticks = grid.ticks.to(dtype).view(1, -1, 1)
    across = falloff((ticks - centres[..., 0].unsqueeze(1)).square_().mul_(factor))
    down = falloff((ticks - centres[..., 1].unsqueeze(1)).square_().mul_(factor))
    across *= (2 * torch.pi * leaf.view(1, -1, 1) * model / variance)[:, of_tick]
    return _Tables(across, down, variance, leaf)


class _PairSums:
    """Sums over the leaves of each image, per model Gaussian; the images in order of falling counts.

    total: (B, P) of Delta S. moments: (B, 4 * levels, P), Delta S times 1, x, y, x^2 + y^2 of the leaf, level by level.
    signed: (B, 2, P), S times 1 and z, where Delta > 0, with the sign of z_i - z_p.
    """

    def __init__(self, tables: _Tables, scaled_surface: Tensor, inverse: Tensor, grid: Pyramid, gradient: bool) -> None:
        batch, ticks, model = tables.across.shape
        self._across, self._down = (x.flatten(0, 1) for x in (tables.across, tables.down))
        self._surface, self._inverse = -scaled_surface.unsqueeze(1), inverse.unsqueeze(1)
        self._grid, self._ticks = grid, ticks
        self._features = _features(grid, inverse.dtype)
        self.wants_gradient = gradient
        self.total = inverse.new_zeros(batch, model)
        self.moments = inverse.new_zeros(batch, 4 * grid.levels, model)
        self.signed = inverse.new_zeros(batch, 2, model)

    def add_all(self, cells: Tensor, depth: Tensor, counts: Tensor) -> None:
        """Go through all leaves: cells and depth (B, L), counts (B,) falling."""
        first = self._grid.level_ticks[self._grid.level[cells]]
        begin = torch.arange(len(cells), device=cells.device).unsqueeze(1) * self._ticks
        mask = torch.arange(cells.shape[1], device=cells.device) < counts.unsqueeze(1)
        ticks = [
            # The last tick, for padding, is far from all.
            torch.where(mask, first + place[cells], self._ticks - 1) + begin
            for place in (self._grid.column, self._grid.row)
        ]
        chunk_pairs = _CHUNK_PAIRS_GPU if cells.is_cuda else _CHUNK_PAIRS_CPU
        most_leaves = max(1, chunk_pairs // self.total.shape[1])
        left = counts.tolist()
        if left and left[0] > 0:
            # Columns of levels that do not occur need not be looked at.
            self._features = self._features[:, : 4 * (int(self._grid.level[cells.max()]) + 1)].contiguous()
        start = 0
        while start < len(left) and left[start] > 0:
            # Neighbours have lists of about the same length, so padding costs little.
            end = start + max(1, most_leaves // left[start])
            for leaf in range(0, left[start], most_leaves):
                images, leaves = slice(start, end), slice(leaf, min(leaf + most_leaves, left[start]))
                here = (images, leaves)
                self._add(images, cells[here], ticks[0][here], ticks[1][here], depth[here])
            start = end
        if self.wants_gradient:
            self.total = self.moments[:, 0::4].sum(1)

    def _add(self, images: slice, cells: Tensor, column: Tensor, row: Tensor, depth: Tensor) -> None:
        overlap = self._across.index_select(0, column.flatten())
        overlap *= self._down.index_select(0, row.flatten())
        overlap = overlap.unflatten(0, cells.shape)
        off = torch.addcmul(self._surface[images], depth.unsqueeze(2), self._inverse[images])
        near = torch.rsub(off.abs(), 1.0).clamp_(min=0.0)
        if not self.wants_gradient:
            self.total[images] += overlap.mul_(near).sum(1)
            return
        weighted = overlap * near
        features = self._features.index_select(0, cells.flatten()).unflatten(0, cells.shape)
        self.moments[images, : features.shape[2]] += features.mT @ weighted
        # Where Delta is above 0, and with the sign of the depth difference: one pass each.
        signed = torch.ops.aten.threshold_backward(overlap, near, 0.0).copysign_(off)
        self.signed[images] += torch.stack((torch.ones_like(depth), depth), 1) @ signed


@lru_cache(maxsize=8)
def _features(grid: Pyramid, dtype: torch.dtype) -> Tensor:
    """(cells, 4 * levels): 1, x, y and x^2 + y^2 of a cell's centre, pixels from the middle, in its level's columns."""
    first = grid.level_ticks[grid.level]
    x, y = grid.ticks[first + grid.column], grid.ticks[first + grid.row]
    values = torch.stack((torch.ones_like(x), x, y, x.square() + y.square()), 1)
    one_hot = torch.nn.functional.one_hot(grid.level, grid.levels)
    return (one_hot.unsqueeze(2) * values.unsqueeze(1)).flatten(1).to(dtype)


def _gradients(
    sums: _PairSums, tables: _Tables, centres: Tensor, sigmas: Tensor, surface: Tensor, sigmas_mm: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the total by centres (B, P, 2), sigmas (B, P), surface depth (B, P) and sigmas_mm (B, P).

    d ln S / dx_p = (x_i - x_p) / s^2 and d ln S / d(sp^2) = d^2 / 2 s^4 + si^2 / (sp^2 s^2). With
    u = (z_i - z_p) / 2 sigma_h, d Delta / dz_p = sign(u) / 2 sigma_h and d Delta / d sigma_h = |u| / sigma_h.
    """
    one, x, y, squares = (sums.moments[:, k::4] for k in range(4))
    over = 1.0 / tables.variance
    px, py = (centres[..., k].unsqueeze(1) for k in range(2))
    by_x = ((x - px * one) * over).sum(1)
    by_y = ((y - py * one) * over).sum(1)
    distances = squares - 2 * (px * x + py * y) + (px.square() + py.square()) * one
    leaf = tables.leaf_variance.view(1, -1, 1)
    by_variance = (0.5 * distances * over.square() + leaf * over * one / sigmas.square().unsqueeze(1)).sum(1)
    signs, signed_depth = sums.signed.unbind(1)
    by_surface = signs * (0.5 / sigmas_mm)
    by_sigma_mm = (signed_depth - surface * signs) * 0.5 / sigmas_mm.square()
    return torch.stack((by_x, by_y), -1), 2 * sigmas * by_variance, by_surface, by_sigma_mm
