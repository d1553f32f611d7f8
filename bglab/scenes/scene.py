"""Scenes, which are labelled images with a foreground mask and a box, and ordered, lazy sets of them."""

from __future__ import annotations

import functools
import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName, printable
from bglab.images import Box, from_levels, to_levels
from bglab.labels import OUTSIDE
from bglab.seeding import digest

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scene:
    """One labelled image with its foreground mask, at the resolution of its file.

    Attributes:
        id: Identifier, unique within the set and independent of where the set is stored.
        label: Index into the classes of the set, or OUTSIDE.
        native_label: ImageNet class index, or OUTSIDE if unknown.
        image: RGB image with values in [0, 255].
        mask: Foreground mask, True for the foreground.
        box: Box around the foreground: ``(x0, y0, x1, y1)`` in pixels, half-open.
        plate: Background without the foreground if the source provides one, as the release's Only-BG-T images do;
            None to tile it from ``image`` and ``box``.
        notices: What was corrected or left out when it was read, such as a box without a corner; one sentence each,
            naming the file.

    Raises:
        BadInput: If the mask is not of the image's size, empty or full, or the box is not within the image.
    """

    id: str
    label: int
    native_label: int
    image: UInt8[np.ndarray, "3 h w"]
    mask: Bool[np.ndarray, "_ _"]  # its size is checked below, for a better message
    box: Box
    plate: UInt8[np.ndarray, "3 h w"] | None = None
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check(*self.image.shape[-2:])

    @classmethod
    def of_decoded(
        cls,
        record: SceneRecord,
        decoded: Image.Image,
        mask: Bool[np.ndarray, "_ _"],
        box: Box,
        *,
        notices: tuple[str, ...] = (),
    ) -> Scene:
        """Make the scene of a record from an image of Pillow; ``image`` is made of it when it is first asked for.

        Args:
            record: Record of the scene.
            decoded: Upright RGB image.
            mask: Foreground mask of the image's size.
            box: Box around the foreground.
            notices: What was corrected or left out, one sentence each.

        Raises:
            BadInput: As the constructor.
        """
        scene = object.__new__(cls)
        values = {"id": record.id, "label": record.label, "native_label": record.native_label}
        vars(scene).update(values, mask=mask, box=box, plate=None, notices=notices, _decoded=decoded)
        scene._check(decoded.height, decoded.width)
        return scene

    def with_mask(self, mask: Bool[np.ndarray, "_ _"]) -> Scene:
        """Return the scene with another mask and the same box.

        Args:
            mask: Foreground mask of the image's size.

        Raises:
            BadInput: As the constructor.
        """
        scene = object.__new__(type(self))
        vars(scene).update(vars(self), mask=mask)
        scene._check(*self.mask.shape)
        return scene

    def __getattr__(self, name: str) -> UInt8[np.ndarray, "3 h w"]:
        """Convert the decoded image to its array, once."""
        if name != "image" or "_decoded" not in vars(self):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        levels = to_levels(vars(self)["_decoded"])
        vars(self)["image"] = levels
        return levels

    @property
    def decoded(self) -> Image.Image:
        """The image as one of Pillow, which must not be changed."""
        found = vars(self).get("_decoded")
        return from_levels(self.image) if found is None else found

    def _check(self, height: int, width: int) -> None:
        if self.mask.shape != (height, width):
            raise BadInput(
                f"expected a mask of {width} × {height} pixels for scene {self.id}, got "
                f"{self.mask.shape[1]} × {self.mask.shape[0]}; rebuild the mask from this image"
            )
        if not self.mask.any() or self.mask.all():
            what = "the whole image" if self.mask.any() else "nothing"
            raise BadInput(f"expected a foreground in scene {self.id}, but its mask marks {what}; redraw the mask")
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise BadInput(
                f"expected a box within {width} × {height} pixels for scene {self.id}, got {self.box}; "
                "correct its annotation"
            )


