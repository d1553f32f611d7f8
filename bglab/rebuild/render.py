"""One accepted image in all variants of Noise or Signal, as files in the release's layout.

Everything is built at full resolution and then resized (short side to 256, centre crop 224), as the paper does
(Appendix A). ``paper`` follows the authors' generator to the letter: nearest pixels, a foreground that is whatever
is not exactly black, a strip that begins inside the box. ``clean`` resizes smoothly and pastes by the mask.
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
from PIL import Image
from torch import Tensor

from bglab.images import Box, background_strip, box_mask, composite, read_image, resize_crop, tile, tile_box
from bglab.labels import IN9
from bglab.rebuild.filters import (
    CROP_FRACTION,
    SIZE,
    Candidate,
    Fidelity,
    Rules,
    crop_mask,
    mask_png,
    read_judged,
    without_last,
    write_whole,
)
from bglab.variants import VARIANTS, SceneBatch, render

#: Variants with a single image behind them, and those with a donor, in the order of Table 1.
SINGLE = ("original", "only_bg_b", "only_bg_t", "no_fg", "only_fg")
MIXED = ("mixed_same", "mixed_rand", "mixed_next")
#: How images are stored: 224 px JPEG like the release's, at a quality whose error is a fraction of a level.
QUALITY, SUBSAMPLING = 95, "4:2:0"


class RenderTask(NamedTuple):
    """What to write for one scene: ``donors`` maps mixed variants to whose background they show."""

    scene: Candidate
    donors: Mapping[str, Candidate]


class Places(NamedTuple):
    """Where one build reads and writes.

    Attributes:
        judged: Verdicts and masks.
        out: What is written: ``bg_challenge/`` or ``masks/``.
        done: One file a finished scene, with the digests of its files.
        split: ``train`` or ``val``.
        masks_only: Write full-size masks and no images.
    """

    judged: Path
    out: Path
    done: Path
    split: str
    masks_only: bool


def output_names(task: RenderTask, split: str, *, boxes: bool, masks_only: bool) -> dict[str, str]:
    """Name the files of a scene, relative to the output folder; names of mixed images tell both scenes.

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


def render_kept(task: RenderTask, rules: Rules, places: Places) -> dict[str, str]:
    """Write the files of a scene unless an earlier run finished them; give name → sha256."""
    done = places.done / task.scene.synset / f"{task.scene.id}.json"
    try:
        digests = json.loads(done.read_bytes())
        if all((places.out / name).is_file() for name in digests):
            return digests
    except (OSError, ValueError):
        pass  # not finished; what there is of it is written again
    digests: dict[str, str] = {}
    for name, content in _contents(task, rules, places).items():
        write_whole(places.out / name, content)
        digests[name] = hashlib.sha256(content).hexdigest()
    write_whole(done, json.dumps(digests).encode())
    return digests


def _contents(task: RenderTask, rules: Rules, places: Places) -> dict[str, bytes]:
    """Make the bytes of every file of a scene."""
    scene, judged = task.scene, read_judged(task.scene, places.judged)
    names = output_names(task, places.split, boxes=rules.boxes, masks_only=places.masks_only)
    if places.masks_only:
        assert judged.mask is not None, "only scenes with masks are asked for"
        return {names["mask"]: mask_png(judged.mask)}
    image = read_image(Path(rules.root, scene.file))
    if judged.mask is None or judged.box is None:
        return {names["original"]: _jpeg(_square(torch.from_numpy(image), rules.fidelity))}
    batch = _scene_batch(scene.id, image, judged.mask, judged.box, rules.fidelity)
    singles = {v: _square(render(VARIANTS[v], batch, batch)[0], rules.fidelity) for v in SINGLE}
    mask = crop_mask(judged.mask)
    pasted = _pasted(singles, mask, rules.fidelity)
    mixed = {v: _mix(v, pasted, _plate(donor, rules, places)) for v, donor in task.donors.items()}
    contents = {names[variant]: _jpeg(pixels) for variant, pixels in (singles | mixed).items()}
    contents[names["fg_mask"]] = _npy(mask)
    return contents


