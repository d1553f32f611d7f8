"""Move, scale and mirror a cut-out: the one geometry of the lab, which the browser draws in the same way.

Coordinates are pixel edges: pixel column ``i`` covers ``[i, i + 1]`` and is sampled at its centre ``i + 0.5``; the
image covers ``[0, W] × [0, H]`` and its centre is ``(W / 2, H / 2)``. What is shown at ``(x, y)`` comes from

    u = (x - W / 2 - dx · W) / scale + W / 2        v = (y - H / 2 - dy · H) / scale + H / 2

of the image, which is mirrored left to right first if ``flip`` (then it comes from ``W - u`` of the image as it
was). Between pixel centres both image and mask are interpolated bilinearly. Beyond the outermost centres an image
repeats its border; a mask is 0 outside, so that it falls off to 0 within half a pixel beyond the border's centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import grid_sample

from bglab.errors import BadInput


@dataclass(frozen=True)
class Placement:
    """Where a cut-out stands.

    Attributes:
        dx: Shift to the right, as a fraction of the width.
        dy: Shift downwards, as a fraction of the height.
        scale: Size, about the image's centre; 1 leaves it.
        flip: Mirror left to right.

    Raises:
        BadInput: If the scale is not positive.
    """

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise BadInput(f"expected a scale above 0, got {self.scale}; 1 leaves the object as it is")


def place(
    image: Shaped[Tensor, "3 h w"], mask: Shaped[Tensor, "h w"], placements: Sequence[Placement]
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n h w"]]:
    """Place one cut-out in several ways.

    Args:
        image: Levels in [0, 255].
        mask: True or 1 on the foreground; floats in [0, 1] are kept.
        placements: One a result.

    Returns:
        The moved images in the same levels, not rounded, and their alpha in [0, 1]; `pixels.composite` lays one over
        a background.

    Example:
        >>> image, mask = torch.arange(4.0).expand(3, 1, 4), torch.ones(1, 4)
        >>> moved, alpha = place(image, mask, [Placement(dx=0.25), Placement(flip=True)])
        >>> moved[:, 0, 0].tolist()
        [[0.0, 0.0, 1.0, 2.0], [3.0, 2.0, 1.0, 0.0]]
        >>> alpha[0, 0].tolist()
        [0.0, 1.0, 1.0, 1.0]
    """
    height, width = image.shape[-2:]
    grid = _sources(placements, height, width, image.device)
    count = len(placements)
    images = image.to(torch.float32).expand(count, *image.shape)
    masks = mask.to(torch.float32).expand(count, 1, *mask.shape)
    moved = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    alpha = grid_sample(masks, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # weights of a bilinear mean add up to 1 only to the last bit
    return moved, alpha.squeeze(1).clamp_(0.0, 1.0)


def _sources(
    placements: Sequence[Placement], height: int, width: int, device: torch.device
) -> Float[Tensor, "n {height} {width} 2"]:
    """Give where each pixel of each result comes from, in [-1, 1] from edge to edge."""
    values = torch.tensor(
        [(p.dx, p.dy, p.scale, -1.0 if p.flip else 1.0) for p in placements], dtype=torch.float64, device=device
    )
    dx, dy, scale, side = (values[:, i, None] for i in range(4))
    x, y = (_edge_to_edge(length, device) for length in (width, height))
    # with x' = 2 x / W - 1 the rule above reads u' = (x' - 2 dx) / scale, and mirroring is a change of sign
    u, v = side * (x - 2 * dx) / scale, (y - 2 * dy) / scale
    grid = torch.stack(torch.broadcast_tensors(u[:, None, :], v[:, :, None]), dim=-1)
    return grid.to(torch.float32)


def _edge_to_edge(length: int, device: torch.device) -> Float[Tensor, " {length}"]:
    """Give the pixel centres of a side on the scale from -1 (its first edge) to 1 (its last)."""
    return (2 * torch.arange(length, dtype=torch.float64, device=device) + 1) / length - 1
