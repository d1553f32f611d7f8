"""Which images of ImageNet can become scenes of ImageNet-9: the authors' filters, one image at a time.

Noise or Signal, Appendix A, in the order of the authors' generator: exactly one box, sizes that agree, a box that
leaves background and survives the centre crop, a GrabCut that finds something. Cleaning by hand cannot be repeated;
an automatic one stands in its place. Every verdict is kept in a file of its own, so that a run that is killed goes
on where it was.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.files import whole_file
from bglab.images import (
    LEAST_BOX_SHARE,
    LEAST_KEPT_SHARE,
    MOST_CROP_SHARE,
    Box,
    automatic_cleaning,
    box_of,
    grab_cut,
    mask_quality,
    paper_filter,
    read_image,
    resize_crop,
)
from bglab.scenes import Annotation, half_open, read_annotated, read_annotation
from bglab.seeding import digest

Fidelity = Literal["paper", "clean"]

#: Attempts of GrabCut at one image: the first and ten more, as in the authors' generator.
ATTEMPTS = 11
#: Side of the images in pixels, and the part of the resized short side that the crop keeps.
SIZE, CROP_FRACTION = 224, 0.875

#: Why an image takes no part: code → what it means. The reason in a manifest says it of the very image.
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
    """An image before it is judged.

    Attributes:
        id: As the set's file names will say it: WordNet id and number.
        file: Of the image, relative to ImageNet's folder.
        synset: WordNet id of its class.
        label: One of the nine, or OUTSIDE.
        annotation: Its XML, relative to ImageNet's folder; "" if it has none.
    """

    id: str
    file: str
    synset: str
    label: int
    annotation: str


class Rules(NamedTuple):
    """How images are judged; equal rules give equal verdicts.

    Attributes:
        root: ImageNet's folder on this machine (no part of what defines a verdict).
        boxes: Whether a box and a mask are needed; IN-9L and IN-9LB need none.
        fidelity: ``paper`` hands GrabCut the box without its last row and column, as the generator does.
        cleaning: Whether masks are cleaned automatically.
        seed: Of GrabCut.
    """

    root: str
    boxes: bool
    fidelity: Fidelity
    cleaning: bool
    seed: int

    @property
    def key(self) -> str:
        """Digest of what defines a verdict."""
        return digest([*map(str, self[1:]), *map(str, (ATTEMPTS, SIZE, CROP_FRACTION))])


class Verdict(NamedTuple):
    """What came out for one image; a column of the manifest each. Shares lie in [0, 1].

    Attributes:
        id: Of the candidate.
        code: Why it was rejected, one of `CODES`; "" if it was accepted.
        reason: The same as a sentence about this image.
        box_share: Share of the centre crop that the box covers; None if it did not come to that, as below.
        kept_share: Share of the box that the centre crop keeps.
        mask_share: Share of the box that the mask fills.
        grabcut_seed: Seed of the last attempt.
        tries: Attempts made.
        sha256: Of the image's file; "" if it was never opened.
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


class Judged(NamedTuple):
    """A verdict, with box and mask at full size where the image was accepted and the rules need them."""

    verdict: Verdict
    box: Box | None = None
    mask: Bool[np.ndarray, "h w"] | None = None


