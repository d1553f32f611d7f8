"""Reading foreground masks from images, ``.npy`` arrays and COCO's JSON, whichever way they mark the foreground.

What a file means is decided by its content, by the rules in `read_mask`. A file that two rules would read differently
is refused by name, since a wrong mask looks like a right one in every table.
"""

from __future__ import annotations

import math
import tokenize
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Integer, Shaped, UInt8
from PIL import Image

from bglab.errors import BadInput, brief, check_environment
from bglab.files import check_regular
from bglab.images.coco import read_coco_mask
from bglab.images.io import upright
from bglab.images.limits import MOST_PIXELS

#: File extensions of masks that are no images.
MASK_SUFFIXES = frozenset({".npy", ".json"})

#: Number that label maps reserve for undecided pixels, such as the rims of PASCAL VOC; it is no foreground.
UNDECIDED = 255
_VOC_UNDECIDED = (224, 224, 192)

#: Largest difference between the channels of a pixel that counts as grey.
_GREY_SPREAD = 8
#: Largest number of classes or instances of a label map.
_MOST_NUMBERS = 64
#: Smallest share of even pixels among the intermediate levels that makes them areas of their own and not soft edges.
_EVEN_SHARE = 0.25
#: Levels from the first to below the second are neither black nor white, even with the noise of compression.
_MIDDLE = (32, 224)

#: Formats that are usually compressed with losses.
_LOSSY = frozenset({"AVIF", "HEIF", "JPEG", "MPO", "WEBP"})

#: Values that are examined at a time.
_ROWS_PX = 2**22
#: Bytes of the longest number of NumPy.
_LONGEST_NUMBER = 32

#: What NumPy raises for a damaged header, whose text it evaluates.
_UNREADABLE = (OSError, ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)

_REMEDY = "save the object in white (255) on black (0), or as a boolean .npy array"


