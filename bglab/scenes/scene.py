"""Scenes: labelled photographs with their cut-outs, and ordered, lazy sets of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.images import Box
from bglab.labels import OUTSIDE
from bglab.seeding import digest


@dataclass(frozen=True, eq=False)
class Scene:
    """One labelled photograph with its cut-out, at the resolution of its file.

    Attributes:
        id: Unique within its set, and the same wherever the set is stored.
        label: Index into the set's classes, or OUTSIDE.
        native_label: ImageNet index, or OUTSIDE where it is unknown.
        image: RGB, 0–255.
        mask: True on the foreground.
        box: ``(x0, y0, x1, y1)``, half-open, around the foreground.
        plate: The scene's background without its foreground where the source has its own (the release's
            Only-BG-T images); None to tile it from ``image`` and ``box``.
    """

    id: str
    label: int
    native_label: int
    image: UInt8[np.ndarray, "3 h w"]
    mask: Bool[np.ndarray, "_ _"]  # its size is checked below, with a sentence of its own
    box: Box
    plate: UInt8[np.ndarray, "3 h w"] | None = None

    def __post_init__(self) -> None:
        height, width = self.image.shape[-2:]
        if self.mask.shape != (height, width):
            raise BadInput(
                f"expected a mask of {width} × {height} pixels for scene {self.id}, got "
                f"{self.mask.shape[1]} × {self.mask.shape[0]}; rebuild the mask from this image"
            )
        share = float(self.mask.mean())
        if share in {0.0, 1.0}:
            what = "nothing" if share == 0 else "the whole image"
            raise BadInput(f"expected a foreground in scene {self.id}, but its mask marks {what}; redraw the mask")
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise BadInput(
                f"expected a box within {width} × {height} pixels for scene {self.id}, got {self.box}; "
                "mend its annotation"
            )


class SceneRecord(NamedTuple):
    """What is known of a scene before it is read.

    Attributes:
        id: The scene's id.
        label: Index into the set's classes, or OUTSIDE.
        native_label: ImageNet index, or OUTSIDE.
        files: Every file the scene is read from; empty for generated scenes.
    """

    id: str
    label: int
    native_label: int = OUTSIDE
    files: tuple[Path, ...] = ()


class PublishedImage(NamedTuple):
    """An image of a variant as a release published it.

    Attributes:
        scene: Whose foreground it shows, or once showed.
        donor: Whose background it shows; "" if its own, none, or unknown.
        file: Where it lies.
        label: Index into the set's classes.
        native_label: ImageNet index, or OUTSIDE.
    """

    scene: str
    donor: str
    file: Path
    label: int
    native_label: int = OUTSIDE


class Rejection(NamedTuple):
    """A scene that cannot be used, and why."""

    scene: str
    file: str
    reason: str


@dataclass(frozen=True, eq=False)
class SceneSet:
    """An ordered, lazy set of scenes.

    Attributes:
        uri: What `bglab.open_scenes` was asked for.
        name: Short name without a machine's paths, e.g. ``in9:bg_challenge``; result folders carry it.
        space: Label space of ``label``: ``in9``, ``imagenet``, or the set's own (``voc``, ``caltech101``).
        classes: Names of the classes that ``label`` counts.
        records: The scenes, in order.
        read: Turns a record into its scene; raises `BadInput` for one that cannot be used.
        fingerprint: Hexadecimal digest of what defines the set; the same on every machine.
        crop_fraction: Part of the short side kept when images are prepared (0.875 = resize 256, crop 224;
            1 for sets whose images are already cropped).
        notices: What was unusual when the set was opened, one sentence each.
        rejected: Scenes that were found unusable when the set was opened.
        published: Gives the release's own images of a variant; None where there are none.
        credit: Origin and licence, one sentence.
        full_resolution: Whether the images are photographs at their own size, from which the variants of Time for a
            Background Check! are made by default, before any resize.
    """

    uri: str
    name: str
    space: str
    classes: tuple[str, ...]
    records: tuple[SceneRecord, ...]
    read: Callable[[SceneRecord], Scene] = field(repr=False)
    fingerprint: str
    crop_fraction: float = 0.875
    notices: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    published: Callable[[str], list[PublishedImage]] | None = field(default=None, repr=False)
    credit: str = ""
    full_resolution: bool = False

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: int | str) -> Scene:
        """Read one scene by position or id."""
        if isinstance(key, str):
            if key not in self.positions:
                raise UnknownName(unknown_name("scene", key, self.near(key)))
            key = self.positions[key]
        return self.read(self.records[key])

    def __iter__(self) -> Iterator[Scene]:
        return (self.read(record) for record in self.records)

    def __repr__(self) -> str:
        return f"SceneSet({self.name}: {len(self)} scenes in {len(set(self.labels.tolist()))} classes)"

    @property
    def ids(self) -> list[str]:
        """Ids of the scenes, in order."""
        return [record.id for record in self.records]

    @functools.cached_property
    def positions(self) -> dict[str, int]:
        """Where each id stands."""
        return {record.id: i for i, record in enumerate(self.records)}

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Labels of the scenes, in order."""
        return np.array([record.label for record in self.records], dtype=np.int64)

    def near(self, key: str, at_most: int = 8) -> list[str]:
        """List a few ids to name in an error: those that start alike, else the first ones."""
        alike = [i for i in self.ids if i.startswith(key[:4])]
        return (alike or self.ids)[:at_most]

    def select(
        self,
        *,
        ids: Collection[str] | None = None,
        labels: Collection[int] | None = None,
        per_class: int | None = None,
    ) -> SceneSet:
        """Give a new set with only some of the scenes, in the same order.

        Args:
            ids: Keep these scenes.
            labels: Keep scenes of these classes.
            per_class: Keep at most so many of each class, the first ones.

        Raises:
            UnknownName: If an id is not in the set.
        """
        wanted = None if ids is None else set(ids)
        for missing in sorted((wanted or set()) - set(self.ids)):
            raise UnknownName(unknown_name("scene", missing, self.near(missing)))
        kept: list[SceneRecord] = []
        counts: dict[int, int] = {}
        for record in self.records:
            if wanted is not None and record.id not in wanted:
                continue
            if labels is not None and record.label not in labels:
                continue
            counts[record.label] = counts.get(record.label, 0) + 1
            if per_class is None or counts[record.label] <= per_class:
                kept.append(record)
        if len(kept) == len(self):
            return self
        chosen = digest([self.fingerprint, *(record.id for record in kept)])
        return replace(self, records=tuple(kept), fingerprint=chosen)


def file_fingerprint(root: Path, records: Sequence[SceneRecord], *options: str) -> str:
    """Fingerprint scenes read from files: names relative to the root and sizes, so that it travels.

    Args:
        root: Folder the set was opened on.
        records: The scenes.
        *options: Anything else that changes what is read.
    """
    parts = list(options)
    for record in records:
        sizes = (f"{file.relative_to(root).as_posix()}={file.stat().st_size}" for file in record.files)
        parts += [record.id, str(record.label), *sizes]
    return digest(parts)
