"""Streaming of variants at full resolution, resized and cropped by the evaluation transform of a network.

Threads decode each photograph once for all variants, and only a few blocks of crops are held at a time, so memory does
not grow with the set.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.images import EvaluationTransform, from_levels
from bglab.parallel import thread_map, usable_cores
from bglab.scenes import Rejection, Scene, SceneRecord, SceneSet, read_or_reject
from bglab.seeding import keyed_generator
from bglab.variants.full_resolution import FullScenes, region_of
from bglab.variants.rules import GivenImage, Keep, Patch, Region, SceneBatch
from bglab.variants.variant import Variant, render


class Block(NamedTuple):
    """The images of some scenes in all streamed variants.

    Attributes:
        variants: Names of the variants, along the first axis of ``crops``.
        records: Scenes, along the second axis of ``crops``.
        donors: Name of the plate of each scene, per variant; "" for backgrounds that are no photograph or texture of a
            source of plates.
        crops: The images after resize and crop, RGB, 0-255.
        rejected: Unusable scenes since the previous block, with reasons.
        masks: Foregrounds that the variants are cut out by, cropped like the images; None if not requested.
    """

    variants: tuple[str, ...]
    records: tuple[SceneRecord, ...]
    donors: tuple[tuple[str, ...], ...]
    crops: UInt8[np.ndarray, "v n 3 s s"]
    rejected: tuple[Rejection, ...]
    masks: Bool[np.ndarray, "n s s"] | None = None

    @property
    def image_count(self) -> int:
        """Number of crops of all variants."""
        return self.crops.shape[0] * self.crops.shape[1]


def stream(
    full: FullScenes,
    variants: Sequence[Variant],
    transform: EvaluationTransform,
    *,
    block_size: int = 16,
    with_masks: bool = False,
) -> Iterator[Block]:
    """Decode each scene once, make its variants at full resolution, and resize and crop them.

    Args:
        full: From `open_full`.
        variants: From `expand`; all cut out boxes, or all cut out masks.
        transform: Resize and crop of the network.
        block_size: Scenes per block.
        with_masks: Whether to crop the foreground masks, too.

    Yields:
        Blocks of crops, in the order of the set.

    Raises:
        BadInput: If some variants cut out boxes and others masks.
    """
    # the original photograph is cut by neither, so it goes with both
    regions: set[Region] = {region_of(variant) for variant in variants if not variant.is_untouched} or {"box"}
    if len(regions) > 1:
        raise BadInput("expected variants that cut out either boxes or masks, got both; stream them one after another")
    scenes = full.scenes(regions.pop())
    names = tuple(variant.name for variant in variants)
    workers = full.settings.workers or usable_cores()
    make = functools.partial(_make, full, scenes, tuple(variants), transform, with_masks=with_masks)
    made: list[_Made] = []
    rejected: list[Rejection] = []
    pending = block_size + 2 * workers
    for outcome in thread_map(make, scenes.records, workers=workers, pending=pending, name="bglab-decode"):
        if isinstance(outcome, Rejection):
            rejected.append(outcome)
            continue
        made.append(outcome)
        if len(made) == block_size:
            yield _block(names, made, rejected)
            made, rejected = [], []
    if made or rejected:
        yield _block(names, made, rejected, transform.size)


class _Made(NamedTuple):
    """Images of one scene, one per variant, with the names of their plates and the mask if requested."""

    record: SceneRecord
    donors: tuple[str, ...]
    crops: UInt8[np.ndarray, "v 3 s s"]
    mask: Bool[np.ndarray, "s s"] | None


def _block(names: tuple[str, ...], made: Sequence[_Made], rejected: Sequence[Rejection], size: int = 1) -> Block:
    crops = np.stack([m.crops for m in made], axis=1) if made else np.zeros((len(names), 0, 3, size, size), np.uint8)
    donors = tuple(zip(*(m.donors for m in made), strict=True)) or ((),) * len(names)
    masks = [m.mask for m in made if m.mask is not None]
    cropped = np.stack(masks) if masks else None
    return Block(names, tuple(m.record for m in made), donors, crops, tuple(rejected), cropped)


def _make(
    full: FullScenes,
    scenes: SceneSet,
    variants: tuple[Variant, ...],
    transform: EvaluationTransform,
    record: SceneRecord,
    *,
    with_masks: bool,
) -> _Made | Rejection:
    """Make the images of one scene; runs in a thread of the pool."""

    def read() -> tuple[Scene, list[tuple[str, Image.Image]]]:
        scene = scenes.read(record)
        return scene, [_image(full, variant, scene) for variant in variants]

    found = read_or_reject(read, record.files)
    if isinstance(found, BadInput):
        return Rejection(record.id, record.file, str(found))
    scene, images = found
    crops = np.stack([transform(image) for _, image in images])
    mask = transform.mask(scene.mask) if with_masks else None
    return _Made(record, tuple(donor for donor, _ in images), crops, mask)


def _image(full: FullScenes, variant: Variant, scene: Scene) -> tuple[str, Image.Image]:
    """Make one variant of a scene at full resolution; return the name of its plate, and the image."""
    if variant.is_untouched:
        return "", scene.decoded
    image, mask = torch.from_numpy(scene.image).unsqueeze(0), torch.from_numpy(scene.mask).unsqueeze(0)
    batch = SceneBatch((scene.id,), image, mask, image, torch.tensor([scene.box]))
    donor, plates = "", full.plates(variant)
    if plates is not None:
        rng = keyed_generator(full.settings.seed, variant.name, scene.id)
        donor, plate = plates.draw(rng, *scene.mask.shape, scene=scene.id)
        variant = replace(variant, background=GivenImage(torch.from_numpy(np.ascontiguousarray(plate))))
    rendered = render(_by_its_mask(variant), batch, seed=full.settings.seed)[0]
    return donor, from_levels(rendered.numpy())


def _by_its_mask(variant: Variant) -> Variant:
    """Return the variant cut out by the scene's mask, which is the union of boxes where it cuts out boxes."""
    foreground = variant.foreground
    if isinstance(foreground, Keep | Patch):
        return replace(variant, foreground=replace(foreground, region="mask"))
    return variant