def read_mask(path: Path, size: tuple[int, int] | None = None) -> Bool[np.ndarray, "h w"]:
    """Read a foreground mask.

    Images are turned upright by their EXIF orientation, then read by the first rule that applies:

    - *Transparency* that is in part below and in part above one half: where the visible pixels are black and white,
      the white ones are foreground; otherwise, all visible pixels are. Opaque black with transparent white is refused.
    - *Palettes and colours*: label maps. Index 0, or black, is background; index 255, or PASCAL VOC's
      (224, 224, 192), is undecided and not foreground; everything else is foreground. Colours that are all grey
      are read as grey levels.
    - *Two grey levels*: if one is 0, or they are dark and bright, the brighter one is foreground: {0, 1}, {0, 255}.
    - *Soft edges*: the levels in between occur along edges only, and the foreground is what is brighter than
      half of the maximum. JPEG, WebP, AVIF and HEIF, which are compressed with losses, are always read so.
    - *Numbers*: otherwise grey levels are the numbers of classes or instances: 0 is background, 255 is undecided and
      not foreground. Beside 255 they must be below 128, since {0, 128, 255} is a trimap, and 255 must be a rim around
      them, since it is the object itself where they are stray pixels.

    Arrays in ``.npy`` files are boolean; or floats in [0, 1], of which those above 0.5 are foreground; or integers,
    which are read as grey levels, or as numbers if they exceed 255. JSON files are described in
    `bglab.images.coco.read_coco_mask`.

    Args:
        path: Image, ``.npy`` or ``.json`` file.
        size: Width and height of the image of the mask in pixels, which polygons in JSON need.

    Raises:
        BadInput: If the file cannot be read, does not hold one two-dimensional mask, or no rule applies.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        mask = read_coco_mask(path, size)
    elif suffix == ".npy":
        mask = _from_array(_load(path), path)
    else:
        with upright(path) as image:
            mask = _from_image(image, path)
    return np.ascontiguousarray(mask)


def _load(path: Path) -> Shaped[np.ndarray, "h w"]:
    check_regular(path, "a mask")
    try:
        _check_header(path)
        array = np.load(path, allow_pickle=False)
    except _UNREADABLE as problem:
        if isinstance(problem, BadInput):
            raise
        check_environment(path, problem)
        raise BadInput(f"expected a mask in {path}, but reading it failed ({brief(problem)}); rebuild it") from None
    array = np.squeeze(array)
    if array.ndim != 2:
        raise BadInput(f"expected a mask of two dimensions in {path}, got shape {array.shape}; rebuild it")
    return array


def _check_header(path: Path) -> None:
    """Compare the shape that a ``.npy`` file declares with the limits and with the size of the file.

    Raises:
        BadInput: If it is too large.
        ValueError: If the file is shorter; the header may also raise what `_UNREADABLE` lists.
    """
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            is_first = version == (1, 0)
            shape, _, dtype = (
                np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
            )(file)
        except ValueError:
            return  # np.load says what is wrong
        left = path.stat().st_size - file.tell()
    count = math.prod(shape)
    if count > MOST_PIXELS:
        raise BadInput(
            f"expected a mask of at most {MOST_PIXELS / 1e6:.0f} megapixels in {path}, got shape {shape}; scale it down"
        )
    if dtype.itemsize > _LONGEST_NUMBER or count * dtype.itemsize > left:
        raise ValueError(f"its {left} bytes are no {count} numbers of {dtype}")


def _from_array(array: Shaped[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    if array.dtype == bool:
        levels = array.view(np.uint8)
        # some programs write 255 for true; a damaged byte makes a third level
        if len(np.unique(levels[levels > 0])) > 1:
            raise BadInput(f"expected booleans in {path}, but some are neither true nor false; restore or rebuild it")
        return levels > 0
    if array.size == 0:
        return array.astype(bool)
    kind = array.dtype.kind
    if kind not in "iuf":
        raise BadInput(f"expected booleans or numbers in {path}, got {array.dtype}; save the mask as booleans")
    low, high = array.min(), array.max()
    if kind == "f":
        if not (np.isfinite(array).all() and low >= 0 and high <= 1):
            raise BadInput(
                f"expected floats from 0 to 1 in {path}, got {low:g} to {high:g}; scale them, or save booleans"
            )
        return array > 0.5
    if low < 0:
        raise BadInput(f"expected integers of at least 0 in {path}, got {low}; save the mask as booleans")
    return _from_integers(array, path)


def _from_integers(array: Integer[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    """Read integers of any size: as grey levels up to 255, as soft edges of 16 bits, or as numbers."""
    high = int(array.max())
    if high <= 255:
        return _from_levels(array.astype(np.uint8), path)
    found = _unique(array)
    if found[0] == 0 and (len(found) == 2 or _even_numbers(array, found[1:])):
        return (array != 0) & (array != UNDECIDED)
    if 128 * 257 <= high <= 65535:
        return _from_levels((array / 257).round().astype(np.uint8), path)
    raise _ambiguous(path, f"{len(found)} numbers from {found[0]} to {high}")


def _from_image(image: Image.Image, path: Path) -> Bool[np.ndarray, "h w"]:
    alpha = _telling_alpha(image)
    if alpha is not None:
        return _from_transparency(image, alpha, path)
    if image.mode == "F":
        return _from_array(np.asarray(image), path)
    if image.mode.startswith("I"):
        return _from_array(np.asarray(image), path)
    if image.mode in {"P", "PA"}:
        return _from_palette(image, path)
    if image.mode in {"1", "L", "LA", "La"}:
        return _from_grey(image, path)
    colours = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    if _are_grey(colours):
        return _from_grey(image, path)
    return _from_colours(colours, path)


def _telling_alpha(image: Image.Image) -> Bool[np.ndarray, "h w"] | None:
    """Return where the image is visible; None if it is visible, or transparent, everywhere."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return None
    visible = np.asarray(image.convert("RGBA").getchannel("A")) > 127
    return visible if visible.any() and not visible.all() else None


