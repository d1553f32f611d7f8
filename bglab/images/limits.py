"""How large an image may be: a file of a hundred bytes can declare sizes that fill the memory of any machine.

Sizes are checked as soon as a header states them, before there is memory for the pixels.
"""

from __future__ import annotations

from bglab.errors import BadInput

#: Most pixels of an image or a mask, 134 million: more than photographs of 100 megapixels have.
MOST_PIXELS = 2**27
#: Most pixels of a spherical photograph, 8192 × 4096, whose light takes several times the memory of an image.
MOST_PANORAMA_PIXELS = 2**25
#: Longest side as a multiple of the shortest one: resizing the short side of a thin image enlarges the long one.
MOST_RATIO = 100


def check_size(width: int, height: int, name: object, *, most_pixels: int = MOST_PIXELS) -> None:
    """Refuse an image that is too large or too thin to be read and resized.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        name: File or other origin of the image, for the message.
        most_pixels: Most pixels.

    Raises:
        BadInput: If it is; the message states the limit.

    Example:
        >>> check_size(11656, 8742, "photograph.jpg")
        >>> check_size(1, 10_000, "thin.png")
        Traceback (most recent call last):
        ...
        bglab.errors.BadInput: expected an image with sides of up to 100 : 1 in thin.png, got 1 × 10000 pixels; crop it
    """
    if width * height > most_pixels:
        raise BadInput(
            f"expected an image of at most {most_pixels / 1e6:.0f} megapixels in {name}, got {width} × {height} "
            "pixels; scale it down"
        )
    if max(width, height) > MOST_RATIO * max(1, min(width, height)):
        raise BadInput(
            f"expected an image with sides of up to {MOST_RATIO} : 1 in {name}, got {width} × {height} pixels; crop it"
        )
