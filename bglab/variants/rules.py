"""Rules of a variant: how the foreground and the background of a scene are rendered.

A rule is a frozen data class of its parameters; everything random is keyed by (seed, variant, scene).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.images import Color, add_noise, blur, box_mask, draw_texture, fill_box, plain, soften
from bglab.seeding import keyed_generator

Region = Literal["mask", "box"]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Scenes of one size on one device.

    Attributes:
        ids: Scene ids.
        images: The photographs, RGB, 0-255.
        masks: True on the foreground.
        plates: The backgrounds without foregrounds, tiled over the boxes.
        boxes: ``(x0, y0, x1, y1)`` in pixels, half-open.
    """

    ids: tuple[str, ...]
    images: UInt8[Tensor, "n 3 h w"]
    masks: Bool[Tensor, "n h w"]
    plates: UInt8[Tensor, "n 3 h w"]
    boxes: Int[Tensor, "n 4"]

    def region(self, region: Region) -> Bool[Tensor, "n h w"]:
        """Return the foreground of each scene as its segmentation mask or as the mask of its box."""
        return self.masks if region == "mask" else box_mask(self.boxes, *self.images.shape[-2:])


class Draw(NamedTuple):
    """Key of the random numbers of one rendering.

    Attributes:
        seed: Seed of textures and noise.
        variant: Name of the variant.
    """

    seed: int
    variant: str

    def for_each(
        self, scenes: SceneBatch, draw: Callable[[np.random.Generator], np.ndarray]
    ) -> Shaped[Tensor, "n 3 h w"]:
        """Draw one array per scene from its own generator, and stack them on the scenes' device.

        The generator is seeded by (seed, variant, scene id), so the draw does not depend on the batch.
        """
        drawn = [draw(keyed_generator(self.seed, self.variant, scene)) for scene in scenes.ids]
        return torch.from_numpy(np.stack(drawn)).to(scenes.images.device)


class _Worded:
    """A rule with a short description: a template that is filled with its parameters."""

    wording: ClassVar[str]
    #: Whether the pixels depend on the seed.
    is_random: ClassVar[bool] = False
    #: Whether the pixels depend on the mask or box of a scene.
    needs_mask: ClassVar[bool] = True

    @property
    def text(self) -> str:
        """Short description of the rule, as in `variant_table`."""
        fields = vars(self).items()
        parameters = {n: _COLOR_NAMES.get(v, str(v)) if isinstance(v, tuple) else v for n, v in fields}
        return self.wording.format(**parameters).strip()


_COLOR_NAMES: dict[object, str] = {
    BLACK: "black",
    WHITE: "white",
    (0, 128, 0): "green",
    (255, 255, 0): "yellow",
    (128, 128, 128): "grey",
}


class Foreground(_Worded, ABC):
    """A rule for the foreground, which provides its colours and its alpha."""

    @abstractmethod
    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "*#n 3 h w"], Shaped[Tensor, "n h w"]]:
        """Return the colours of the foregrounds, 0-255, and their alpha: a bool mask or a float matte in [0, 1].

        Args:
            scenes: Scenes that provide the foregrounds.
            key: Key of the random numbers.
        """


@final
@dataclass(frozen=True)
class Keep(Foreground):
    """The object as photographed, cut out by its mask or its box.

    Attributes:
        region: Whether the mask or the box is cut out.
        feather: Standard deviation of the Gaussian that softens the edge in pixels; 0 leaves it hard.
    """

    wording: ClassVar[str] = "the object, cut out by its {region}"

    region: Region = "mask"
    feather: float = 0.0

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Shaped[Tensor, "n h w"]]:
        """Return the photographs and their foreground regions."""
        region = scenes.region(self.region)
        return scenes.images, soften(region, self.feather) if self.feather > 0 else region


@final
@dataclass(frozen=True)
class Absent(Foreground):
    """No object."""

    wording: ClassVar[str] = "none"
    needs_mask: ClassVar[bool] = False

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Bool[Tensor, "n h w"]]:
        """Return an alpha of 0 everywhere."""
        return scenes.images, torch.zeros_like(scenes.masks)


@final
@dataclass(frozen=True)
class Patch(Foreground):
    """The object painted over in one colour, as a silhouette (mask) or a rectangle (box).

    Attributes:
        color: RGB, 0-255.
        region: Whether the mask or the box is painted.
    """

    wording: ClassVar[str] = "painted {color}, by its {region}"

    color: Color
    region: Region = "mask"

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "3 h w"], Bool[Tensor, "n h w"]]:
        """Return a plain image of the colour, and the foreground regions as alpha."""
        return plain(self.color, scenes.images), scenes.region(self.region)


@final
@dataclass(frozen=True)
class NoisyForeground(Foreground):
    """The object with Gaussian noise of ``sigma`` grey levels added (RFS, Moayeri et al. 2022)."""

    wording: ClassVar[str] = "the object with noise of {sigma:g} levels"
    is_random: ClassVar[bool] = True

    sigma: float = 64.0

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Bool[Tensor, "n h w"]]:
        """Return the noisy photographs and the masks."""
        return _noisy(scenes, key, self.sigma), scenes.masks


class Background(_Worded, ABC):
    """A rule for the background, which provides one full-frame plate per scene."""

    @abstractmethod
    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "*#n 3 h w"]:
        """Return the plates, 0-255; a single one is shared by all scenes.

        Args:
            scenes: Scenes that provide the foregrounds.
            donors: Scenes that provide the backgrounds, row by row; None for rules without donors.
            key: Key of the random numbers.
        """


