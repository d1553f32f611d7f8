"""Reading images and cut-outs from files of any common format; unreadable files raise `BadInput` by name."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, UnidentifiedImageError

from bglab.errors import BadInput, MissingData, Unreadable, brief, check_environment
from bglab.files import check_regular
from bglab.images.arrays import to_levels
from bglab.images.formats import readable_formats
from bglab.images.limits import check_size
from bglab.images.png_checksums import check_png

#: What an image is read from: the path of a file, the contents of one (an upload), or an image of Pillow.
ImageSource = Path | bytes | bytearray | memoryview | Image.Image

#: What Pillow's decoders raise for damaged content; `Image.open` turns some of it into `UnidentifiedImageError`.
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)

# the warning filters are global to the process: two threads must not replace them at the same time
_FILTERS = threading.Lock()

_ORIENTATION = 0x0112
#: Pixels that are converted at a time.
_ROWS_PX = 2**22

# the transposition that turns an image of each EXIF orientation upright
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Where Pillow keeps what an orientation is read from in JPEG files.
_EXIF = ("exif", "xmp")


class TurnedImage(NamedTuple):
    """An upright 8-bit RGB image, and the transposition that turned it upright; None if it was."""

    image: Image.Image
    turn: Image.Transpose | None


def open_image(source: ImageSource) -> Image.Image:
    """Open an image of any mode as upright 8-bit RGB.

    Grey, palette, CMYK, 16-bit and float images are converted, transparent images are composited on white, and the
    EXIF orientation is applied, so the classifier sees what an image viewer shows. Of several frames the first is
    taken. Grey levels are scaled by the mode: 16 bits are divided by 257, however dark the image; floats are taken as
    [0, 1], or as [0, 255] or [0, 65535] if the largest exceeds 1 or 255.

    Args:
        source: Path of a file, the contents of one (an upload), or an image of Pillow.

    Raises:
        BadInput: If the file is missing, empty, truncated or not an image, larger or thinner than
            `bglab.images.limits` allows, or its levels are not within the range of its mode; the message names the
            file.
        Unreadable: If its disk fails.
    """
    return open_turned(source).image


def open_turned(source: ImageSource) -> TurnedImage:
    """Open an image as `open_image` does, and return how it was turned upright.

    Args:
        source: As for `open_image`.

    Raises:
        BadInput: As `open_image`.
        Unreadable: As `open_image`.
    """
    name = _name_of(source)
    image, turn = _decode(source)
    try:
        return TurnedImage(_to_rgb(image), turn)
    except DECODING_ERRORS as problem:
        raise_if_not_content(problem, name)
        raise BadInput(f"expected an image that converts to RGB in {name}, but {problem}; save it again") from None


def raise_if_not_content(problem: Exception, name: str) -> None:
    """Raise an error of ours again, and that of a failing disk as `Unreadable`; others are about the file's content.

    Args:
        problem: One of the `DECODING_ERRORS`.
        name: The file, for the message.
    """
    if isinstance(problem, BadInput | MissingData | Unreadable):
        raise problem
    check_environment(name, problem)


@contextmanager
def upright(source: ImageSource) -> Iterator[Image.Image]:
    """Open an image in its own mode, decoded and turned upright by its EXIF orientation.

    Args:
        source: As for `open_image`.

    Raises:
        BadInput: As `open_image`.
    """
    yield _decode(source)[0]


def _decode(source: ImageSource) -> tuple[Image.Image, Image.Transpose | None]:
    """Decode an image in its own mode and turn it upright; return it, and how it was turned."""
    name = _name_of(source)
    try:
        with _open_quietly(source) as image:
            _load(image, source)
            turn = _turn(image)
            # a decoded JPEG needs its file no more, while other formats may read further frames
            if turn is None and image.format == "JPEG":
                return image, None
            turned = image.copy() if turn is None else image.transpose(turn)
            turned.format = image.format  # lost by both
            return turned, turn
    except UnidentifiedImageError:
        if isinstance(source, Path) and _is_empty(source):
            raise BadInput(f"expected an image in {name}, but the file is empty; restore or remove it") from None
        raise BadInput(f"expected an image in {name}, but its content is no known format; remove it") from None
    except DECODING_ERRORS as problem:
        raise_if_not_content(problem, name)
        raise BadInput(
            f"expected a complete image in {name}, but reading it failed ({brief(problem)}); replace the file"
        ) from None


def is_animated(file: Path) -> bool:
    """Return whether a file holds several frames or pages, of which `open_image` takes the first.

    Files that cannot be read hold none; what is wrong with them is said when they are read.
    """
    try:
        check_regular(file)
        with file.open("rb") as content:
            head = content.read(21)
        if head[8:12] == b"WEBP" and not (head[12:16] == b"VP8X" and head[20] & 2):
            return False  # Pillow would decode the whole image to find that out
        with _open_quietly(file) as image:
            return bool(getattr(image, "is_animated", False))
    except DECODING_ERRORS:
        return False


def open_reduced(file: Path, side: int) -> Image.Image:
    """Open an image as `open_image` does, but JPEG files at a fraction of their size, which is several times as fast.

    Args:
        file: Path of the file.
        side: Both sides of the result have at least so many pixels, unless the file itself has fewer.

    Raises:
        BadInput: As `open_image`.
    """
    try:
        with _open_quietly(file) as image:
            if image.format == "JPEG":
                image.draft("RGB", (side, side))
                turn = _turn(image)
                return _to_rgb(image.copy() if turn is None else image.transpose(turn))
    except DECODING_ERRORS:
        pass  # `open_image` says in its message what is wrong
    return open_image(file)


def read_image(source: ImageSource) -> UInt8[np.ndarray, "3 h w"]:
    """Read an image as a contiguous RGB array with values in [0, 255]; see `open_image` for formats and errors."""
    return to_levels(open_image(source))


def read_cutout(path: Path) -> tuple[UInt8[np.ndarray, "3 h w"], Float[np.ndarray, "h w"]]:
    """Read an image with an alpha channel.

    Returns:
        The RGB values in [0, 255], not multiplied by alpha, and the alpha matte in [0, 1].

    Raises:
        BadInput: If the file cannot be read or has no transparency.
    """
    try:
        with _open_quietly(path) as image:
            _load(image, path)
            if "A" not in image.getbands() and "transparency" not in image.info:
                raise BadInput(
                    f"expected a cut-out with transparency in {path}, got mode {image.mode}; save it as RGBA"
                )
            rgba = np.asarray(image.convert("RGBA"))
    except DECODING_ERRORS as problem:
        raise_if_not_content(problem, f"{path}")
        raise BadInput(
            f"expected a cut-out in {path}, but reading it failed ({brief(problem)}); replace the file"
        ) from None
    return np.ascontiguousarray(rgba[..., :3].transpose(2, 0, 1)), rgba[..., 3].astype(np.float32) / 255


def read_matte(source: ImageSource) -> Float[np.ndarray, "h w"] | None:
    """Read the alpha channel of an image that `open_image` can open, as an upright matte in [0, 1].

    Returns:
        The matte; None if the image has no transparency, or if alpha is nowhere or everywhere at least 0.5.
    """
    with upright(source) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return None
        matte = np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.float32) / 255
    return matte if matte.min() < 0.5 <= matte.max() else None


def _name_of(source: ImageSource) -> str:
    return f"{source}" if isinstance(source, Path) else "the uploaded image"


def _is_empty(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except OSError:
        return False


def _open_quietly(source: ImageSource) -> Image.Image:
    """Open an image of a bearable size without decoding it.

    Raises:
        BadInput: If it is no regular file, or too large or too thin; besides what Pillow raises.
    """
    if isinstance(source, Image.Image):
        check_size(*source.size, _name_of(source))
        return source.copy()
    if isinstance(source, Path):
        check_regular(source, "an image")
    formats = readable_formats()
    with _quietly():
        image = Image.open(source if isinstance(source, Path) else BytesIO(source), formats=formats)
    try:
        check_size(*image.size, _name_of(source))
    except BadInput:
        image.close()
        raise
    return image


def _load(image: Image.Image, source: ImageSource) -> None:
    """Decode an image after comparing the checksums of its file, if it has any."""
    if image.format == "PNG" and not isinstance(source, Image.Image):
        check_png(source)
    # TIFF's directory is read again while decoding, with warnings about it
    with _quietly() if image.format == "TIFF" else nullcontext():
        image.load()


def _turn(image: Image.Image) -> Image.Transpose | None:
    if image.format == "JPEG" and not any(key in image.info for key in _EXIF):
        return None
    try:
        with _quietly():
            return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return None  # broken EXIF does not affect the pixels


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress Pillow's warnings about EXIF data and image sizes; thread-safe."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; 16-bit and float images are rescaled, transparent images are composited on white."""
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)
        scale = 255.0 / _top(levels, image.mode)
        image = _by_rows(image, "L", lambda rows: _scaled(rows, scale))
    if "A" in image.getbands() or "transparency" in image.info:
        return _by_rows(image, "RGB", _on_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_rows(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert a few rows at a time: what is needed in between takes several times the memory of the result."""
    made = Image.new(mode, image.size)
    rows = max(1, _ROWS_PX // image.width)
    for top in range(0, image.height, rows):
        made.paste(convert(image.crop((0, top, image.width, min(top + rows, image.height)))), (0, top))
    return made


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    levels = np.asarray(image, dtype=np.float64)
    return Image.fromarray((levels * scale).round().clip(0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")


def _top(levels: Shaped[np.ndarray, "h w"], mode: str) -> float:
    """Return the level that is white: by the mode, since a dark image of 16 bits must stay dark; floats do not say."""
    low, high = float(levels.min()), float(levels.max())
    # smoothing filters leave floats a little below black
    lowest = -0.01 * high if mode == "F" else 0.0
    if not np.isfinite(levels).all() or high > 65535 or low < lowest:
        raise ValueError(f"its levels are from {low:g} to {high:g} and not within 0 to 65535")
    if mode == "F":
        return next(top for top in (1.0, 255.0, 65535.0) if high <= top)
    return 65535.0
