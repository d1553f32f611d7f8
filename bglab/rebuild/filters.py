"""The filters that decide which images of ImageNet become scenes of ImageNet-9 (Noise or Signal, Appendix A).

In the order of the authors' generator: the image has exactly one box and the annotated size, the box leaves background
and is mostly within the centre crop, and GrabCut finds a foreground. The authors' manual cleaning cannot be reproduced;
`bglab.images.automatic_cleaning` replaces it. Each result is cached in its own file, so an interrupted run continues
where it stopped.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.files import sha256_of, whole_file
from bglab.images import (
    LEAST_BOX_SHARE,
    LEAST_KEPT_SHARE,
    MOST_CROP_SHARE,
    Box,
    automatic_cleaning,
    box_of,
    crop_shares,
    grab_cut,
    mask_png,
    mask_quality,
    paper_filter,
    read_image,
    resize_crop,
    to_levels,
    upright,
)
from bglab.scenes import Annotation, half_open, read_annotated, read_annotation, read_or_reject
from bglab.sealed import seal, unseal
from bglab.seeding import digest

Fidelity = Literal["paper", "clean"]

#: Number of GrabCut attempts per image: the first and ten retries, as in the authors' generator.
ATTEMPTS = 11
#: Side of the images in pixels, and the fraction of the resized short side that the crop keeps.
SIZE, CROP_FRACTION = 224, 0.875
# incremented whenever a filter decides otherwise about the same image
_VERSION = 2

#: Codes of the reasons why an image is rejected, with their meanings. The reason in a manifest has the details.
CODES = {
    "outside": "its class is none of the 370 of ImageNet-9",
    "other_subclass": "its class is none of the 16 drawn for IN-9LB",
    "duplicate": "another image has its name",
    "test_release": "the test release has an image of that name",
    "no_annotation": "it has no box annotation",
    "annotation_unreadable": "its annotation cannot be read",
    "not_one_box": "its annotation has no box, or several",
    "other_class": "its box is of another class",
    "bad_box": "its box is empty or lies outside the image",
    "picture_unreadable": "it cannot be read",
    "size_mismatch": "its annotation is of another size",
    "box_too_large": f"its box covers more than {MOST_CROP_SHARE:.0%} of the centre crop",
    "box_cropped": f"the centre crop loses more than {1 - LEAST_KEPT_SHARE:.0%} of its box",
    "grabcut_failed": f"GrabCut found less than {LEAST_BOX_SHARE:.0%} of its box in every attempt",
    "mask_off_centre": "its mask misses the centre of the box (in place of cleaning by hand)",
    "mask_scattered": "its mask falls into pieces (in place of cleaning by hand)",
    "mask_cropped": "the centre crop loses its whole mask",
    "balanced_out": "it was accepted, and left out to balance the classes",
    "not_drawn": "its class was full before its turn came",
}


class Candidate(NamedTuple):
    """An image before it is filtered.

    Attributes:
        id: WordNet id and number, from which the file names in the set are made.
        file: Path of the image relative to ImageNet's root folder.
        synset: WordNet id of its class.
        label: ImageNet-9 label, or OUTSIDE.
        annotation: Path of its annotation relative to ImageNet's root folder; "" if it has none.
    """

    id: str
    file: str
    synset: str
    label: int
    annotation: str


class FilterSettings(NamedTuple):
    """Settings of the filters.

    Attributes:
        root: ImageNet's root folder on this machine, on which the results do not depend.
        boxes: Whether a box and a mask are needed; IN-9L and IN-9LB do not need them.
        fidelity: With ``paper``, GrabCut gets the box without its last row and column, as in the authors' generator.
        cleaning: Whether masks are checked by `bglab.images.automatic_cleaning`.
        seed: Seed for GrabCut.
    """

    root: str
    boxes: bool
    fidelity: Fidelity
    cleaning: bool
    seed: int

    @property
    def key(self) -> str:
        """Hexadecimal digest of everything that the results depend on."""
        return digest([*map(str, self[1:]), *map(str, (_VERSION, ATTEMPTS, SIZE, CROP_FRACTION))])


class FilterResult(NamedTuple):
    """Result of the filters for one image; its fields are columns of the manifest.

    Shares are in [0, 1]. Measurements are None if the image was rejected by an earlier filter.

    Attributes:
        id: Id of the candidate.
        code: One of `CODES` if the image was rejected; "" if it was accepted.
        reason: Why this image was rejected, in one sentence; "" if it was accepted.
        box_share: Fraction of the centre crop that the box covers.
        kept_share: Fraction of the box that the centre crop keeps.
        mask_share: Fraction of the box that the mask fills.
        grabcut_seed: Seed of the last GrabCut attempt.
        tries: Number of GrabCut attempts.
        sha256: SHA-256 of the image file; "" if it was not opened.
    """

    id: str
    code: str = ""
    reason: str = ""
    box_share: float | None = None
    kept_share: float | None = None
    mask_share: float | None = None
    grabcut_seed: int | None = None
    tries: int | None = None
    sha256: str = ""


class FilteredImage(NamedTuple):
    """A filter result, with box and mask at full resolution if the image was accepted and the settings need them."""

    result: FilterResult
    box: Box | None = None
    mask: Bool[np.ndarray, "h w"] | None = None


class _Rejected(Exception):  # noqa: N818 - named for what went wrong, as in bglab.errors
    """Raised when an image does not pass a filter."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def filter_image(candidate: Candidate, settings: FilterSettings) -> FilteredImage:
    """Apply all filters to one image, up to the first that rejects it.

    Problems of the image or its annotation are returned as a rejection, never raised.

    Args:
        candidate: Image to filter.
        settings: Settings of the filters.
    """
    result = FilterResult(candidate.id, sha256=_file_sha256(Path(settings.root, candidate.file)))
    try:
        if not settings.boxes:
            _read(Path(settings.root, candidate.file))
            return FilteredImage(result)
        image, box = _read_boxed(candidate, settings)
        height, width = image.shape[-2:]
        crop_share, kept_share = crop_shares(box, width, height, size=SIZE, crop_fraction=CROP_FRACTION)
        result = result._replace(box_share=crop_share, kept_share=kept_share)
        if reason := paper_filter(box, width, height, size=SIZE, crop_fraction=CROP_FRACTION):
            raise _Rejected("box_too_large" if crop_share > MOST_CROP_SHARE else "box_cropped", reason)
        cut_box = without_last(box) if settings.fidelity == "paper" else box
        seed, mask = _cut(image, cut_box, settings.seed)
        result = result._replace(grabcut_seed=seed, tries=seed - settings.seed * ATTEMPTS + 1)
        if mask is None:
            raise _Rejected(
                "grabcut_failed",
                f"none of {ATTEMPTS} attempts of GrabCut found a foreground in at least {LEAST_BOX_SHARE:.0%} of the "
                f"box {cut_box}",
            )
        result = result._replace(mask_share=mask_quality(mask, cut_box).box_share)
        _check_mask(mask, cut_box, settings)
    except _Rejected as rejected:
        # without the root folder the paths in messages, and so the manifest, are the same on every machine
        reason = str(rejected).replace(f"{Path(settings.root)}{os.sep}", "")
        return FilteredImage(result._replace(code=rejected.code, reason=reason))
    return FilteredImage(result, box, mask)


