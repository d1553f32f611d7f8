"""The foreground-size filter of Time for a Background Check! (section 3).

An image is used if the union of the boxes of its true class covers 5 % to 70 % of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

import numpy as np

from bglab.errors import BadInput, UnknownName
from bglab.labels import imagenet_synsets
from bglab.progress import Bar
from bglab.scenes.reading import read_or_reject
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, log_notices
from bglab.scenes.sources import open_scenes
from bglab.scenes.sources._annotations import half_open, read_annotation
from bglab.seeding import digest


class AreaCensus(NamedTuple):
    """Result of the foreground-size filter.

    The paper keeps 31,801 of the 50,000 images of ImageNet's validation set (section 3).

    Attributes:
        total: Number of scenes in the set, including those without a usable annotation.
        ids: Ids of the scenes that pass, in the order of the set.
        smaller: Number of scenes whose foreground is below the lower limit.
        larger: Number of scenes whose foreground is above the upper limit.
        rejected: Scenes whose foreground could not be measured, with reasons.
        smaller_ids: Ids of the scenes whose foreground is below the lower limit.
        larger_ids: Ids of the scenes whose foreground is above the upper limit.
    """

    total: int
    ids: tuple[str, ...]
    smaller: int
    larger: int
    rejected: tuple[Rejection, ...]
    smaller_ids: tuple[str, ...] = ()
    larger_ids: tuple[str, ...] = ()

    def select(self, ids: Collection[str]) -> AreaCensus:
        """Return the result for some of the scenes.

        Args:
            ids: Ids of the scenes; others are ignored.

        Example:
            >>> AreaCensus(3, ("a",), 1, 1, (), ("b",), ("c",)).select(["a", "c"]).text
            '1 of 2 scenes have a foreground of usable size; 0 smaller, 1 larger, 0 unusable'
        """
        wanted = set(ids)
        kept, smaller, larger = (
            tuple(name for name in group if name in wanted) for group in (self.ids, self.smaller_ids, self.larger_ids)
        )
        rejected = tuple(rejection for rejection in self.rejected if rejection.scene in wanted)
        total = len(kept) + len(smaller) + len(larger) + len(rejected)
        return AreaCensus(total, kept, len(smaller), len(larger), rejected, smaller, larger)

    @property
    def text(self) -> str:
        """Summarise the counts in one line.

        Example:
            >>> AreaCensus(10, ("a", "b"), 3, 4, ()).text
            '2 of 10 scenes have a foreground of usable size; 3 smaller, 4 larger, 0 unusable'
        """
        return (
            f"{len(self.ids):,} of {self.total:,} scenes have a foreground of usable size; {self.smaller:,} smaller, "
            f"{self.larger:,} larger, {len(self.rejected):,} unusable"
        )


def area_census(
    scenes: SceneSet | str, smallest: float = 0.05, largest: float = 0.70, *, progress: bool = False
) -> AreaCensus:
    """Apply the foreground-size filter of Time for a Background Check! (section 3) to a set of scenes.

    The foreground is the union of the boxes of the true class, measured on the original image. For ``imagenet:`` only
    the annotations are read, which takes seconds for 50,000 images; other sets are decoded.

    Args:
        scenes: A URI, or scenes whose masks are their boxes (see `open_by_box`).
        smallest: Smallest fraction of the image that the foreground may cover, inclusive.
        largest: Largest fraction of the image that the foreground may cover, inclusive.
        progress: Whether to show a progress bar.

    Raises:
        BadInput: If the limits are not fractions in increasing order.
    """
    if not 0 <= smallest < largest <= 1:
        raise BadInput(f"expected limits with 0 <= smallest < largest <= 1, got {smallest} and {largest}")
    source = open_by_box(scenes) if isinstance(scenes, str) else scenes
    kept: list[str] = []
    smaller: list[str] = []
    larger: list[str] = []
    rejected: list[Rejection] = list(source.rejected)
    notices: list[str] = []
    for record in Bar(source.records, desc="measuring foregrounds", unit="scene", disable=not progress):
        found = read_or_reject(functools.partial(_measure, source, record), record.files)
        if isinstance(found, BadInput):
            rejected.append(Rejection(record.id, record.file, str(found)))
            continue
        share, remarks = found
        notices += remarks
        (smaller if share < smallest else larger if share > largest else kept).append(record.id)
    log_notices(source.name, tuple(notices))
    counts = len(source.records) + len(source.rejected), tuple(kept), len(smaller), len(larger)
    return AreaCensus(*counts, tuple(rejected), tuple(smaller), tuple(larger))


def foreground_share(scenes: SceneSet, record: SceneRecord) -> float:
    """Compute the fraction of the original image that a scene's foreground covers.

    Raises:
        BadInput: If the scene or its annotation cannot be used.
    """
    return _measure(scenes, record)[0]


def _measure(scenes: SceneSet, record: SceneRecord) -> tuple[float, tuple[str, ...]]:
    """Compute the fraction of the original image that a scene's foreground covers; return the scene's notices, too."""
    if scenes.space == "imagenet" and len(record.files) == 2 and record.files[1].suffix == ".xml":
        return _share_of_boxes(record)
    scene = scenes.read(record)
    return float(scene.mask.mean()), scene.notices


def _share_of_boxes(record: SceneRecord) -> tuple[float, tuple[str, ...]]:
    """Measure the union of the boxes in an ImageNet annotation without decoding the image."""
    image, file = record.files
    annotation, synset = read_annotation(file, image), imagenet_synsets()[record.native_label]
    inside = np.zeros((annotation.height, annotation.width), dtype=bool)
    for found in annotation.objects:
        if found.name == synset:
            x0, y0, x1, y1 = half_open(found.corners, 0, annotation.width, annotation.height)
            inside[y0:y1, x0:x1] = True
    if not inside.any():
        raise BadInput(f"expected a box of {synset} within the image in {file} for {image}, got none; correct it")
    return float(inside.mean()), annotation.notices


def open_by_box(scenes: SceneSet | str) -> SceneSet:
    """Open scenes with their boxes as masks.

    Args:
        scenes: A URI, or an open set. A source with the option ``masks=box`` gives the union of the boxes of the true
            class; otherwise the mask is the scene's one box.
    """
    if isinstance(scenes, str):
        try:
            return open_scenes(with_options(scenes, {"masks": "box"}))
        except UnknownName:
            scenes = open_scenes(scenes)  # the source has no such option, and one box per scene
    read = functools.partial(_read_by_box, scenes.read)
    return replace(scenes, read=read, fingerprint=digest([scenes.fingerprint, "box"]))


def stored_scenes(scenes: SceneSet | str) -> SceneSet:
    """Open scenes with the default masks of their source, even if the URI contains ``masks=box``."""
    if not isinstance(scenes, str):
        return scenes
    by_box = "masks=box" in scenes.partition("?")[2].split("&")
    return open_scenes(with_options(scenes, {"masks": ""}) if by_box else scenes)


def with_options(uri: str, changes: Mapping[str, str]) -> str:
    """Set options of a URI for `open_scenes`; an empty value removes the option.

    Example:
        >>> with_options("voc:PATH?split=val&masks=box", {"masks": "", "split": "train"})
        'voc:PATH?split=train'
    """
    place, _, query = uri.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True)) | dict(changes)
    kept = urlencode({name: value for name, value in options.items() if value})
    return f"{place}?{kept}" if kept else place


def _read_by_box(read: Callable[[SceneRecord], Scene], record: SceneRecord) -> Scene:
    scene = read(record)
    x0, y0, x1, y1 = scene.box
    mask = np.zeros_like(scene.mask)
    mask[y0:y1, x0:x1] = True
    return scene.with_mask(mask)
