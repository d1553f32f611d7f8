"""What a variant does to the foreground and to the background: two interfaces and their leaves.

A layer is a rule with its parameters and holds no state; whatever is random is keyed by (seed, variant, scene).
"""

from __future__ import annotations

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
    """A few prepared scenes of one size on one device."""

    ids: tuple[str, ...]
    images: UInt8[Tensor, "n 3 h w"]
    masks: Bool[Tensor, "n h w"]
    plates: UInt8[Tensor, "n 3 h w"]
    boxes: Int[Tensor, "n 4"]

    def region(self, region: Region) -> Bool[Tensor, "n h w"]:
        """Mark each scene's foreground: its mask, or its whole box."""
        return self.masks if region == "mask" else box_mask(self.boxes, *self.images.shape[-2:])


class Draw(NamedTuple):
    """The key of everything random in one rendering."""

    seed: int
    variant: str

    def for_each(
        self, scenes: SceneBatch, draw: Callable[[np.random.Generator], np.ndarray]
    ) -> Shaped[Tensor, "n 3 h w"]:
        """Draw one array a scene, each from its own generator, and put them on the scenes' device."""
        drawn = [draw(keyed_generator(self.seed, self.variant, scene)) for scene in scenes.ids]
        return torch.from_numpy(np.stack(drawn)).to(scenes.images.device)


class _Worded:
    """A rule that says in a few words what it does, from a sentence with its parameters in it."""

    wording: ClassVar[str]

    @property
    def text(self) -> str:
        """Say what the rule does."""
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
    """What stands in front: colours, and where they count."""

    @abstractmethod
    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "*#n 3 h w"], Shaped[Tensor, "n h w"]]:
        """Give the foreground's colours and its alpha (bool, or a float matte in [0, 1])."""


@final
@dataclass(frozen=True)
class Keep(Foreground):
    """The object as photographed, cut out by its mask or by its whole box; a feathered edge is optional."""

    wording: ClassVar[str] = "the object, cut out by its {region}"

    region: Region = "mask"
    feather: float = 0.0

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Shaped[Tensor, "n h w"]]:
        """Give the photographs and their cut-outs."""
        region = scenes.region(self.region)
        return scenes.images, soften(region, self.feather) if self.feather > 0 else region


@final
@dataclass(frozen=True)
class Absent(Foreground):
    """No object."""

    wording: ClassVar[str] = "none"

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Bool[Tensor, "n h w"]]:
        """Give alpha 0 everywhere."""
        return scenes.images, torch.zeros_like(scenes.masks)


@final
@dataclass(frozen=True)
class Patch(Foreground):
    """The object painted over in one colour: a silhouette (mask) or a rectangle (box)."""

    wording: ClassVar[str] = "painted {color}, by its {region}"

    color: Color
    region: Region = "mask"

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "3 h w"], Bool[Tensor, "n h w"]]:
        """Give the colour where the object is."""
        return plain(self.color, scenes.images), scenes.region(self.region)


@final
@dataclass(frozen=True)
class NoisyForeground(Foreground):
    """The object with Gaussian noise of ``sigma`` grey levels added (RFS, Moayeri et al. 2022)."""

    wording: ClassVar[str] = "the object with noise of {sigma:g} levels"

    sigma: float = 64.0

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Bool[Tensor, "n h w"]]:
        """Give the noisy photographs, cut out by their masks."""
        return _noisy(scenes, key, self.sigma), scenes.masks


class Background(_Worded, ABC):
    """What stands behind: a full-frame plate a scene."""

    @abstractmethod
    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "*#n 3 h w"]:
        """Give the plates, from the scenes themselves or from their donors."""


@final
@dataclass(frozen=True)
class Own(Background):
    """The photograph itself."""

    wording: ClassVar[str] = "as photographed"

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Give the photographs."""
        return scenes.images


@final
@dataclass(frozen=True)
class BoxFilled(Background):
    """The photograph with its box painted in one colour."""

    wording: ClassVar[str] = "the box painted {color}"

    color: Color = BLACK

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Give the photographs without what their boxes held."""
        return fill_box(scenes.images, scenes.boxes, self.color)


@final
@dataclass(frozen=True)
class Tiled(Background):
    """The donor's background, its box covered by tiled background (Only-BG-T)."""

    wording: ClassVar[str] = "tiled over its box"

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Give the donors' plates.

        Raises:
            BadInput: If no donors came.
        """
        if donors is None:
            raise BadInput("expected donors for a tiled background, got none; give the variant a donor rule")
        return donors.plates


@final
@dataclass(frozen=True)
class Blurred(Background):
    """The photograph, blurred by a Gaussian of ``sigma`` pixels (the paper does not print its kernel)."""

    wording: ClassVar[str] = "blurred by {sigma:g} pixels"

    sigma: float = 8.0

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Give the blurred photographs."""
        return blur(scenes.images, self.sigma)


@final
@dataclass(frozen=True)
class Plain(Background):
    """One colour."""

    wording: ClassVar[str] = "plain {color}"

    color: Color

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Give one plate that serves all scenes."""
        return plain(self.color, scenes.images)


@final
@dataclass(frozen=True)
class Texture(Background):
    """A procedural texture, another for each scene; ``family`` "" draws one of all families."""

    wording: ClassVar[str] = "a procedural texture {family}"

    family: str = ""

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Draw the textures."""
        size = max(scenes.images.shape[-2:])
        height, width = scenes.images.shape[-2:]
        plates = key.for_each(scenes, lambda rng: draw_texture(size, rng, self.family or None))
        return plates[..., :height, :width]


@final
@dataclass(frozen=True)
class Noise(Background):
    """Independent noise in every pixel and channel: Gaussian around mid-grey, or uniform over all levels."""

    wording: ClassVar[str] = "{kind} noise"

    kind: Literal["gaussian", "uniform"]
    sigma: float = 64.0

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Draw the noise."""
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

    sigma: float = 64.0

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Give the noisy photographs."""
        return _noisy(scenes, key, self.sigma)


@final
@dataclass(frozen=True, eq=False)
class GivenImage(Background):
    """A plate of the user's own, of the same size as the prepared scenes."""

    wording: ClassVar[str] = "an image of one's own"

    image: UInt8[Tensor, "3 h w"]

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Give the plate.

        Raises:
            BadInput: If its size is another.
        """
        if self.image.shape[-2:] != scenes.images.shape[-2:]:
            came, wanted = tuple(self.image.shape[-2:]), tuple(scenes.images.shape[-2:])
            raise BadInput(f"expected a plate of {wanted} pixels (height, width), got {came}; resize it")
        return self.image.to(scenes.images.device)


def _noisy(scenes: SceneBatch, key: Draw, sigma: float) -> UInt8[Tensor, "n 3 h w"]:
    """Add keyed Gaussian noise of ``sigma`` grey levels to the photographs."""
    shape = scenes.images.shape[1:]
    noise: Float[Tensor, "n 3 h w"] = key.for_each(scenes, lambda rng: rng.standard_normal(shape, dtype=np.float32))
    return add_noise(scenes.images, noise * sigma)
