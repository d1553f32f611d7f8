"""Names with a number, such as draws of a random variant and copies of one object, and names as they are compared."""

from __future__ import annotations

import json
import re
import unicodedata

_MARK = "~"
_DRAW = re.compile(r"\d{1,9}", re.ASCII)
_COPY = re.compile(r"-copy(?:[2-9]|[1-9]\d+)$")


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
    return variant, int(draw) if _DRAW.fullmatch(draw) else 0


def copy_name(scene: str, copy: int) -> str:
    """Name one of several scenes of the same object; the first has the name of the object.

    Example:
        >>> copy_name("dog-rex", 1), copy_name("dog-rex", 2)
        ('dog-rex', 'dog-rex-copy2')
    """
    return f"{scene}-copy{copy}" if copy > 1 else scene


def object_name(scene: str) -> str:
    """Strip the number of a copy off the id of a scene; scenes of equal result show the same object.

    Example:
        >>> object_name("dog-rex-copy2"), object_name("dog-rex"), object_name("copy1")
        ('dog-rex', 'dog-rex', 'copy1')
    """
    return _COPY.sub("", scene)


def display_name(identifier: str) -> str:
    """Format an identifier of the release as the papers print it.

    Example:
        >>> display_name("only_bg_t"), display_name("mixed_rand"), display_name("bg_blurred")
        ('Only-BG-T', 'Mixed-Rand', 'BG-Blurred')
    """
    short = {"bg", "fg", "b", "t"}
    return "-".join(part.upper() if part in short else part.capitalize() for part in identifier.split("_"))


def python_literal(text: str) -> str:
    r"""Write text as a Python string in double quotes that is the same text, whatever is in it.

    Args:
        text: Any text; what cannot be printed, or turns the text around it, is escaped.

    Example:
        >>> print(python_literal('C:\\new "set"\u202e'))
        "C:\\new \"set\"\u202e"
    """
    quoted = json.dumps(text, ensure_ascii=False)  # JSON's escapes are Python's, too
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)


def class_key(name: str) -> str:
    """Reduce the name of a class to what counts when names are compared.

    Example:
        >>> class_key(" Sea_Lion "), class_key("sea  lion")
        ('sea lion', 'sea lion')
    """
    return " ".join(unicodedata.normalize("NFC", name).casefold().replace("_", " ").split())
