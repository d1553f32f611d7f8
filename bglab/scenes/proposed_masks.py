"""Proposing masks for a folder of images without any: by GrabCut, or by networks of rembg."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.images import (
    IMAGE_SUFFIXES,
    MASK_SUFFIXES,
    Box,
    ellipse_mask,
    from_levels,
    grab_cut,
    mask_png,
    read_image,
    to_levels,
    upright,
)
from bglab.parallel import thread_map
from bglab.progress import Bar
from bglab.scenes.scene import Rejection, SceneRecord, SceneSet
from bglab.scenes.sources._folder_tables import read_boxes
from bglab.scenes.sources._folders import check_mask, empty_file, find_folder
from bglab.scenes.sources._image_files import ImageFiles, by_scene, scene_name
from bglab.scenes.sources.folder import image_files

#: Longest side of the image that GrabCut works on, which takes seconds at this size and minutes at a camera's.
_WORK_PX = 1024
#: Where an object is looked for if there is no box: everywhere but in this margin, as a fraction of each side, and
#: certainly in the ellipse that covers this fraction of each side. Of the pairs tried these have the highest mean IoU
#: with masks of the release of Noise or Signal, and GrabCut always finds something.
_MARGIN, _CENTRE = 0.02, 0.3
_REMEDY = "give the folder that holds images/"

#: Function that proposes the mask of an image, from the box around its object if there is one.
Propose = Callable[[UInt8[np.ndarray, "3 h w"], Box | None], Bool[np.ndarray, "h w"]]


class ProposedMasks(NamedTuple):
    """What `propose_masks` did.

    Attributes:
        folder: Folder of the masks.
        written: Masks that were written.
        kept: Masks that were there already.
        failed: Images that have none, with reasons.
        notices: Anything unusual about ``boxes.csv``, one sentence each.
    """

    folder: Path
    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    failed: tuple[Rejection, ...]
    notices: tuple[str, ...]

    @property
    def text(self) -> str:
        """Summarise the counts in one line.

        Example:
            >>> ProposedMasks(Path("masks"), (Path("a.png"),), (), (), ()).text
            'masks: 1 written, 0 there already, 0 images without'
        """
        return (
            f"{self.folder}: {len(self.written):,} written, {len(self.kept):,} there already, "
            f"{len(self.failed):,} images without"
        )


class _Proposer(NamedTuple):
    """A method: a function that opens it with a seed, and whether threads may share it."""

    open: Callable[[int], Propose]
    is_threaded: bool


def _open_grab_cut(seed: int) -> Propose:
    def propose(image: UInt8[np.ndarray, "3 h w"], box: Box | None) -> Bool[np.ndarray, "h w"]:
        height, width = image.shape[-2:]
        scale = min(_WORK_PX / max(width, height), 1.0)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        levels = to_levels(from_levels(image).resize(size, Image.Resampling.BOX))
        if box is None:
            hint = ellipse_mask(_centred(*size, (1 - _CENTRE) / 2), size[1], size[0])
            mask = grab_cut(levels, central_box(*size), seed=seed, foreground_hint=hint)
        else:
            x0, y0, x1, y1 = (round(value * scale) for value in box)
            mask = grab_cut(levels, (x0, y0, x1, y1), seed=seed)
        return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))

    return propose


def central_box(width: int, height: int) -> Box:
    """Return the box in which an object is looked for if nothing else is known: all but a margin of 2 %.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Example:
        >>> central_box(200, 100)
        (4, 2, 196, 98)
    """
    return _centred(width, height, _MARGIN)


def _centred(width: int, height: int, margin: float) -> Box:
    """Return the box that leaves a margin, given as a fraction of each side, of at least a pixel."""
    x, y = max(round(margin * width), 1), max(round(margin * height), 1)
    return (x, y, width - x, height - y)


def _open_rembg(name: str, _seed: int) -> Propose:
    """Open a network of rembg, which downloads its weights when it is used for the first time."""
    try:
        rembg = importlib.import_module("rembg")
    except (ImportError, SystemExit) as problem:  # it exits if it finds no onnxruntime
        raise MissingData(f"expected the package rembg, but {problem}; pip install 'bglab[rembg]'") from None
    try:
        session = rembg.new_session(name)
    except Exception as problem:  # noqa: BLE001 - whatever a failed download or a damaged file raises
        raise MissingData(
            f"expected the weights of rembg's network {name}, but {problem}; rembg downloads them on first use, so "
            "connect to the network once"
        ) from None

    def propose(image: UInt8[np.ndarray, "3 h w"], box: Box | None) -> Bool[np.ndarray, "h w"]:
        height, width = image.shape[-2:]
        x0, y0, x1, y1 = box or (0, 0, width, height)
        options: dict[str, Any] = {}
        if name == "sam":
            corners = list(box or central_box(width, height))
            options["sam_prompt"] = [{"type": "rectangle", "data": corners, "label": 1}]
        try:
            levels = rembg.remove(from_levels(image), session=session, only_mask=True, **options)
        except Exception as problem:  # noqa: BLE001 - one image must not stop the others
            raise BadInput(f"expected a mask from rembg's network {name}, but {problem}; draw it by hand") from None
        inside = np.zeros((height, width), dtype=bool)
        inside[y0:y1, x0:x1] = True
        return inside & (np.asarray(levels.convert("L")) > 127)

    return propose


#: Methods by name. To add one, add a row.
PROPOSERS: Catalogue[_Proposer] = Catalogue(
    "method",
    {
        "grabcut": _Proposer(_open_grab_cut, is_threaded=True),
        "rembg": _Proposer(functools.partial(_open_rembg, "u2net"), is_threaded=False),
        "sam": _Proposer(functools.partial(_open_rembg, "sam"), is_threaded=False),
    },
)


def propose_masks(
    path: Path | str,
    *,
    method: str = "grabcut",
    out: Path | str = "masks",
    seed: int = 0,
    force: bool = False,
    progress: bool = True,
) -> ProposedMasks:
    """Propose a mask for each image of a folder that has none; look at them, since some will be wrong.

    The layout is that of ``folder:PATH``. The object of an image is looked for in its box in ``boxes.csv``, or else
    around the centre, anywhere but in a margin of 2 % of each side. Each mask is written as a whole file with the name
    of its image, so an interrupted run continues where it stopped.

    Args:
        path: Folder that contains ``images``.
        method: ``grabcut``; ``rembg`` for the network U²-Net, which needs no box; ``sam`` for Segment Anything. The
            last two need ``pip install 'bglab[rembg]'`` and download their weights on first use.
        out: Folder of the masks, relative to ``path``. ``folder:PATH`` reads ``masks``.
        seed: Seed for GrabCut.
        force: Whether to replace masks that are there already.
        progress: Whether to show a progress bar.

    Raises:
        MissingData: If there is no such folder, or the method is not installed.
        BadInput: If there are no images, ``boxes.csv`` is no table, or a mask cannot be written.
        UnknownName: If there is no such method.
    """
    proposer = PROPOSERS[method]
    root = find_folder(str(path).removeprefix("folder:"), "folder", _REMEDY)
    folder = Path(os.path.abspath(root / Path(out).expanduser()))  # noqa: PTH100 - resolve() follows links
    files = image_files(root)
    images = [file for file in files.images if folder not in file.parents]
    if not images:
        raise BadInput(f"expected images in {files.folder}, got none; {_REMEDY}")
    boxes = read_boxes(root / "boxes.csv", files)
    present = by_scene(ImageFiles(folder, IMAGE_SUFFIXES | MASK_SUFFIXES))
    wanted: dict[str, Path] = {}
    kept: list[Path] = []
    failed = [*boxes.rejected]
    for image in images:
        name = scene_name(files.folder, image)
        if name in wanted:
            reason = f"expected one image named {name}, but {wanted[name]} has that name too; rename one"
            failed.append(Rejection(name, str(image), reason))
        elif (there := [mask for mask in present.get(name, []) if not force or mask.suffix != ".png"]) and not force:
            kept += there[:1]
        elif there:
            reason = f"expected no other mask than {name}.png to replace, got {there[0]}; remove it first"
            failed.append(Rejection(name, str(image), reason))
        elif problem := boxes.problems.get(image) or empty_file(image):
            failed.append(Rejection(name, str(image), problem))
        else:
            wanted[name] = image
    written: list[Path] = []
    for name, outcome in _outcomes(proposer, wanted, boxes.boxes, seed, f"proposing masks by {method}", progress):
        if isinstance(outcome, BadInput):
            failed.append(Rejection(name, str(wanted[name]), str(outcome)))
        else:
            written.append(write_mask(folder / f"{name}.png", outcome))
    return ProposedMasks(folder, tuple(written), tuple(kept), tuple(failed), tuple(boxes.notices))


def _outcomes(
    proposer: _Proposer,
    wanted: dict[str, Path],
    boxes: dict[Path, Box],
    seed: int,
    title: str,
    progress: bool,  # noqa: FBT001 - private
) -> Iterator[tuple[str, Bool[np.ndarray, "h w"] | BadInput]]:
    """Propose masks in order; an image without one yields the exception that says why."""
    if not wanted:
        return
    propose = proposer.open(seed)

    def attempt(file: Path) -> Bool[np.ndarray, "h w"] | BadInput:
        try:
            image = read_image(file)
            mask = propose(image, boxes.get(file))
            check_mask(mask, (image.shape[2], image.shape[1]), file)
        except BadInput as problem:
            return problem
        return mask

    workers = min(8, os.cpu_count() or 1) if proposer.is_threaded else 1
    outcomes = thread_map(attempt, wanted.values(), workers=workers, pending=2 * workers, name="bglab-propose")
    bar = Bar(zip(wanted, outcomes, strict=True), total=len(wanted), desc=title, unit="image", disable=not progress)
    yield from bar


def write_mask(file: Path, mask: Bool[np.ndarray, "h w"]) -> Path:
    """Write a mask as a PNG, whole or not at all; return its path.

    Raises:
        BadInput: If it cannot be written.
    """
    remedy = "free some space or choose another folder, and run the same command again to continue"
    with whole_file(file, what="a mask", remedy=remedy) as opened:
        opened.write(mask_png(mask))
    return file


def mask_file(scenes: SceneSet, record: SceneRecord) -> Path:
    """Return the file in ``masks`` from which ``folder:PATH`` reads the mask of a scene, or would read it.

    Args:
        scenes: Scenes of a ``folder:`` set.
        record: Record of the scene.

    Raises:
        BadInput: If the set is another one, or the mask is in a file that holds more than it.
    """
    scheme, _, rest = scenes.uri.partition(":")
    root = Path(os.path.abspath(Path(rest.partition("?")[0]).expanduser()))  # noqa: PTH100 - resolve() follows links
    if scheme != "folder" or root not in record.files[0].parents:
        raise BadInput(f"expected a set that stores masks, as folder:PATH does, got {scenes.name}; give a path")
    there = record.files[1] if len(record.files) > 1 else None
    if there is None:
        return root / "masks" / f"{record.id}.png"
    if there.suffix.lower() != ".png" or not _is_binary(there):
        raise BadInput(
            f"expected the mask of {record.id} in a PNG of two levels, got {there}, which holds more; give a path, or "
            f"move it away and save to {root / 'masks' / record.id}.png"
        )
    return there


def _is_binary(file: Path) -> bool:
    """Return whether an image has at most two grey levels, so that a mask can replace it without loss."""
    try:
        with upright(file) as image:
            return len(image.getbands()) == 1 and len(np.unique(np.asarray(image))) <= 2
    except BadInput:
        return True  # it is broken, or gone