def _scene_batch(
    scene: str, image: UInt8[np.ndarray, "3 h w"], mask: Bool[np.ndarray, "h w"], box: Box, fidelity: Fidelity
) -> SceneBatch:
    """Bring one scene at full resolution into the form that variants are rendered from."""
    photograph = torch.from_numpy(image)
    return SceneBatch(
        ids=(scene,),
        images=photograph[None],
        masks=torch.from_numpy(mask.copy())[None],
        plates=_tile(photograph, box, fidelity)[None],
        boxes=torch.tensor([box]),
    )


def _tile(image: UInt8[Tensor, "3 h w"], box: Box, fidelity: Fidelity) -> UInt8[Tensor, "3 h w"]:
    """Cover the box with tiled background at full resolution."""
    if fidelity == "clean":
        return tile_box(image, box)
    height, width = image.shape[-2:]
    # the generator measures the margins from xmax and ymax, which still lie in the box (both corners are inside)
    x0, y0, x1, y1 = background_strip(without_last(box), height, width)
    canvas = tile(image[:, y0:y1, x0:x1], height, width)
    return composite(canvas, image, box_mask(torch.tensor(box), height, width))


def _pasted(
    singles: Mapping[str, UInt8[Tensor, "3 s s"]], mask: Bool[np.ndarray, "s s"], fidelity: Fidelity
) -> SceneBatch:
    """Give the foreground of the mixed variants: by its mask, or whatever is not black in Only-FG."""
    if fidelity == "paper":
        image = singles["only_fg"]
        alpha = (image != 0).any(dim=0)
    else:
        image, alpha = singles["original"], torch.from_numpy(mask.copy())
    return _square_batch(image, alpha)


def _square_batch(image: UInt8[Tensor, "3 s s"], alpha: Bool[Tensor, "s s"]) -> SceneBatch:
    boxes = torch.tensor([[0, 0, SIZE, SIZE]])  # the mixed variants go by the mask
    return SceneBatch(("",), image[None], alpha[None], image[None], boxes)


def _mix(variant: str, pasted: SceneBatch, plate: UInt8[Tensor, "3 s s"]) -> UInt8[Tensor, "3 s s"]:
    donor = _square_batch(plate, torch.zeros(plate.shape[-2:], dtype=torch.bool))
    return render(VARIANTS[variant], pasted, donor)[0]


def _plate(donor: Candidate, rules: Rules, places: Places) -> UInt8[Tensor, "3 s s"]:
    """Make a donor's Only-BG-T image, without the loss of its JPEG."""
    found = read_judged(donor, places.judged)
    assert found.box is not None, "only accepted scenes lend their background"
    image = torch.from_numpy(read_image(Path(rules.root, donor.file)))
    return _square(_tile(image, found.box, rules.fidelity), rules.fidelity)


def _square(image: UInt8[Tensor, "3 h w"], fidelity: Fidelity) -> UInt8[Tensor, "3 s s"]:
    """Resize and crop to the size of the set."""
    whole = Image.fromarray(np.ascontiguousarray(image.numpy().transpose(1, 2, 0)))
    square = np.array(resize_crop(whole, SIZE, CROP_FRACTION, smooth=fidelity == "clean"))
    return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))


def _jpeg(image: UInt8[Tensor, "3 s s"]) -> bytes:
    content = io.BytesIO()
    encoded = Image.fromarray(np.ascontiguousarray(image.numpy().transpose(1, 2, 0)))
    encoded.save(content, "JPEG", quality=QUALITY, subsampling=SUBSAMPLING)
    return content.getvalue()


def _npy(mask: Bool[np.ndarray, "s s"]) -> bytes:
    content = io.BytesIO()
    np.save(content, mask, allow_pickle=False)
    return content.getvalue()
