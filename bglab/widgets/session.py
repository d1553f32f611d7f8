"""What an explorer knows: scenes, images of one's own, and what classifiers say of a state. No widget in here."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from bglab.analysis import share_on_object
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.images import io
from bglab.labels import IN9_NAMES, OUTSIDE, in9_probabilities, to_in9
from bglab.models import Classifier
from bglab.saliency import GradCam, resolve_targets, upsample
from bglab.scenes import PreparedScenes
from bglab.variants import (
    Draw,
    GivenImage,
    SceneBatch,
    Variant,
    adjusted,
    object_region,
    pair_donors,
    render,
    scene_tensors,
)
from bglab.widgets.state import State, base_variant
from bglab.widgets.uploads import UploadedImages, free_name, square

_TOP = 5
#: Names of the nine classes with what stands for everything else.
NINE_NAMES = (*IN9_NAMES, "outside")
#: Label spaces whose answers can be put into the nine classes.
_NINE = ("in9", "imagenet")


class Layers(NamedTuple):
    """What a browser needs to compose a choice of scene and background itself, before adjustments.

    Attributes:
        image: The photograph.
        front: Colours of the foreground.
        alpha: Where they count.
        plate: The background.
        donor: Scene that lends the background, or "".
        donor_label: Its class among the nine, or OUTSIDE.
    """

    image: UInt8[Tensor, "3 h w"]
    front: UInt8[Tensor, "3 h w"]
    alpha: Bool[Tensor, "h w"]
    plate: UInt8[Tensor, "3 h w"]
    donor: str
    donor_label: int


@dataclass(frozen=True, eq=False)
class Seen:
    """What one classifier makes of one image.

    Attributes:
        model: Id of the weights.
        top: Its best own classes with their probabilities, best first.
        native: Its best own class.
        nine: Probabilities of the nine classes and of everything outside them; None if it cannot be put so.
        prediction: The nine-class decision, or OUTSIDE.
        right: Whether it is right; None if the true class is unknown.
        captured: Whether it names the background's class instead.
        saliency: Grad-CAM at the layer's resolution, raw; None where there is no map.
        share: Share of the saliency that lies on the object; NaN without either.
        no_map: Why there is no map, or "".
        probabilities: Of all its own classes.
    """

    model: str
    top: tuple[tuple[int, str, float], ...]
    native: int
    nine: Float[np.ndarray, "10"] | None
    prediction: int
    right: bool | None
    captured: bool
    saliency: Float[np.ndarray, "mh mw"] | None
    share: float
    no_map: str
    probabilities: Float[np.ndarray, " c"]


class Session:
    """Scenes, classifiers, and everything that was computed for them.

    Args:
        prepared: Scenes to explore.
        classifiers: Whom to ask.
        seed: Of donors, textures and noise.

    Attributes:
        forwards: How often each image was put to a classifier.
    """

    def __init__(self, prepared: PreparedScenes, classifiers: Sequence[Classifier], seed: int = 0) -> None:
        self.prepared = prepared
        self.classifiers: tuple[Classifier, ...] = tuple(classifiers)
        self.seed = seed
        self.size = prepared.size
        self.own = UploadedImages(prepared.size, seed)
        self.backgrounds: dict[str, GivenImage] = {}
        self.forwards = 0
        self._tensors = scene_tensors(prepared)
        self._cams: dict[int, GradCam | str] = {}
        self._asking = threading.RLock()  # a cell and the widget's own thread may ask at the same time
        self._verdicts: list[str] = []
        self._originals: dict[tuple[str, str], tuple[Seen, ...]] = {}

    @property
    def truth_is_known(self) -> bool:
        """Say whether the scenes' labels can be put into the nine classes."""
        return self.prepared.scenes.space in _NINE

    def check_scene(self, scene: str) -> None:
        """Refuse a scene that is not there.

        Raises:
            UnknownName: With the nearest ids.
        """
        scenes = self.prepared.scenes
        if scene not in self.own and scene not in scenes.positions:
            raise UnknownName(unknown_name("scene", scene, [*self.own, *scenes.near(scene)]))

    def check(self, state: State) -> None:
        """Refuse a state that names what is not there.

        Raises:
            UnknownName: If its scene, or the scene or image of its background, is not there.
            BadInput: If there are fewer classifiers.
        """
        self.check_scene(state.scene)
        if state.background.startswith("scene:"):
            self.check_scene(state.background.removeprefix("scene:"))
        base_variant(state.background, self.backgrounds)
        count = len(self.classifiers)
        if state.model >= count:
            raise BadInput(f"expected model to be the position of one of {count} classifiers, got {state.model}")

    def label(self, scene: str) -> int:
        """Give a scene's class among the nine, or OUTSIDE."""
        if scene in self.own:
            return self.own[scene].label
        record = self.prepared.scenes.records[self.prepared.scenes.positions[scene]]
        return _nine_label(self.prepared.scenes.space, record.label, record.native_label)

    def batch(self, scene: str) -> SceneBatch:
        """Give a scene as a batch of one."""
        if scene in self.own:
            return self.own[scene].batch
        position = self.prepared.scenes.positions[scene]
        return self._tensors.batch(slice(position, position + 1), "cpu")

    def variant(self, state: State) -> Variant:
        """Give what the state shows as a variant, which `bglab.compose` renders over any set."""
        return adjusted(base_variant(state.background, self.backgrounds), state.adjustment)

    def donor(self, scene: str, variant: Variant) -> str:
        """Give the scene that lends its background, or "".

        Raises:
            BadInput: If no scene can lend one.
        """
        if variant.donor == "none":
            return ""
        if variant.donor == "self":
            return scene
        if variant.donor == "given":
            return variant.donor_scene
        scenes = self.prepared.scenes
        if scene in self.own:
            label = self.own[scene].label
            if label == OUTSIDE and variant.donor != "any_class":
                raise BadInput(f"{variant.title} depends on the class of {scene}; choose its class first")
            ids, labels = [*scenes.ids, scene], np.append(scenes.labels, label)
            lends = np.append(self.prepared.has_plate, False)  # noqa: FBT003 - numpy's signature
        else:
            ids, labels, lends = scenes.ids, scenes.labels, self.prepared.has_plate
        position = int(pair_donors(variant, ids, labels, lends, seed=self.seed)[ids.index(scene)])
        if position < 0:
            raise BadInput(f"no scene of {scenes.name} can lend {scene} a background for {variant.title}")
        return ids[position]

    def layers(self, scene: str, background: str) -> Layers:
        """Give what the browser composes from.

        Raises:
            UnknownName: If scene or background are not there.
            BadInput: If no scene can lend its background.
        """
        self.check_scene(scene)
        variant = base_variant(background, self.backgrounds)
        donor = self.donor(scene, variant)
        own, donors = self.batch(scene), self.batch(donor) if donor else None
        key = Draw(self.seed, variant.drawn_as or variant.name)
        front, alpha = variant.foreground.draw(own, key)
        plate = variant.background.plate(own, donors, key)
        lent = donor if donor != scene else ""
        return Layers(
            image=own.images[0],
            front=front.expand_as(own.images)[0],
            alpha=alpha[0],
            plate=plate.expand_as(own.images)[0],
            donor=lent,
            donor_label=self.label(lent) if lent else OUTSIDE,
        )

    def image(self, state: State) -> UInt8[Tensor, "3 h w"]:
        """Compose what the state shows, by the same rules and the same formula as whole sets."""
        return self._compose(state)[0][0]

    def release(self) -> None:
        """Let go of the classifiers and of all that was computed: their memory is the lab's largest."""
        with self._asking:
            self.classifiers = ()
            self._cams.clear()
            self._originals.clear()

    def look(self, state: State) -> tuple[Seen, ...]:
        """Ask every classifier what it makes of the state.

        Raises:
            BadInput: If the widget was replaced by another run of its cell.
        """
        if not self.classifiers:
            raise BadInput("expected the widget that stands below its cell, got one from an earlier run of the cell")
        composed, region, donor = self._compose(state)
        donor_label = self.label(donor) if donor and donor != state.scene else OUTSIDE
        truth = self.label(state.scene)
        with self._asking:
            return tuple(
                self._see(i, composed, region, state.target, truth, donor_label) for i in range(len(self.classifiers))
            )

    def original(self, scene: str, target: str = "predicted") -> tuple[Seen, ...]:
        """Give what the classifiers make of the photograph itself; asked once a scene."""
        key = (scene, target)
        if key not in self._originals:
            if len(self._originals) > 256:  # a long session must not grow without bound
                self._originals.clear()
            self._originals[key] = self.look(State(scene, target=target))
        return self._originals[key]

    def judge_some(self, count: int = 8) -> tuple[int, list[str]]:
        """Classify a few more photographs with the first classifier.

        Returns:
            How many are done, and for each scene ``right``, ``wrong`` or ``""`` if that is not known.
        """
        scenes, done = self.prepared.scenes, len(self._verdicts)
        io = self._tensors.batch(slice(done, done + count), "cpu").images
        if len(io):
            with self._asking:
                best = self.classifiers[0](io).cpu().argmax(1).numpy()
            decided = best if self.classifiers[0].spec.space == "in9" else to_in9(best)
            truths = [self.label(scene) for scene in scenes.ids[done : done + count]]
            pairs = zip(decided, truths, strict=True)
            self._verdicts += ["" if t == OUTSIDE else "right" if d == t else "wrong" for d, t in pairs]
        return len(self._verdicts), self._verdicts + [""] * (len(scenes) - len(self._verdicts))

    def _compose(self, state: State) -> tuple[UInt8[Tensor, "1 3 h w"], Bool[Tensor, "1 h w"], str]:
        """Render a state; give where its object is, and whose background it has."""
        self.check_scene(state.scene)
        variant = self.variant(state)
        donor = self.donor(state.scene, variant)
        own, donors = self.batch(state.scene), self.batch(donor) if donor else None
        composed = render(variant, own, donors, seed=self.seed)
        return composed, object_region(variant, own), donor

    def _see(
        self,
        position: int,
        image: UInt8[Tensor, "1 3 h w"],
        region: Bool[Tensor, "1 h w"],
        target: str,
        truth: int,
        donor_label: int,
    ) -> Seen:
        """Ask one classifier, with the map that explains the target class."""
        classifier = self.classifiers[position]
        space = classifier.spec.space
        cam = self._cam(position)
        self.forwards += 1
        maps = None
        if isinstance(cam, GradCam):
            rule = cast(Literal["predicted", "true", "background"], target)
            known = space in _NINE and {"true": truth, "background": donor_label}.get(target, OUTSIDE) != OUTSIDE
            wanted = resolve_targets(classifier, rule, labels=[truth], donor_labels=[donor_label]) if known else None
            maps, logits, _ = cam.cam(image, wanted.targets if wanted else None)
        else:
            logits = classifier(image)
        scores = logits[0].double().cpu().numpy()
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        native = int(scores.argmax())
        nine = _nine(scores, shares, space)
        prediction = OUTSIDE if nine is None else native if space == "in9" else int(to_in9(np.array([native]))[0])
        share = float("nan")
        if maps is not None and bool(region.any()) and not bool(region.all()):
            large = upsample(maps.float().cpu(), self.size, self.size)
            share = float(share_on_object(large.numpy(), region.numpy())[0])
        best = np.argsort(-shares, kind="stable")[:_TOP]
        return Seen(
            model=classifier.spec.id,
            top=tuple((int(i), classifier.classes[i], float(shares[i])) for i in best),
            native=native,
            nine=nine,
            prediction=prediction,
            right=None if truth == OUTSIDE or nine is None else prediction == truth,
            captured=donor_label not in {OUTSIDE, truth} and prediction == donor_label,
            saliency=None if maps is None else maps[0].float().cpu().numpy(),
            share=share,
            no_map=cam if isinstance(cam, str) else "",
            probabilities=shares,
        )

    def _cam(self, position: int) -> GradCam | str:
        """Give what makes a classifier's maps, or the sentence that says why there are none."""
        if position not in self._cams:
            try:
                self._cams[position] = GradCam(self.classifiers[position])
            except BadInput as problem:
                self._cams[position] = str(problem)
        return self._cams[position]

    def take_own(self, name: str) -> str:
        """Give an image of one's own to work on; a scene of the set is copied first, the set never changes.

        Raises:
            UnknownName: If there is no such image.
        """
        self.check_scene(name)
        if name in self.own:
            return name
        return self.own.copy(f"{name} (mended)", self.batch(name), self.label(name))

    def forget(self, scene: str) -> None:
        """Drop what was kept of an image that has changed."""
        self._originals = {key: seen for key, seen in self._originals.items() if key[0] != scene}

    def add_background(self, source: bytes | Path, name: str) -> str:
        """Take in an image as a background; gives the name under which it can be chosen.

        Raises:
            BadInput: If it is no image.
        """
        image = square(io.open_image(source), self.size)
        key = free_name(name, set(self.backgrounds))
        self.backgrounds[key] = GivenImage(torch.from_numpy(image))
        return key

    def cutout(self, scene: str) -> Image.Image:
        """Give a scene's object as an image with transparency, for keeping."""
        batch = self.batch(scene)
        colours = batch.images[0].permute(1, 2, 0).numpy()
        alpha = batch.masks[0].numpy().astype(np.uint8)[..., None] * 255
        return Image.fromarray(np.concatenate([colours, alpha], axis=-1))


def _nine_label(space: str, label: int, native_label: int) -> int:
    """Put a scene's label into the nine classes."""
    if space == "in9":
        return label
    if space == "imagenet" and native_label != OUTSIDE:
        return int(to_in9(np.array([native_label]))[0])
    return OUTSIDE


def _nine(
    scores: Float[np.ndarray, " c"], shares: Float[np.ndarray, " c"], space: str
) -> Float[np.ndarray, "10"] | None:
    if space == "in9":
        return np.append(shares, 0.0)
    return in9_probabilities(scores[None])[0] if space == "imagenet" else None