def without_last(box: Box) -> Box:
    """Remove the last row and column of a box, since the generator's rectangle is ``xmax - xmin`` wide."""
    x0, y0, x1, y1 = box
    return (x0, y0, x1 - 1, y1 - 1)


def _read_boxed(candidate: Candidate, settings: FilterSettings) -> tuple[UInt8[np.ndarray, "3 h w"], Box]:
    """Read an image, upright, and its only box."""
    annotation = _read_annotation(candidate, settings)
    file = Path(settings.root, candidate.file)
    _read(file)  # before the annotation is applied, so that a broken image is not reported as one of another size
    try:
        image, inside = read_annotated(file, annotation, candidate.synset, first=0)
    except BadInput as problem:
        raise _Rejected("size_mismatch", str(problem)) from None
    box = box_of(inside)
    cut_box = without_last(box) if settings.fidelity == "paper" else box
    if cut_box[0] >= cut_box[2] or cut_box[1] >= cut_box[3]:
        raise _Rejected("bad_box", f"expected a box of some pixels in {annotation.file}, got {box}; correct it")
    return to_levels(image), box


def _read_annotation(candidate: Candidate, settings: FilterSettings) -> Annotation:
    """Read an annotation and check that it has exactly one box, of the image's class and within the image."""
    file, image = Path(settings.root, candidate.annotation), Path(settings.root, candidate.file)
    annotation = read_or_reject(lambda: read_annotation(file, image), [file])
    if isinstance(annotation, BadInput):
        raise _Rejected("annotation_unreadable", str(annotation))
    count = len(annotation.objects) + len(annotation.unusable)
    if count != 1:
        raise _Rejected("not_one_box", f"expected exactly one box in {annotation.file}, got {count}")
    if annotation.unusable:
        raise _Rejected("bad_box", annotation.unusable[0][1])
    found = annotation.objects[0]
    if found.name != candidate.synset:
        raise _Rejected("other_class", f"expected a box of {candidate.synset} in {annotation.file}, got {found.name}")
    x0, y0, x1, y1 = half_open(found.corners, 0, annotation.width, annotation.height)
    if x0 >= x1 or y0 >= y1:
        raise _Rejected("bad_box", f"expected a box within the image in {annotation.file}, got {found.corners}")
    return annotation


