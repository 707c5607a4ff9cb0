"""The depth-weighted overlap of model and image Gaussians (Wang et al., Eqs. 4-6) with analytic gradients.

Autograd would keep a dozen arrays of the size leaves x model Gaussians. Here the pairs are gone through in chunks of
bounded size, and forward gathers what backward needs: five numbers a model Gaussian. Nothing is approximated, no pair
is left out.

Leaves lie on grids, so exp(-d^2 / 2 s^2) is a product of one factor for the leaf's column and one for its row; both are
tabulated once a Gaussian, over the rows of all levels, and a pair costs two look-ups, a product and the depth weight.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.methods.gaussian.quadtree import ImageGaussians, Pyramid, pyramid

#: Pairs looked at together: small enough for a core's cache, large enough to keep a GPU busy.
_CHUNK_PAIRS_CPU = 1 << 18
_CHUNK_PAIRS_GPU = 1 << 24
_LEAST_LEAVES = 32


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
    """Per image (B), tick of the pyramid (T) and model Gaussian (P), with a tick of zeros at the end for padding.

    across, down: (B, T + 1, P) factors of S_ip for a column and a row, the amplitude in `across`. variance: (B, levels,
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
        order = images.counts.argsort(descending=True)
        counts = images.counts[order]
        model = [x.detach()[order] for x in (centres, sigmas, surface, sigmas_mm)]
        centres, sigmas, surface, sigmas_mm = model
        # From the middles of image and hand: differences of small numbers keep more digits.
        middle = surface.mean(1, keepdim=True)
        inverse = 0.5 / sigmas_mm
        tables = _tables(centres - (grid.size - 1) / 2, sigmas, grid)
        sums = _PairSums(tables, (surface - middle) * inverse, inverse, grid, any(ctx.needs_input_grad))
        sums.add_all(images.cells[order], images.depth_mm[order] - middle, counts)
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


def _tables(centres: Tensor, sigmas: Tensor, grid: Pyramid) -> _Tables:
    """centres (B, P, 2) from the image's middle."""
    dtype = centres.dtype
    leaf = (0.5 * 2.0 ** torch.arange(grid.levels, device=centres.device, dtype=dtype)).square()
    model = sigmas.square().unsqueeze(1)
    variance = leaf.view(1, -1, 1) + model
    of_tick = (2 * grid.tick_sigma).log2().long()
    falloff = (-0.5 / variance)[:, of_tick]
    ticks = grid.ticks.to(dtype).view(1, -1, 1)
    across = (ticks - centres[..., 0].unsqueeze(1)).square_().mul_(falloff).exp_()
    down = (ticks - centres[..., 1].unsqueeze(1)).square_().mul_(falloff).exp_()
    across *= (2 * torch.pi * leaf.view(1, -1, 1) * model / variance)[:, of_tick]
    nothing = torch.zeros_like(across[:, :1])
    return _Tables(torch.cat((across, nothing), 1), torch.cat((down, nothing), 1), variance, leaf)


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
        self.wants_gradient = gradient
        self.total = inverse.new_zeros(batch, model)
        self.moments = inverse.new_zeros(batch, 4 * grid.levels, model)
        self.signed = inverse.new_zeros(batch, 2, model)

    def add_all(self, cells: Tensor, depth: Tensor, counts: Tensor) -> None:
        """Go through all leaves: cells and depth (B, L), counts (B,) falling."""
        chunk_pairs = _CHUNK_PAIRS_GPU if cells.is_cuda else _CHUNK_PAIRS_CPU
        left = counts.tolist()
        start = 0
        while left and start < left[0]:
            # Images whose lists are used up by now drop out: padding costs little.
            images = sum(count > start for count in left)
            leaves = max(_LEAST_LEAVES, chunk_pairs // (images * self.total.shape[1]))
            end = min(start + leaves, left[0])
            here = (slice(images), slice(start, end))
            mask = torch.arange(start, end, device=cells.device) < counts[:images].unsqueeze(1)
            self._add(cells[here], depth[here].unsqueeze(2), mask)
            start = end

    def _add(self, cells: Tensor, depth: Tensor, mask: Tensor) -> None:
        images, leaves = cells.shape
        grid = self._grid
        level = grid.level[cells]
        first = grid.level_ticks[level]
        column, row = (torch.where(mask, first + x[cells], self._ticks - 1) for x in (grid.column, grid.row))
        begin = torch.arange(images, device=cells.device).unsqueeze(1) * self._ticks
        overlap = self._across.index_select(0, (begin + column).flatten())
        overlap *= self._down.index_select(0, (begin + row).flatten())
        overlap = overlap.unflatten(0, (images, leaves))
        off = torch.addcmul(self._surface[:images], depth, self._inverse[:images])
        near = off.abs().neg_().add_(1.0).clamp_(min=0.0)
        if not self.wants_gradient:
            self.total[:images] += overlap.mul_(near).sum(1)
            return
        ticks = grid.ticks.to(depth.dtype)
        x, y = ticks[column.clamp(max=self._ticks - 2)], ticks[row.clamp(max=self._ticks - 2)]
        features = torch.stack((torch.ones_like(x), x, y, x.square() + y.square()), -1)
        one_hot = torch.nn.functional.one_hot(level, grid.levels).to(depth.dtype)
        by_level = (one_hot.unsqueeze(3) * features.unsqueeze(2)).flatten(2)
        self.moments[:images] += by_level.mT @ (overlap * near)
        self.total = self.moments[:, 0::4].sum(1)
        signed = overlap.mul_(near > 0).mul_(off.sign())
        self.signed[:images] += torch.cat((torch.ones_like(depth), depth), 2).mT @ signed


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
