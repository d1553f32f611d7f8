"""Composing one scene on one background again and again: each stage is computed only when its settings change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast, final

import torch
from jaxtyping import Bool, Shaped, UInt8
from torch import Tensor

from bglab.variants import (
    Adjusted,
    Adjustment,
    Background,
    Draw,
    Foreground,
    GivenImage,
    Placed,
    SceneBatch,
    Variant,
    object_region,
    render,
)

Made = TypeVar("Made")
Plane = UInt8[Tensor, "3 h w"]


@final
class Stages:
    """A scene on a background, for any adjustment; pixels are those of `bglab.variants.render`.

    The rules of `bglab.variants` draw the object and its background once. Every stage of an adjustment (mask, position,
    blur, brightness) applies the same rules to the result of the stage before it, and keeps its last result with the
    settings that it was made with.

    Args:
        variant: Variant before adjustments.
        scenes: The scene, as a batch of one.
        donors: The scene that lends the background; None for variants without one.
        seed: Seed of textures and noise.
    """

    def __init__(self, variant: Variant, scenes: SceneBatch, donors: SceneBatch | None, seed: int) -> None:
        self._variant = variant
        self._scenes = scenes
        self._key = Draw(seed, variant.drawn_as or variant.name)
        self._kept: dict[str, tuple[Hashable, object]] = {}
        with one_thread():
            self._drawn = _Drawn(*variant.foreground.draw(scenes, self._key))
            plate = variant.background.plate(scenes, donors, self._key)
        self._plate = GivenImage(plate.expand_as(scenes.images)[0])

    @property
    def layers(self) -> tuple[Plane, Plane, Shaped[Tensor, "h w"], Plane]:
        """The photograph, colours and alpha of the object, and the background, before adjustments."""
        photograph = self._scenes.images
        return photograph[0], self._drawn.colours.expand_as(photograph)[0], self._drawn.alpha[0], self._plate.image

    def render(self, by: Adjustment) -> tuple[UInt8[Tensor, "1 3 h w"], Bool[Tensor, "1 h w"]]:
        """Compose an adjustment.

        Returns:
            The image, and where the object is in it.
        """
        with one_thread():
            edge = Adjustment(grow=by.grow, feather=by.feather)
            place = Adjustment(dx=by.dx, dy=by.dy, scale=by.scale, flip=by.flip)
            soft = self._keep("soft", edge, lambda: self._foreground(self._drawn, edge))
            moved = self._keep("moved", (edge, place), lambda: self._foreground(soft, place))
            region = self._keep("region", (edge, place), lambda: object_region(self._with(moved), self._scenes))
            blur, light = Adjustment(background_blur=by.background_blur), Adjustment(brightness=by.brightness)
            blurred = self._keep("blurred", blur, lambda: self._background(self._plate, blur))
            lit = self._keep("lit", (blur, light), lambda: self._background(blurred, light))
            mix = Adjustment(mix=by.mix)
            return render(self._with(Placed(moved, mix), Adjusted(lit, mix)), self._scenes), region

    def _keep(self, name: str, settings: Hashable, make: Callable[[], Made]) -> Made:
        """Return what a stage made of these settings, now or the last time."""
        kept = self._kept.get(name)  # read once: a notebook cell and the widget's thread may both render
        if kept is not None and kept[0] == settings:
            return cast(Made, kept[1])
        made = make()
        self._kept[name] = settings, made
        return made

    def _foreground(self, before: Foreground, by: Adjustment) -> Foreground:
        return before if by == Adjustment() else _Drawn(*Placed(before, by).draw(self._scenes, self._key))

    def _background(self, before: Background, by: Adjustment) -> Background:
        if by == Adjustment():
            return before
        return GivenImage(Adjusted(before, by).plate(self._scenes, None, self._key))

    def _with(self, foreground: Foreground, background: Background | None = None) -> Variant:
        return Variant("staged", foreground, background or self._plate)


@final
@dataclass(frozen=True, eq=False)
class _Drawn(Foreground):
    """A foreground that has been drawn already."""

    wording: ClassVar[str] = "the object"

    colours: UInt8[Tensor, "*#n 3 h w"]
    alpha: Shaped[Tensor, "n h w"]

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "*#n 3 h w"], Shaped[Tensor, "n h w"]]:
        """Return what was drawn."""
        return self.colours, self.alpha


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute in the calling thread alone.

    A stage takes less than a millisecond, but with several threads it lasts until the last of them got a processor,
    and these are busy with the browser just then.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