class SceneRecord(NamedTuple):
    """Metadata of a scene that is available without reading its files.

    Attributes:
        id: Identifier of the scene.
        label: Index into the classes of the set, or OUTSIDE.
        native_label: ImageNet class index, or OUTSIDE if unknown.
        files: All files that the scene is read from; empty for generated scenes.
    """

    id: str
    label: int
    native_label: int = OUTSIDE
    files: tuple[Path, ...] = ()

    @property
    def file(self) -> str:
        """Path of the image, the first of the files; "" for generated scenes."""
        return str(self.files[0]) if self.files else ""


class PublishedImage(NamedTuple):
    """An image of a variant as published with a release.

    Attributes:
        scene: Id of the scene that it was made from, which in mixed variants is that of the foreground.
        donor: Id of the scene that provides the background; "" if there is none or it is unknown.
        file: Path of the image.
        label: Index into the classes of the set.
        native_label: ImageNet class index, or OUTSIDE if unknown.
    """

    scene: str
    donor: str
    file: Path
    label: int
    native_label: int = OUTSIDE


class Rejection(NamedTuple):
    """A scene that cannot be used, its file ("" if it has none), and the reason in one sentence."""

    scene: str
    file: str
    reason: str


@dataclass(frozen=True, eq=False)
class SceneSet:
    """An ordered set of scenes, which are read from disk when they are accessed.

    Iterating, or indexing by position or id, reads scenes; `len` and the attributes do not.

    Attributes:
        uri: The URI given to `bglab.open_scenes`.
        name: Short name without absolute paths, e.g. ``in9:bg_challenge``; used in the names of result folders.
        space: Label space of ``label``: ``in9``, ``imagenet``, or one of the set's own (``voc``, ``caltech101``).
        classes: Class names, in the order of the labels.
        records: Records of the scenes, in order.
        read: Function that reads the scene of a record; raises `BadInput` if it cannot be used.
        fingerprint: Hexadecimal digest of what defines the set; the same on every machine.
        crop_fraction: Fraction of the resized short side that the centre crop keeps when scenes are prepared (0.875
            resizes to 256 and crops 224; 1 for sets whose images are already cropped).
        notices: Anything unusual about the set, one sentence each.
        rejected: Scenes found to be unusable when the set was opened.
        published: Function that lists the published images of a variant; None if there are none.
        credit: Origin and licence, in one sentence.
        full_resolution: Whether the images are photographs at their own size, from which the variants of Time for a
            Background Check! are made by default, before any resize.
        unmasked: Records of labelled images found to have no mask or box when the set was opened. They are no scenes,
            and ``rejected`` has the reasons, but variants that need neither, such as Original, show them.
        read_image: Function that reads the image of a record without its mask; None if there is only ``read``.
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
    unmasked: tuple[SceneRecord, ...] = ()
    read_image: Callable[[SceneRecord], UInt8[np.ndarray, "3 h w"]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Make printable what quotes the content of files."""
        object.__setattr__(self, "notices", tuple(printable(notice) for notice in self.notices))
        object.__setattr__(self, "rejected", tuple(Rejection(*map(printable, r)) for r in self.rejected))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: int | str) -> Scene:
        """Read one scene by position or id."""
        if isinstance(key, str):
            for reason in (r.reason for r in self.rejected if r.scene == key and key not in self.positions):
                raise BadInput(f"expected a scene with a mask or box, got {key}: {reason}")
            if key not in self.positions:
                raise UnknownName(unknown_name("scene", key, self.near(key)))
            key = self.positions[key]
        return self.read(self.records[key])

    def __iter__(self) -> Iterator[Scene]:
        return (self.read(record) for record in self.records)

    def __repr__(self) -> str:
        return f"SceneSet({self.name}: {len(self)} scenes in {len(set(self.labels.tolist()))} classes)"

    @property
    def photographs(self) -> tuple[SceneRecord, ...]:
        """Records of all labelled images, those of the scenes first: what variants without mask and box can show."""
        return (*self.records, *self.unmasked)

    def photograph(self, record: SceneRecord) -> UInt8[np.ndarray, "3 h w"]:
        """Read the image of one of the `photographs`, without its mask where the source can.

        Raises:
            BadInput: If it cannot be read.
        """
        return self.read(record).image if self.read_image is None else self.read_image(record)

    @property
    def ids(self) -> list[str]:
        """Ids of the scenes, in order."""
        return [record.id for record in self.records]

    @functools.cached_property
    def positions(self) -> dict[str, int]:
        """Index of each scene by id."""
        return {record.id: i for i, record in enumerate(self.records)}

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Labels of the scenes as int64, in order."""
        return np.array([record.label for record in self.records], dtype=np.int64)

    def near(self, key: str, at_most: int = 8) -> list[str]:
        """List a few ids for an error message: those that begin like ``key``, or else the first ones."""
        alike = [i for i in self.ids if i.startswith(key[:4])]
        return (alike or self.ids)[:at_most]

    def select(
        self,
        *,
        ids: Collection[str] | None = None,
        labels: Collection[int] | None = None,
        per_class: int | None = None,
    ) -> SceneSet:
        """Select a subset of the scenes, in the same order; all given conditions must hold.

        Images without a mask (``unmasked``) are selected by the same conditions, after the scenes.

        Args:
            ids: Ids of the scenes to keep.
            labels: Labels of the classes to keep.
            per_class: Number of scenes to keep per class, at most; the first ones are kept.

        Returns:
            A new set, or this one if all scenes are kept.

        Raises:
            UnknownName: If an id is not in the set.
        """
        wanted = None if ids is None else set(ids)
        for missing in sorted((wanted or set()) - {record.id for record in self.photographs}):
            raise UnknownName(unknown_name("scene", missing, self.near(missing)))
        counts: Counter[int] = Counter()

        def chosen(record: SceneRecord) -> bool:
            if (wanted is not None and record.id not in wanted) or (labels is not None and record.label not in labels):
                return False
            counts[record.label] += 1
            return per_class is None or counts[record.label] <= per_class

        records = [record for record in self.records if chosen(record)]
        unmasked = [record for record in self.unmasked if chosen(record)]
        if len(records) + len(unmasked) == len(self.photographs):
            return self
        part = self.with_records(records, unmasked)
        if len(records) == len(self):
            return part
        return replace(part, fingerprint=digest([self.fingerprint, *(record.id for record in records)]))

    def with_records(self, records: Sequence[SceneRecord], unmasked: Sequence[SceneRecord] = ()) -> SceneSet:
        """Return a set of only some scenes, whose labels may be others; ``rejected`` names only images that are left.

        Args:
            records: Records of the scenes.
            unmasked: Records of images without a mask.
        """
        files = {printable(record.file) for record in unmasked}
        rejected = tuple(rejection for rejection in self.rejected if rejection.file in files)
        return replace(self, records=tuple(records), unmasked=tuple(unmasked), rejected=rejected)


def file_fingerprint(root: Path, records: Sequence[SceneRecord], *options: str) -> str:
    """Compute the fingerprint of scenes that are read from files.

    It depends on file names relative to ``root``, in Unicode's composed form, and on file sizes, so it is the same on
    every machine.

    Args:
        root: Folder that the set was opened from.
        records: Records of the scenes.
        *options: Everything else that affects the scenes.
    """
    parts = list(options)
    for record in records:
        sizes = (f"{file.relative_to(root).as_posix()}={file.stat().st_size}" for file in record.files)
        parts += [record.id, str(record.label), *sizes]
    return digest([unicodedata.normalize("NFC", part) for part in parts])


@functools.cache
def log_notices(name: str, notices: tuple[str, ...]) -> None:
    """Log, once per process, what was corrected or left out when the scenes of a set were read.

    Args:
        name: Name of the set.
        notices: One sentence each; only their number and the first are logged.
    """
    if notices:
        _LOG.warning(
            "%s: annotations corrected or partly left out: %d (bglab data check lists them); the first: %s",
            name,
            len(notices),
            notices[0],
        )