def _from_transparency(image: Image.Image, visible: Bool[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    """Combine transparency with black and white where both are there; photographs and label maps have other levels."""
    colours = np.asarray(image.convert("RGBA").convert("RGB"))
    shown = colours[visible]
    bright = shown.max(axis=-1) > 127
    low, high = _MIDDLE
    are_levels_plain = (np.ptp(shown, axis=-1) <= _GREY_SPREAD) & ((shown[:, 0] < low) | (shown[:, 0] >= high))
    if are_levels_plain.mean() > 0.95 and bright.any() and not bright.all():
        return visible & (colours.max(axis=-1) > 127)
    if shown.max() < low and colours[~visible].min() >= high:
        raise _ambiguous(path, "black where it is opaque and white where it is transparent")
    return visible


def _from_palette(image: Image.Image, path: Path) -> Bool[np.ndarray, "h w"]:
    """Read a palette's indices as numbers, unless its colours are grey levels."""
    indices = np.asarray(image if image.mode == "P" else image.getchannel("P"))
    palette = np.zeros((256, 3), dtype=np.uint8)
    stored = np.array(image.convert("P").getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    used = _unique(indices)
    if _are_grey(palette[used]):
        return _from_levels(palette[indices].max(axis=-1), path)
    if used.tolist() == [0, UNDECIDED]:
        return indices == UNDECIDED
    if 0 not in used or (palette[0].any() and not palette[used].any(axis=-1).all()):
        raise _ambiguous(path, f"a palette in which index 0 is {'not black' if 0 in used else 'not used'}")
    return (indices != 0) & (indices != UNDECIDED)


def _from_colours(colours: UInt8[np.ndarray, "h w 3"], path: Path) -> Bool[np.ndarray, "h w"]:
    """Read colours as numbers, with black as the background."""
    numbers = colours[..., 0].astype(np.uint32)
    for channel in (1, 2):  # in place, since images may be large
        numbers <<= 8
        numbers |= colours[..., channel]
    undecided = int(np.array(_VOC_UNDECIDED) @ np.array([65536, 256, 1]))
    found = _unique(numbers)
    decided = found[(found != 0) & (found != undecided)]
    if found[0] != 0 or not _even_numbers(numbers, decided):
        raise _ambiguous(path, f"{len(found)} colours" if found[0] == 0 else "colours of which none is black")
    return (numbers != 0) & (numbers != undecided)


def _from_grey(image: Image.Image, path: Path) -> Bool[np.ndarray, "h w"]:
    levels = np.asarray(image.convert("L"))
    if image.format not in _LOSSY:
        return _from_levels(levels, path)
    # compression changes numbers, so only black and white can have been meant
    bright = levels >= 128
    is_plain = bool((bright & _even_pixels(bright)).any()) and _is_black_and_white(levels)
    if len(_unique(levels)) > 1 and not is_plain:
        raise _ambiguous(path, f"{image.format} of levels {levels.min()} to {levels.max()}")
    return levels > levels.max() / 2


def _from_levels(levels: UInt8[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    """Read the grey levels of a file without losses; see `read_mask` for the rules."""
    found = _unique(levels)
    low, high = int(found[0]), int(found[-1])
    if len(found) == 1 or (len(found) == 2 and (low == 0 or (low < 64 and high >= 192))):
        return levels > (low if len(found) == 2 else 0)
    numbers = found[(found > 0) & (found < UNDECIDED)]
    if high >= 128 and numbers[-1] >= 128 and _has_soft_edges(levels, numbers):
        return levels > high / 2
    if low == 0 and _are_numbers(levels, numbers):
        return (levels > 0) & (levels < UNDECIDED)
    listed = ", ".join(str(level) for level in found[:6])
    raise _ambiguous(path, f"the levels {listed}{', …' if len(found) > 6 else ''}{'' if low == 0 else ' without 0'}")


def _has_soft_edges(levels: UInt8[np.ndarray, "h w"], numbers: UInt8[np.ndarray, " n"]) -> bool:
    """Return whether the levels between black and the brightest occur along edges only, or as noise of compression."""
    high = int(levels.max())
    first, last = (bound * high / 255 for bound in _MIDDLE)
    middle = (levels >= first) & (levels < last)
    if high == 255 and numbers[-1] >= last and not middle.any():
        return True
    even = _even_pixels(levels)
    if len(numbers) < 8 and bool((even & (levels > 0) & (levels < last)).any()):
        return False
    are_edges = not middle.any() or float(even[middle].mean()) < _EVEN_SHARE
    return are_edges and _is_black_and_white(levels)


def _is_black_and_white(levels: UInt8[np.ndarray, "h w"]) -> bool:
    """Return whether dark pixels are mostly black and bright ones mostly white, as in masks but not in photographs."""
    high = int(levels.max())
    bright = levels > high / 2
    white, black = levels >= 0.9 * high, levels <= 0.1 * high
    return int(white.sum()) >= 0.4 * int(bright.sum()) and int(black.sum()) >= 0.5 * int((~bright).sum())


def _are_numbers(levels: UInt8[np.ndarray, "h w"], numbers: UInt8[np.ndarray, " n"]) -> bool:
    """Return whether the levels other than 0 and 255 are numbers of areas.

    Beside them, 255 is undecided where it is the rim of such areas, and white where it is the object itself.
    """
    are_areas = len(numbers) <= 3 or _even_numbers(levels, numbers)
    if levels.max() < UNDECIDED:
        return _even_numbers(levels, numbers) or (are_areas and int(numbers[-1]) < 128)
    inside, undecided = (levels > 0) & (levels < UNDECIDED), levels == UNDECIDED
    is_smaller = int(undecided.sum()) <= int(inside.sum())
    is_rim = is_smaller and _contacts(inside, undecided) >= _contacts(inside, levels == 0)
    return are_areas and int(numbers[-1]) < 128 and is_rim


def _contacts(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]) -> int:
    """Count the pairs of neighbours, of which one pixel is in each area."""
    pairs = ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1)))
    rows = sum(int((one[a] & other[b]).sum()) for a, b in pairs)
    return rows + sum(int((one[:, a] & other[:, b]).sum()) for a, b in pairs)


def _even_numbers(levels: Shaped[np.ndarray, "h w"], numbers: Shaped[np.ndarray, " n"]) -> bool:
    """Return whether at least half of the numbers have an even pixel, as areas have and soft edges have not."""
    if not 0 < len(numbers) <= _MOST_NUMBERS:
        return False
    pixels = _even_pixels(levels)
    even = np.unique(
        np.concatenate([np.unique(part[kept]) for part, kept in zip(*map(_by_rows, (levels, pixels)), strict=True)])
    )
    return 2 * int(np.isin(numbers, even).sum()) >= len(numbers)


def _even_pixels(levels: Shaped[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels whose eight neighbours have their level; those at the border have none."""
    even = np.zeros(levels.shape, dtype=bool)
    rows = (levels[1:-1] == levels[:-2]) & (levels[1:-1] == levels[2:])
    if rows.size and levels.shape[1] > 2:
        same = (levels[:, 1:-1] == levels[:, :-2]) & (levels[:, 1:-1] == levels[:, 2:])
        even[1:-1, 1:-1] = rows[:, 1:-1] & same[1:-1] & same[:-2] & same[2:]
    return even


def _are_grey(colours: UInt8[np.ndarray, "*shape 3"]) -> bool:
    return all(int(np.ptp(part, axis=-1).max(initial=0)) <= _GREY_SPREAD for part in _by_rows(colours))


def _unique(array: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, " n"]:
    """Find the different values of an array, as `numpy.unique` does, which would sort a copy of the whole."""
    return np.unique(np.concatenate([np.unique(part) for part in _by_rows(array)]))


def _by_rows(array: np.ndarray) -> list[np.ndarray]:
    """Divide an array into parts of a few rows each; at least one."""
    rows = max(1, _ROWS_PX // max(1, math.prod(array.shape[1:])))
    return [array[top : top + rows] for top in range(0, max(1, len(array)), rows)]


def _ambiguous(path: Path, came: str) -> BadInput:
    return BadInput(f"expected a mask, or a label map with background 0, in {path}, got {came}; {_REMEDY}")