class _Refusal(Exception):  # noqa: N818 - named for what happened, as the project's errors are
    """An image fails a filter."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def judge(candidate: Candidate, rules: Rules) -> Judged:
    """Judge one image.

    Args:
        candidate: The image.
        rules: How.
    """
    verdict = Verdict(candidate.id, sha256=_file_sha256(Path(rules.root, candidate.file)))
    try:
        if not rules.boxes:
            _read(Path(rules.root, candidate.file))
            return Judged(verdict)
        image, box = _read_boxed(candidate, rules)
        height, width = image.shape[-2:]
        crop_share, kept_share = crop_shares(box, width, height)
        verdict = verdict._replace(box_share=crop_share, kept_share=kept_share)
        if reason := paper_filter(box, width, height, size=SIZE, crop_fraction=CROP_FRACTION):
            raise _Refusal("box_too_large" if crop_share > MOST_CROP_SHARE else "box_cropped", reason)
        cut_box = without_last(box) if rules.fidelity == "paper" else box
        seed, mask = _cut(image, cut_box, rules.seed)
        verdict = verdict._replace(grabcut_seed=seed, tries=seed - rules.seed * ATTEMPTS + 1)
        if mask is None:
            raise _Refusal(
                "grabcut_failed",
                f"GrabCut found a foreground in at least {LEAST_BOX_SHARE:.0%} of the box {cut_box} in none of "
                f"{ATTEMPTS} attempts",
            )
        verdict = verdict._replace(mask_share=mask_quality(mask, cut_box).box_share)
        _check_mask(mask, cut_box, rules)
    except _Refusal as refusal:
        # sentences name files; without this machine's folder they are the same everywhere
        reason = str(refusal).replace(f"{Path(rules.root)}{os.sep}", "")
        return Judged(verdict._replace(code=refusal.code, reason=reason))
    return Judged(verdict, box, mask)


def without_last(box: Box) -> Box:
    """Take the last row and column off a box: the generator's rectangle is ``xmax - xmin`` wide."""
    x0, y0, x1, y1 = box
    return (x0, y0, x1 - 1, y1 - 1)


def crop_shares(box: Box, width: int, height: int) -> tuple[float, float]:
    """Give the share of the centre crop that a box covers, and the share of the box that the crop keeps.

    Both are counted in pixels after a nearest-pixel resize, as `masks.paper_filter` counts them.

    Example:
        >>> crop_shares((0, 0, 500, 500), 500, 500)
        (1.0, 0.765625)
    """
    marked = Image.new("L", (width, height))
    marked.paste(255, box)
    kept = int(np.count_nonzero(np.asarray(resize_crop(marked, SIZE, CROP_FRACTION, smooth=False))))
    scale = SIZE / CROP_FRACTION / min(width, height)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return kept / SIZE**2, min(1.0, kept / (area * scale**2))


def _read_boxed(candidate: Candidate, rules: Rules) -> tuple[UInt8[np.ndarray, "3 h w"], Box]:
    """Read an image and its one box, the right way up."""
    annotation = _read_annotation(candidate, rules)
    file = Path(rules.root, candidate.file)
    _read(file)  # first, so that a broken image is not taken for one of another size
    try:
        image, inside = read_annotated(file, annotation, candidate.synset, first=0)
    except BadInput as problem:
        raise _Refusal("size_mismatch", str(problem)) from None
    box = box_of(inside)
    cut_box = without_last(box) if rules.fidelity == "paper" else box
    if cut_box[0] >= cut_box[2] or cut_box[1] >= cut_box[3]:
        raise _Refusal("bad_box", f"expected a box of some pixels in {annotation.file}, got {box}; mend it")
    return image, box


def _read_annotation(candidate: Candidate, rules: Rules) -> Annotation:
    """Read an annotation that has one box of the image's class within the image."""
    try:
        annotation = read_annotation(Path(rules.root, candidate.annotation))
    except BadInput as problem:
        raise _Refusal("annotation_unreadable", str(problem)) from None
    if len(annotation.objects) != 1:
        raise _Refusal("not_one_box", f"expected exactly one box in {annotation.file}, got {len(annotation.objects)}")
    found = annotation.objects[0]
    if found.name != candidate.synset:
        raise _Refusal("other_class", f"expected a box of {candidate.synset} in {annotation.file}, got {found.name}")
    x0, y0, x1, y1 = half_open(found.corners, 0, annotation.width, annotation.height)
    if x0 >= x1 or y0 >= y1:
        raise _Refusal("bad_box", f"expected a box within the image in {annotation.file}, got {found.corners}")
    return annotation


def _read(file: Path) -> UInt8[np.ndarray, "3 h w"]:
    try:
        return read_image(file)
    except BadInput as problem:
        raise _Refusal("picture_unreadable", str(problem)) from None


