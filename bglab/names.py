"""Names of repeated draws of a random variant: ``on_texture``, ``on_texture~1``, ``on_texture~2``."""

from __future__ import annotations

_MARK = "~"


def draw_name(variant: str, draw: int) -> str:
    """Name one draw of a random variant; draw 0 has the name of the variant.

    Example:
        >>> draw_name("on_texture", 0), draw_name("on_texture", 2)
        ('on_texture', 'on_texture~2')
    """
    return f"{variant}{_MARK}{draw}" if draw else variant


def split_draw(name: str) -> tuple[str, int]:
    """Split the name of a draw into the name of the variant and the number of the draw.

    Example:
        >>> split_draw("on_texture~2"), split_draw("on_white")
        (('on_texture', 2), ('on_white', 0))
    """
    variant, _, draw = name.partition(_MARK)
    return variant, int(draw) if draw.isdigit() else 0


def display_name(identifier: str) -> str:
    """Format an identifier of the release as the papers print it.

    Example:
        >>> display_name("only_bg_t"), display_name("mixed_rand"), display_name("bg_blurred")
        ('Only-BG-T', 'Mixed-Rand', 'BG-Blurred')
    """
    short = {"bg", "fg", "b", "t"}
    return "-".join(part.upper() if part in short else part.capitalize() for part in identifier.split("_"))
