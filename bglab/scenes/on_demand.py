"""Scenes that are prepared one by one when they are first used, so that a large set can be looked at immediately."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from jaxtyping import UInt8

from bglab.errors import BadInput
from bglab.images import from_levels, open_reduced
from bglab.scenes.prepared import (
    PreparedScenes,
    ScenesLike,
    as_prepared,
    as_scenes,
    find_prepared,
    prepare_one,
    squared,
)
from bglab.scenes.reading import read_or_reject
from bglab.scenes.scene import SceneRecord, SceneSet, log_notices

#: Sets of at most so many scenes are prepared as a whole, which takes seconds.
_FEW = 32
#: Scenes that are kept: 180 MB of 224 × 224 pixels.
_KEPT = 512
#: Grey level of the thumbnail of an image that cannot be read.
_UNREADABLE = 128


class ScenesOnDemand:
    """Scenes of a set, each prepared when it is first used: its image decoded, its mask cut out, its background tiled.

    Pixels, masks and boxes are those of `prepare`. A scene that cannot be used is still one of ``scenes`` until it is
    found out; `prepare` leaves it out.

    Args:
        scenes: Scenes to prepare.
        size: Side of the prepared images in pixels.

    Attributes:
        scenes: The set.
        size: Side of the prepared images in pixels.
        rejected: Reason for each scene found to be unusable so far, by id.
    """

    def __init__(self, scenes: SceneSet, size: int = 224) -> None:
        self.scenes = scenes
        self.size = size
        self.rejected: dict[str, str] = {}
        self._kept: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()
        self._preparing = threading.Lock()

    def __len__(self) -> int:
        return len(self.scenes)

    def arrays(self, position: int) -> dict[str, np.ndarray]:
        """Return one row of `PreparedScenes`: ``images, masks, plates, boxes, has_plate``.

        It is kept, so that no mask is cut out twice unless hundreds of other scenes were used in between.

        Args:
            position: Position of the scene in the set.

        Raises:
            BadInput: If the scene cannot be used.
            Unreadable: If its files are gone, or their disk fails.
        """
        record = self.scenes.records[position]
        with self._preparing:
            if record.id in self.rejected:
                raise BadInput(self.rejected[record.id])
            if position not in self._kept:
                found = read_or_reject(lambda: self._prepare(record), record.files)
                if isinstance(found, BadInput):
                    self.rejected[record.id] = str(found)
                    raise found
                self._kept[position] = found
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(position)
            return self._kept[position]

    def _prepare(self, record: SceneRecord) -> dict[str, np.ndarray]:
        scene = self.scenes.read(record)
        log_notices(self.scenes.name, scene.notices)
        return prepare_one(scene, self.size, self.scenes.crop_fraction)

    def photograph(self, position: int) -> UInt8[np.ndarray, "3 s s"]:
        """Return the image of one scene without cutting anything out; black if it cannot be read, which rejects it."""
        record = self.scenes.records[position]
        found = read_or_reject(lambda: self.scenes.photograph(record), record.files)
        if isinstance(found, BadInput):
            self.rejected[record.id] = str(found)
            return np.zeros((3, self.size, self.size), dtype=np.uint8)
        return squared(from_levels(found), self.size, self.scenes.crop_fraction)

    def thumbnail(self, position: int, side: int) -> UInt8[np.ndarray, "3 t t"]:
        """Return the photograph of one scene, decoded at a fraction of its size; grey if it cannot be read."""
        fraction = self.scenes.crop_fraction
        try:
            image = open_reduced(self.scenes.records[position].files[0], round(side / fraction))
            return squared(image, side, fraction)
        except BadInput:
            return np.full((3, side, side), _UNREADABLE, dtype=np.uint8)

    def first_usable(self, at_most: int = 32) -> str:
        """Return the id of the first scene that can be used, which is prepared for that.

        Args:
            at_most: Number of scenes to try.

        Raises:
            BadInput: If none of them can be used, with the reason for the last.
        """
        for position, record in enumerate(self.scenes.records[:at_most]):
            try:
                self.arrays(position)
            except BadInput:
                continue
            return record.id
        reason = list(self.rejected.values())[-1] if self.rejected else "there were no scenes"
        raise BadInput(f"expected usable scenes in {self.scenes.name}, but the first were all rejected: {reason}")


def open_on_demand(scenes: ScenesLike, size: int = 224) -> PreparedScenes | ScenesOnDemand:
    """Return prepared scenes if they are in the cache or few; otherwise, of photographs, scenes prepared on demand.

    Preparing thousands of photographs takes up to hours where their masks are cut out by GrabCut.

    Args:
        scenes: A set, its prepared form, or a URI for `open_scenes`.
        size: Side of the images in pixels; ignored for prepared scenes, which have one.

    Raises:
        BadInput: If no scene can be used.
    """
    if isinstance(scenes, PreparedScenes):
        return scenes
    opened = as_scenes(scenes)
    if opened.read_image is None or len(opened) <= _FEW:
        return as_prepared(opened, size)
    return find_prepared(opened, size) or ScenesOnDemand(opened, size)