def _cut(image: UInt8[np.ndarray, "3 h w"], box: Box, seed: int) -> tuple[int, Bool[np.ndarray, "h w"] | None]:
    """Cut the foreground out, one attempt a seed; give the last seed, and None if every attempt fails."""
    first = seed * ATTEMPTS
    for attempt in range(first, first + ATTEMPTS):
        try:
            return attempt, grab_cut(image, box, seed=attempt, retries=0)
        except BadInput:
            continue
    return first + ATTEMPTS - 1, None


def _check_mask(mask: Bool[np.ndarray, "h w"], box: Box, rules: Rules) -> None:
    """Refuse a mask that cleaning would remove, or that the centre crop loses."""
    if rules.cleaning and (reason := automatic_cleaning(mask, box)):
        off_centre = not mask_quality(mask, box).touches_box_centre
        raise _Refusal("mask_off_centre" if off_centre else "mask_scattered", reason)
    if not crop_mask(mask).any():
        raise _Refusal("mask_cropped", "expected some foreground within the centre crop, but it loses the whole mask")


def crop_mask(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "s s"]:
    """Bring a mask to the size of the set, by nearest pixel."""
    return np.asarray(resize_crop(Image.fromarray(mask), SIZE, CROP_FRACTION, smooth=False))


def judge_kept(candidate: Candidate, rules: Rules, folder: Path) -> Verdict:
    """Judge an image, or read the verdict of an earlier run if its files have not changed since.

    Args:
        candidate: The image.
        rules: How.
        folder: Where verdicts under these rules are kept.
    """
    record = _record_file(candidate, folder)
    stamp = _stamp(candidate, rules)
    kept = _read_record(record)
    if kept is not None and kept["stamp"] == stamp:
        return Verdict(**kept["verdict"])
    judged = judge(candidate, rules)
    content = {
        "stamp": stamp,
        "verdict": judged.verdict._asdict(),
        "box": judged.box,
        "mask": None if judged.mask is None else base64.b64encode(mask_png(judged.mask)).decode(),
    }
    write_whole(record, json.dumps(content).encode())
    return judged.verdict


def read_judged(candidate: Candidate, folder: Path) -> Judged:
    """Read what `judge_kept` kept of an accepted image.

    Raises:
        BadInput: If it is not there any more.
    """
    record = _record_file(candidate, folder)
    kept = _read_record(record)
    if kept is None:
        raise BadInput(f"expected the verdict on {candidate.file} in {record}, but it is gone; run the command again")
    if kept["mask"] is None:
        return Judged(Verdict(**kept["verdict"]))
    with Image.open(io.BytesIO(base64.b64decode(kept["mask"]))) as image:
        return Judged(Verdict(**kept["verdict"]), tuple(kept["box"]), np.asarray(image))


def mask_png(mask: Bool[np.ndarray, "h w"]) -> bytes:
    """Store a mask without loss in one bit a pixel."""
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "PNG", optimize=True)
    return content.getvalue()


def write_whole(file: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        BadInput: If it cannot be written.
    """
    remedy = "free some space or choose another folder, and run the same command again: what is finished is kept"
    with whole_file(file, what="a part of the set", remedy=remedy) as opened:
        opened.write(content)


def _record_file(candidate: Candidate, folder: Path) -> Path:
    return folder / candidate.synset / f"{candidate.id}.json"


def _read_record(record: Path) -> dict | None:
    try:
        return json.loads(record.read_bytes())
    except (OSError, ValueError):
        return None


def _stamp(candidate: Candidate, rules: Rules) -> list[int]:
    """Give sizes and modification times of an image's files: one that was changed is judged again."""
    stamp: list[int] = []
    for name in (candidate.file, candidate.annotation if rules.boxes else ""):
        file = Path(rules.root, name)
        if name and file.exists():
            status = file.stat()
            stamp += [status.st_size, status.st_mtime_ns]
    return stamp


def _file_sha256(file: Path) -> str:
    """Hash a file; "" if it cannot be opened, which reading it will put into words."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""
