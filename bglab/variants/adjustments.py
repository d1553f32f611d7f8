"""Manual adjustments of a variant: object position and edge, background blur and brightness, mix with the original.

Two rules wrap any other rule, so an adjustment made in the explorer can be rendered for a whole data set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from bglab.images import Placement, compositing, place
from bglab.variants.rules import Background, Draw, Foreground, SceneBatch
from bglab.variants.variant import Variant


class Adjustment(NamedTuple):
    """Parameters of a manual adjustment; the defaults change nothing.

    Attributes:
        mix: Weight of the variant in [0, 1]; 0 is the photograph.
        background_blur: Standard deviation of the Gaussian blur of the background in pixels.
        brightness: Factor on the grey levels of the background.
        feather: Standard deviation of the Gaussian that softens the edge of the mask in pixels.
        grow: Pixels by which the mask is dilated, or eroded if negative.
        dx: Shift to the right, as a fraction of the image's width.
        dy: Shift downwards, as a fraction of the image's height.
        scale: Factor on the object's size, around the image's centre.
        flip: Whether the object is mirrored left to right.
    """

    mix: float = 1.0
    background_blur: float = 0.0
    brightness: float = 1.0
    feather: float = 0.0
    grow: int = 0
    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    flip: bool = False

    @property
    def placement(self) -> Placement:
        """Placement of the object: shift, scale and flip."""
        return Placement(self.dx, self.dy, self.scale, self.flip)

    @property
    def words(self) -> str:
        """Suffix for the name of a variant that states every departure from the defaults.

        Example:
            >>> Adjustment(mix=0.5, flip=True).words
            'mix0.5_flip'
        """
        changed = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        return "_".join(name if value is True else f"{name}{value:g}" for name, value in changed.items())


@final
@dataclass(frozen=True)
class Placed(Foreground):
    """The foreground of another rule with a grown mask and a soft edge, moved and mixed with the photograph."""

    wording: ClassVar[str] = "{foreground.text}, adjusted by hand"

    foreground: Foreground
    adjustment: Adjustment

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "*#n 3 h w"], Shaped[Tensor, "n h w"]]:
        """Return the adjusted colours and alpha: the mask is grown, then softened, then moved."""
        by = self.adjustment
        colours, alpha = self.foreground.draw(scenes, key)
        if alpha.dtype == torch.bool:
            alpha = compositing.grow(alpha, by.grow)
            alpha = compositing.soften(alpha, by.feather) if by.feather > 0 else alpha
        if by.placement != Placement():
            colours, alpha = _moved(colours.expand_as(scenes.images), alpha, by.placement)
        return _mixed(colours, scenes.images, by.mix), alpha


@final
@dataclass(frozen=True)
class Adjusted(Background):
    """The background of another rule, blurred, then brightened, then mixed with the photograph."""

    wording: ClassVar[str] = "{background.text}, adjusted by hand"

    background: Background
    adjustment: Adjustment

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "*#n 3 h w"]:
        """Return the adjusted plates."""
        by = self.adjustment
        plate = compositing.blur(self.background.plate(scenes, donors, key), by.background_blur)
        return _mixed(compositing.brighten(plate, by.brightness), scenes.images, by.mix)


def adjusted(variant: Variant, adjustment: Adjustment) -> Variant:
    """Return an adjusted variant, named after the adjustment; the default adjustment returns the variant itself.

    Example:
        >>> from bglab.variants import VARIANTS
        >>> adjusted(VARIANTS["mixed_rand"], Adjustment(background_blur=2)).name
        'mixed_rand_background_blur2'
    """
    if not adjustment.words:
        return variant
    return replace(
        variant,
        name=f"{variant.name}_{adjustment.words}",
        foreground=Placed(variant.foreground, adjustment),
        background=Adjusted(variant.background, adjustment),
        drawn_as=variant.drawn_as or variant.name,
    )


def object_region(variant: Variant, scenes: SceneBatch) -> Bool[Tensor, "n h w"]:
    """Return the mask of the foreground that a variant shows; all False if it shows none."""
    _, alpha = variant.foreground.draw(scenes, Draw(0, variant.drawn_as or variant.name))
    return alpha if alpha.dtype == torch.bool else alpha >= 0.5


def _moved(
    colours: UInt8[Tensor, "n 3 h w"], alpha: Shaped[Tensor, "n h w"], placement: Placement
) -> tuple[UInt8[Tensor, "n 3 h w"], Float[Tensor, "n h w"]]:
    """Apply one placement to the objects of all scenes."""
    moved = [place(image, mask, [placement]) for image, mask in zip(colours, alpha, strict=True)]
    objects = torch.cat([image for image, _ in moved])
    return objects.round_().clamp_(0, 255).to(torch.uint8), torch.cat([mask for _, mask in moved])


def _mixed(
    changed: UInt8[Tensor, "*#n 3 h w"], photograph: UInt8[Tensor, "n 3 h w"], mix: float
) -> UInt8[Tensor, "*#n 3 h w"]:
    """Interpolate between the photograph and the changed image."""
    if mix == 1:
        return changed
    return compositing.composite(
        changed, photograph, torch.full(photograph.shape[-2:], float(mix), device=changed.device)
    )
