"""Translation, scaling and mirroring of a cut-out.

The widgets' canvas in the browser uses the same geometry. Pixel column ``i`` covers ``[i, i + 1]`` and is sampled at
its centre ``i + 0.5``; the image covers ``[0, W] × [0, H]``. The output at ``(x, y)`` is sampled from the input at

    u = (x - W / 2 - dx · W) / scale + W / 2        v = (y - H / 2 - dy · H) / scale + H / 2

or from ``(W - u, v)`` with ``flip``. Sampling is bilinear. Outside the input, images repeat their border pixels and
masks are 0, so the matte falls to 0 within one pixel at the border of the input.
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
    """Position, size and orientation of a cut-out; the defaults leave it unchanged.

    Attributes:
        dx: Shift to the right, as a fraction of the image width.
        dy: Shift downwards, as a fraction of the image height.
        scale: Scale factor about the image centre, above 0.
        flip: Whether to mirror left to right, before scaling and shifting.

    Raises:
        BadInput: If the scale is not positive.
    """

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise BadInput(f"expected a scale above 0, got {self.scale}; 1 keeps the size of the object")


def place(
    image: Shaped[Tensor, "3 h w"], mask: Shaped[Tensor, "h w"], placements: Sequence[Placement]
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n h w"]]:
    """Apply several placements to one cut-out.

    Args:
        image: Image with values in [0, 255].
        mask: Boolean mask, or a float matte in [0, 1].
        placements: One placement per result.

    Returns:
        The transformed images, with values in [0, 255] that are not rounded, and their mattes in [0, 1];
        `bglab.images.composite` pastes them on a background.

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
    # bilinear weights sum to 1 only up to rounding
    return moved, alpha.squeeze(1).clamp_(0.0, 1.0)


def _sources(
    placements: Sequence[Placement], height: int, width: int, device: torch.device
) -> Float[Tensor, "n {height} {width} 2"]:
    """Compute the sampling grid of `grid_sample`: input coordinates (u, v), from -1 to 1 between the image edges."""
    values = torch.tensor(
        [(p.dx, p.dy, p.scale, -1.0 if p.flip else 1.0) for p in placements], dtype=torch.float64, device=device
    )
    dx, dy, scale, side = (values[:, i, None] for i in range(4))
    x, y = (_edge_to_edge(length, device) for length in (width, height))
    # with x' = 2 x / W - 1 the formula above becomes u' = (x' - 2 dx) / scale, and mirroring changes the sign
    u, v = side * (x - 2 * dx) / scale, (y - 2 * dy) / scale
    grid = torch.stack(torch.broadcast_tensors(u[:, None, :], v[:, :, None]), dim=-1)
    return grid.to(torch.float32)


def _edge_to_edge(length: int, device: torch.device) -> Float[Tensor, " {length}"]:
    """Compute the pixel centres along one side, scaled so that the edges are at -1 and 1."""
    return (2 * torch.arange(length, dtype=torch.float64, device=device) + 1) / length - 1
