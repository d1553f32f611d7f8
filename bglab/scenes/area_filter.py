"""Foregrounds as Time for a Background Check! takes them: the union of the true class's boxes, 5 % to 70 % large."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

import numpy as np
from tqdm.auto import tqdm

from bglab.errors import BadInput, UnknownName
from bglab.labels import imagenet_synsets
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet
from bglab.scenes.sources import open_scenes
from bglab.scenes.sources._annotations import half_open, read_annotation
from bglab.seeding import digest


class AreaCensus(NamedTuple):
    """How many scenes the area rule keeps (section 3: of ImageNet's validation set 31,801 of 50,000).

    Attributes:
        total: Scenes of the set, those without a usable annotation included.
        ids: Scenes kept, in the set's order.
        smaller: Scenes whose foreground takes less than the lower limit.
        larger: Scenes whose foreground takes more than the upper limit.
        rejected: Scenes whose foreground could not be measured, and why.
    """

    total: int
    ids: tuple[str, ...]
    smaller: int
    larger: int
    rejected: tuple[Rejection, ...]

    @property
    def text(self) -> str:
        """Say the counts in one line.

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
    """Measure every foreground on the original image and count those of usable size.

    The foreground is the union of the true class's boxes. For ``imagenet:`` only annotations are read, so that
    the fifty thousand take seconds; other sets are decoded.

    Args:
        scenes: A URI, or scenes whose masks are their boxes (`open_by_box`).
        smallest: Least part of the image, a fraction; the limit itself is kept.
        largest: Greatest part, a fraction; the limit itself is kept.
        progress: Show a bar.

    Raises:
        BadInput: If the limits are not fractions in order.
    """
    if not 0 <= smallest < largest <= 1:
        raise BadInput(f"expected limits with 0 <= smallest < largest <= 1, got {smallest} and {largest}")
    source = open_by_box(scenes) if isinstance(scenes, str) else scenes
    kept: list[str] = []
    rejected: list[Rejection] = list(source.rejected)
    smaller = larger = 0
    for record in tqdm(source.records, desc="measuring foregrounds", unit="scene", disable=not progress):
        try:
            share = foreground_share(source, record)
        except BadInput as problem:
            rejected.append(Rejection(record.id, str(record.files[0]) if record.files else "", str(problem)))
            continue
        if smallest <= share <= largest:
            kept.append(record.id)
        smaller, larger = smaller + (share < smallest), larger + (share > largest)
    return AreaCensus(len(source.records) + len(source.rejected), tuple(kept), smaller, larger, tuple(rejected))


def foreground_share(scenes: SceneSet, record: SceneRecord) -> float:
    """Give the part of the original image that a scene's foreground takes, a fraction.

    Raises:
        BadInput: If the scene's annotation, or the scene itself, cannot be used.
    """
    if scenes.space == "imagenet" and len(record.files) == 2 and record.files[1].suffix == ".xml":
        return _share_of_boxes(record)
    return float(scenes.read(record).mask.mean())


def _share_of_boxes(record: SceneRecord) -> float:
    """Measure the union of the boxes of ImageNet's annotation without decoding the image."""
    image, file = record.files
    annotation, synset = read_annotation(file), imagenet_synsets()[record.native_label]
    inside = np.zeros((annotation.height, annotation.width), dtype=bool)
    for found in annotation.objects:
        if found.name == synset:
            x0, y0, x1, y1 = half_open(found.corners, 0, annotation.width, annotation.height)
            inside[y0:y1, x0:x1] = True
    if not inside.any():
        raise BadInput(f"expected a box of {synset} within the image in {file} for {image}, got none; mend it")
    return float(inside.mean())


def open_by_box(scenes: SceneSet | str) -> SceneSet:
    """Open scenes whose masks are their boxes: the union of the true class's where the source knows them.

    Args:
        scenes: A URI; or a set, whose scenes have one box each.
    """
    if isinstance(scenes, str):
        try:
            return open_scenes(with_options(scenes, {"masks": "box"}))
        except UnknownName:
            scenes = open_scenes(scenes)  # a source without that option, whose scenes have one box each
    read = functools.partial(_read_by_box, scenes.read)
    return replace(scenes, read=read, fingerprint=digest([scenes.fingerprint, "box"]))


def stored_scenes(scenes: SceneSet | str) -> SceneSet:
    """Open scenes with the masks their source gives them, also where the URI asks for boxes."""
    if not isinstance(scenes, str):
        return scenes
    by_box = "masks=box" in scenes.partition("?")[2].split("&")
    return open_scenes(with_options(scenes, {"masks": ""}) if by_box else scenes)


def with_options(uri: str, changes: Mapping[str, str]) -> str:
    """Change options of a URI for `open_scenes`; an empty value takes the option out.

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
    return replace(scene, mask=mask)
