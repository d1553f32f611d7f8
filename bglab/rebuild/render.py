"""Render one accepted image in all variants of Noise or Signal, as files in the layout of the release.

Everything is composed at full resolution and then resized (short side to 256, centre crop 224), as in the paper
(Appendix A). The fidelity ``paper`` reproduces the authors' generator exactly: it resizes by nearest pixel, takes every
pixel that is not exactly black as foreground, and tiles a strip that begins inside the box. ``clean`` resizes with an
antialiased filter and pastes the foreground by its mask.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from bglab.images import (
    Box,
    background_strip,
    box_mask,
    composite,
    from_levels,
    mask_png,
    read_image,
    resize_crop,
    tile,
    tile_box,
    to_levels,
)
from bglab.labels import IN9
from bglab.rebuild.filters import (
    CROP_FRACTION,
    SIZE,
    Candidate,
    Fidelity,
    FilterSettings,
    crop_mask,
    read_filtered,
    without_last,
    write_atomically,
)
from bglab.variants import VARIANTS, SceneBatch, render

#: Variants made from one image, and variants with a donor, in the order of Noise or Signal, Table 1.
SINGLE = ("original", "only_bg_b", "only_bg_t", "no_fg", "only_fg")
MIXED = ("mixed_same", "mixed_rand", "mixed_next")
#: Quality and chroma subsampling of the JPEG files: the mean error is a fraction of a grey level.
QUALITY, SUBSAMPLING = 95, "4:2:0"


class RenderTask(NamedTuple):
    """A scene to render, and by mixed variant the donor of its background."""

    scene: Candidate
    donors: Mapping[str, Candidate]


class BuildPaths(NamedTuple):
    """Folders that a build reads and writes, and which files it writes.

    Attributes:
        filtered: Folder of cached filter results and masks.
        out: Folder in which ``bg_challenge/`` or ``masks/`` is written.
        done: Folder with one file per finished scene, which contains the digests of its files.
        split: ``train`` or ``val``.
        masks_only: Whether to write masks at full resolution and no images.
    """

    filtered: Path
    out: Path
    done: Path
    split: str
    masks_only: bool


def output_names(task: RenderTask, split: str, *, boxes: bool, masks_only: bool) -> dict[str, str]:
    """Name the files of a scene, relative to the output folder; names of mixed images contain the ids of both scenes.

    Args:
        task: Scene and donors.
        split: ``train`` or ``val``.
        boxes: Whether the set has boxes and masks, and so all variants.
        masks_only: Whether only masks are written.

    Returns:
        The file name by variant; masks are named ``fg_mask``, or ``mask`` if only masks are written.

    Example:
        >>> scene = Candidate("n01440764_00293", "", "n01440764", 8, "")
        >>> output_names(RenderTask(scene, {}), "val", boxes=False, masks_only=False)
        {'original': 'bg_challenge/original/val/08_fish/n01440764_00293.JPEG'}
    """
    own, folder = task.scene.id, IN9[task.scene.label].folder
    if masks_only:
        return {"mask": f"masks/{split}/{folder}/{own}.png"}
    names = {variant: f"{own}.JPEG" for variant in (SINGLE if boxes else SINGLE[:1])}
    names |= {variant: f"fg_{own}_bg_{donor.id}.JPEG" for variant, donor in task.donors.items()}
    if boxes:
        names["fg_mask"] = f"{own}.npy"
    return {variant: f"bg_challenge/{variant}/{split}/{folder}/{name}" for variant, name in names.items()}


def render_cached(task: RenderTask, settings: FilterSettings, paths: BuildPaths) -> dict[str, str]:
    """Write the files of a scene unless an earlier run has; return the SHA-256 of each file by name."""
    done = paths.done / task.scene.synset / f"{task.scene.id}.json"
    try:
        digests = json.loads(done.read_bytes())
        if all((paths.out / name).is_file() for name in digests):
            return digests
    except (OSError, ValueError):
        pass  # not finished: all files of the scene are written again
    digests: dict[str, str] = {}
    for name, content in _contents(task, settings, paths).items():
        write_atomically(paths.out / name, content)
        digests[name] = hashlib.sha256(content).hexdigest()
    write_atomically(done, json.dumps(digests).encode())
    return digests


def _contents(task: RenderTask, settings: FilterSettings, paths: BuildPaths) -> dict[str, bytes]:
    """Encode all files of a scene, by name."""
    scene, filtered = task.scene, read_filtered(task.scene, paths.filtered)
    names = output_names(task, paths.split, boxes=settings.boxes, masks_only=paths.masks_only)
    if paths.masks_only:
        assert filtered.mask is not None, "only sets with masks are built with masks_only"
        return {names["mask"]: mask_png(filtered.mask)}
    image = read_image(Path(settings.root, scene.file))
    if filtered.mask is None or filtered.box is None:
        return {names["original"]: _jpeg(_square(torch.from_numpy(image), settings.fidelity))}
    batch = _scene_batch(scene.id, image, filtered.mask, filtered.box, settings.fidelity)
    singles = {v: _square(render(VARIANTS[v], batch, batch)[0], settings.fidelity) for v in SINGLE}
    mask = crop_mask(filtered.mask)
    pasted = _pasted(singles, mask, settings.fidelity)
    mixed = {v: _mix(v, pasted, _plate(donor, settings, paths)) for v, donor in task.donors.items()}
    contents = {names[variant]: _jpeg(pixels) for variant, pixels in (singles | mixed).items()}
    contents[names["fg_mask"]] = _npy(mask)
    return contents


def _scene_batch(
    scene: str, image: UInt8[np.ndarray, "3 h w"], mask: Bool[np.ndarray, "h w"], box: Box, fidelity: Fidelity
) -> SceneBatch:
    """Make a batch of one scene at full resolution, from which variants are rendered."""
    photograph = torch.from_numpy(image)
    return SceneBatch(
        ids=(scene,),
        images=photograph[None],
        masks=torch.from_numpy(mask.copy())[None],
        plates=_tile(photograph, box, fidelity)[None],
        boxes=torch.tensor([box]),
    )


def _tile(image: UInt8[Tensor, "3 h w"], box: Box, fidelity: Fidelity) -> UInt8[Tensor, "3 h w"]:
    """Replace the box by tiled background at full resolution (Only-BG-T)."""
    if fidelity == "clean":
        return tile_box(image, box)
    height, width = image.shape[-2:]
    # the generator measures the margins from xmax and ymax, which are the last column and row of the box
    x0, y0, x1, y1 = background_strip(without_last(box), height, width)
    canvas = tile(image[:, y0:y1, x0:x1], height, width)
    return composite(canvas, image, box_mask(torch.tensor(box), height, width))


def _pasted(
    singles: Mapping[str, UInt8[Tensor, "3 s s"]], mask: Bool[np.ndarray, "s s"], fidelity: Fidelity
) -> SceneBatch:
    """Make the foreground of the mixed variants: by its mask, or with ``paper``, all non-black pixels of Only-FG."""
    if fidelity == "paper":
        image = singles["only_fg"]
        alpha = (image != 0).any(dim=0)
    else:
        image, alpha = singles["original"], torch.from_numpy(mask.copy())
    return _square_batch(image, alpha)


def _square_batch(image: UInt8[Tensor, "3 s s"], alpha: Bool[Tensor, "s s"]) -> SceneBatch:
    boxes = torch.tensor([[0, 0, SIZE, SIZE]])  # unused: the mixed variants use the mask
    return SceneBatch(("",), image[None], alpha[None], image[None], boxes)


def _mix(variant: str, pasted: SceneBatch, plate: UInt8[Tensor, "3 s s"]) -> UInt8[Tensor, "3 s s"]:
    donor = _square_batch(plate, torch.zeros(plate.shape[-2:], dtype=torch.bool))
    return render(VARIANTS[variant], pasted, donor)[0]


def _plate(donor: Candidate, settings: FilterSettings, paths: BuildPaths) -> UInt8[Tensor, "3 s s"]:
    """Make the Only-BG-T image of a donor, without JPEG compression."""
    found = read_filtered(donor, paths.filtered)
    assert found.box is not None, "only accepted scenes are donors"
    image = torch.from_numpy(read_image(Path(settings.root, donor.file)))
    return _square(_tile(image, found.box, settings.fidelity), settings.fidelity)


def _square(image: UInt8[Tensor, "3 h w"], fidelity: Fidelity) -> UInt8[Tensor, "3 s s"]:
    """Resize and crop an image to the size of the set."""
    whole = from_levels(image.numpy())
    return torch.from_numpy(to_levels(resize_crop(whole, SIZE, CROP_FRACTION, smooth=fidelity == "clean")))


def _jpeg(image: UInt8[Tensor, "3 s s"]) -> bytes:
    content = io.BytesIO()
    encoded = from_levels(image.numpy())
    encoded.save(content, "JPEG", quality=QUALITY, subsampling=SUBSAMPLING)
    return content.getvalue()


def _npy(mask: Bool[np.ndarray, "s s"]) -> bytes:
    content = io.BytesIO()
    np.save(content, mask, allow_pickle=False)
    return content.getvalue()
