"""From an explorer's state to pixels: donor, layers for the browser, and the composed image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.variants import Variant, adjusted, pair_donors
from bglab.widgets.collection import ImageCollection
from bglab.widgets.stages import Stages
from bglab.widgets.state import State, base_variant

#: Pairs of scene and background whose stages are kept, a few megabytes each at 224 pixels.
_RECENT = 4


class Layers(NamedTuple):
    """What a browser needs to compose a scene with a background itself, before adjustments.

    Attributes:
        image: The photograph.
        front: Colours of the foreground.
        alpha: Foreground mask.
        plate: The background.
        donor: Id of another scene that lends the background, or "".
        donor_label: The donor's label among the classes that are shown, or OUTSIDE.
    """

    image: UInt8[Tensor, "3 h w"]
    front: UInt8[Tensor, "3 h w"]
    alpha: Bool[Tensor, "h w"]
    plate: UInt8[Tensor, "3 h w"]
    donor: str
    donor_label: int


class Rendered(NamedTuple):
    """A composed image.

    Attributes:
        image: The image as a batch of one.
        region: Where the object is in it.
        donor_label: Label of another scene that lends the background, or OUTSIDE.
    """

    image: UInt8[Tensor, "1 3 h w"]
    region: Bool[Tensor, "1 h w"]
    donor_label: int


class _Drawn(NamedTuple):
    """A scene on a background, before adjustments.

    Attributes:
        stages: Composes its adjustments.
        donor: Id of the scene that lends the background, or "".
        sources: All uploads and uploaded backgrounds when it was made; compared by identity, since each is immutable.
    """

    stages: Stages
    donor: str
    sources: tuple[object, ...]


class StateRenderer:
    """Composes states by the same rules as whole data sets.

    Args:
        images: Scenes and uploads that a state may name.
        seed: Seed for donors, textures and noise.
    """

    def __init__(self, images: ImageCollection, seed: int = 0) -> None:
        self._images = images
        self._seed = seed
        self._recent: dict[tuple[str, str], _Drawn] = {}

    def variant(self, state: State) -> Variant:
        """Return what the state shows as a variant, which `bglab.compose` renders over any set."""
        return adjusted(base_variant(state.background, self._images.backgrounds), state.adjustment)

    def donor(self, scene: str, variant: Variant) -> str:
        """Return the id of the scene that lends its background, or "" if the variant needs none.

        Raises:
            BadInput: If no scene can lend one.
        """
        if variant.donor == "none":
            return ""
        if variant.donor == "self":
            return scene
        if variant.donor == "given":
            self._images.check_lends(variant.donor_scene)
            return variant.donor_scene
        scenes, lends = self._images.scenes, self._images.prepared.has_plate
        ids, labels = scenes.ids, scenes.labels
        if scene in self._images.uploads:
            label = self._images.label(scene)
            if label == OUTSIDE and variant.donor != "any_class":
                raise BadInput(f"{variant.title} depends on the class of {scene}; choose its class first")
            ids, labels = [*ids, scene], np.append(self._images.labels, label)
            lends = np.append(lends, False)  # noqa: FBT003 - numpy's signature
        position = int(pair_donors(variant, ids, labels, lends, seed=self._seed)[ids.index(scene)])
        if position < 0:
            raise BadInput(f"no scene of {scenes.name} can lend {scene} a background for {variant.title}")
        return ids[position]

    def layers(self, scene: str, background: str) -> Layers:
        """Return what the browser composes from.

        Raises:
            UnknownName: If there is no such scene or background.
            BadInput: If no scene can lend its background.
        """
        self._images.check(scene)
        drawn = self._drawn(scene, background)
        donor = drawn.donor if drawn.donor != scene else ""
        return Layers(*drawn.stages.layers, donor, self._donor_label(donor, scene))

    def render(self, state: State) -> Rendered:
        """Compose what the state shows.

        Raises:
            UnknownName: If there is no such scene or background.
            BadInput: If no scene can lend its background.
        """
        self._images.check(state.scene)
        drawn = self._drawn(state.scene, state.background)
        image, region = drawn.stages.render(state.adjustment)
        return Rendered(image, region, self._donor_label(drawn.donor, state.scene))

    def image(self, state: State) -> UInt8[Tensor, "3 h w"]:
        """Compose what the state shows; only the image of `render`."""
        return self.render(state).image[0]

    def _drawn(self, scene: str, background: str) -> _Drawn:
        """Draw a scene and its background, or return what was drawn before if nothing that it was made of changed."""
        key, images = (scene, background), self._images
        # scenes of the set never change; uploads and uploaded backgrounds are replaced as whole objects
        sources = (*(images.uploads[name] for name in images.uploads), *images.backgrounds.values())
        drawn = self._recent.get(key)
        if drawn is None or drawn.sources != sources:
            variant = base_variant(background, images.backgrounds)
            donor = self.donor(scene, variant)
            own, donors = images.batch(scene), images.batch(donor) if donor else None
            drawn = _Drawn(Stages(variant, own, donors, self._seed), donor, sources)
        others = [(name, other) for name, other in self._recent.items() if name != key]
        self._recent = dict([*others[1 - _RECENT :], (key, drawn)])  # not in place: cells render in other threads
        return drawn

    def _donor_label(self, donor: str, scene: str) -> int:
        """Return the class of a donor that is another scene, else OUTSIDE."""
        return self._images.label(donor) if donor and donor != scene else OUTSIDE