def _read(file: Path) -> UInt8[np.ndarray, "3 h w"]:
    image = read_or_reject(lambda: read_image(file), [file])
    if isinstance(image, BadInput):
        raise _Rejected("picture_unreadable", str(image))
    return image


def _cut(image: UInt8[np.ndarray, "3 h w"], box: Box, seed: int) -> tuple[int, Bool[np.ndarray, "h w"] | None]:
    """Run GrabCut with one seed after another; return the last seed, and the mask or None if all attempts fail."""
    first = seed * ATTEMPTS
    for attempt in range(first, first + ATTEMPTS):
        try:
            return attempt, grab_cut(image, box, seed=attempt, retries=0)
        except BadInput:
            continue
    return first + ATTEMPTS - 1, None


def _check_mask(mask: Bool[np.ndarray, "h w"], box: Box, settings: FilterSettings) -> None:
    """Reject a mask that automatic cleaning removes or that lies outside the centre crop."""
    if settings.cleaning and (reason := automatic_cleaning(mask, box)):
        off_centre = not mask_quality(mask, box).touches_box_centre
        raise _Rejected("mask_off_centre" if off_centre else "mask_scattered", reason)
    if not crop_mask(mask).any():
        raise _Rejected(
            "mask_cropped", "expected some foreground within the centre crop, but the whole mask is outside"
        )


def crop_mask(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "s s"]:
    """Resize and crop a mask to the size of the set by nearest pixel."""
    return np.asarray(resize_crop(Image.fromarray(mask), SIZE, CROP_FRACTION, smooth=False))


def filter_cached(candidate: Candidate, settings: FilterSettings, folder: Path) -> FilterResult:
    """Filter an image, or load the cached result if its files have not changed since.

    Args:
        candidate: Image to filter.
        settings: Settings of the filters.
        folder: Cache folder for results with these settings.
    """
    record = _record_file(candidate, folder)
    stamp = _stamp(candidate, settings)
    cached = _read_record(record)
    if cached is not None and cached["stamp"] == stamp:
        return FilterResult(**cached["verdict"])
    filtered = filter_image(candidate, settings)
    content = {
        "stamp": stamp,
        "verdict": filtered.result._asdict(),
        "box": filtered.box,
        "mask": None if filtered.mask is None else base64.b64encode(mask_png(filtered.mask)).decode(),
    }
    write_atomically(record, json.dumps(seal(content)).encode())
    return filtered.result


def read_filtered(candidate: Candidate, folder: Path) -> FilteredImage:
    """Load what `filter_cached` has cached for an image.

    Raises:
        BadInput: If the cached file is gone.
    """
    record = _record_file(candidate, folder)
    cached = _read_record(record)
    if cached is None:
        raise BadInput(
            f"expected the filter result of {candidate.file} in {record}, but it is gone; run the command again"
        )
    if cached["mask"] is None:
        return FilteredImage(FilterResult(**cached["verdict"]))
    with upright(base64.b64decode(cached["mask"])) as image:
        return FilteredImage(FilterResult(**cached["verdict"]), tuple(cached["box"]), np.asarray(image))


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file that appears only when it is complete.

    Raises:
        BadInput: If it cannot be written.
    """
    remedy = "free some space or choose another folder, and run the same command again to continue"
    with whole_file(file, what="a part of the set", remedy=remedy) as opened:
        opened.write(content)


def _record_file(candidate: Candidate, folder: Path) -> Path:
    return folder / candidate.synset / f"{candidate.id}.json"


def _read_record(record: Path) -> dict | None:
    """Read a cached result; None if there is none, or it is not as it was written."""
    try:
        return unseal(json.loads(record.read_bytes()), required=True)
    except (OSError, ValueError):
        return None


def _stamp(candidate: Candidate, settings: FilterSettings) -> list[int]:
    """List sizes and modification times of an image's files, so that a changed image is filtered again."""
    stamp: list[int] = []
    for name in (candidate.file, candidate.annotation if settings.boxes else ""):
        file = Path(settings.root, name)
        if name and file.exists():
            status = file.stat()
            stamp += [status.st_size, status.st_mtime_ns]
    return stamp


def _file_sha256(file: Path) -> str:
    """Compute the SHA-256 of a file; "" if it cannot be opened, which is reported when it is read."""
    try:
        return sha256_of(file)
    except OSError:
        return ""