@final
@dataclass(frozen=True)
class Own(Background):
    """The photograph itself."""

    wording: ClassVar[str] = "as photographed"
    needs_mask: ClassVar[bool] = False

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return the photographs."""
        return scenes.images


@final
@dataclass(frozen=True)
class BoxFilled(Background):
    """The photograph with its box painted in one colour (Only-BG-B)."""

    wording: ClassVar[str] = "the box painted {color}"

    color: Color = BLACK

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return the photographs with their boxes filled."""
        return fill_box(scenes.images, scenes.boxes, self.color)


@final
@dataclass(frozen=True)
class Tiled(Background):
    """The background of the donor, whose box is covered by tiled background (Only-BG-T)."""

    wording: ClassVar[str] = "tiled over its box"

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return the donors' plates.

        Raises:
            BadInput: If no donors are given.
        """
        if donors is None:
            raise BadInput("expected donors for a tiled background, got none; give the variant a donor rule")
        return donors.plates


@final
@dataclass(frozen=True)
class Blurred(Background):
    """The photograph blurred by a Gaussian of ``sigma`` pixels (Noise or Signal does not state its kernel)."""

    wording: ClassVar[str] = "blurred by {sigma:g} pixels"
    needs_mask: ClassVar[bool] = False

    sigma: float = 8.0

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return the blurred photographs."""
        return blur(scenes.images, self.sigma)


@final
@dataclass(frozen=True)
class Plain(Background):
    """A plain background of one colour, RGB, 0-255."""

    wording: ClassVar[str] = "plain {color}"
    needs_mask: ClassVar[bool] = False

    color: Color

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Return one plate for all scenes."""
        return plain(self.color, scenes.images)


@final
@dataclass(frozen=True)
class Texture(Background):
    """A procedural texture, drawn anew for each scene.

    Attributes:
        family: Family of textures (`bglab.images.FAMILIES`); "" draws from all families.
    """

    wording: ClassVar[str] = "a procedural texture {family}"
    needs_mask: ClassVar[bool] = False
    is_random: ClassVar[bool] = True

    family: str = ""

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return one texture per scene."""
        size = max(scenes.images.shape[-2:])
        height, width = scenes.images.shape[-2:]
        plates = key.for_each(scenes, lambda rng: draw_texture(size, rng, self.family or None))
        return plates[..., :height, :width]


@final
@dataclass(frozen=True)
class Noise(Background):
    """Independent noise in every pixel and channel.

    Attributes:
        kind: ``gaussian`` around grey level 128, or ``uniform`` over all levels.
        sigma: Standard deviation of Gaussian noise in grey levels.
    """

    wording: ClassVar[str] = "{kind} noise"
    needs_mask: ClassVar[bool] = False
    is_random: ClassVar[bool] = True

    kind: Literal["gaussian", "uniform"]
    sigma: float = 64.0

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return one plate of noise per scene."""
        shape = scenes.images.shape[1:]
        if self.kind == "uniform":
            return key.for_each(scenes, lambda rng: rng.integers(0, 256, size=shape, dtype=np.uint8))
        levels = key.for_each(scenes, lambda rng: rng.standard_normal(shape, dtype=np.float32))
        return add_noise(plain((128, 128, 128), scenes.images), levels * self.sigma)


@final
@dataclass(frozen=True)
class NoisyBackground(Background):
    """The photograph with Gaussian noise of ``sigma`` grey levels added (RFS, Moayeri et al. 2022)."""

    wording: ClassVar[str] = "as photographed, with noise of {sigma:g} levels"
    needs_mask: ClassVar[bool] = False
    is_random: ClassVar[bool] = True

    sigma: float = 64.0

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return the noisy photographs."""
        return _noisy(scenes, key, self.sigma)


@final
@dataclass(frozen=True, eq=False)
class GivenImage(Background):
    """A given image as background of all scenes, of the same size as the scenes."""

    wording: ClassVar[str] = "a given image"
    needs_mask: ClassVar[bool] = False

    image: UInt8[Tensor, "3 h w"]

    def __repr__(self) -> str:
        """Describe the image by its size and the digest of its bytes, since rules identify stored results."""
        levels = self.image.cpu().contiguous().numpy()
        height, width = levels.shape[-2:]
        return f"GivenImage({width} × {height}, {hashlib.blake2b(levels.tobytes(), digest_size=8).hexdigest()})"

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Return the image.

        Raises:
            BadInput: If it does not have the size of the scenes.
        """
        if self.image.shape[-2:] != scenes.images.shape[-2:]:
            size, expected = tuple(self.image.shape[-2:]), tuple(scenes.images.shape[-2:])
            raise BadInput(f"expected a plate of {expected} pixels (height, width), got {size}; resize it")
        return self.image.to(scenes.images.device)


def _noisy(scenes: SceneBatch, key: Draw, sigma: float) -> UInt8[Tensor, "n 3 h w"]:
    """Add Gaussian noise of ``sigma`` grey levels to the photographs, seeded per scene."""
    shape = scenes.images.shape[1:]
    noise: Float[Tensor, "n 3 h w"] = key.for_each(scenes, lambda rng: rng.standard_normal(shape, dtype=np.float32))
    return add_noise(scenes.images, noise * sigma)
