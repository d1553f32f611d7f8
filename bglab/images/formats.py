"""The image formats that are read: those of photographs, and none whose decoder starts another program.

Pillow knows more of them. PostScript, PDF and WMF are left out because they are drawn by external programs, which a
file of any name could start; so are icons, textures of games, scientific containers and layered documents.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping

from PIL import Image

#: File extensions by Pillow's name of the format.
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "MPO": (".mpo",),
    "PCX": (".pcx",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "TGA": (".tga",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
_HEIF = ("HEIF", (".heic", ".heics", ".heif", ".heifs", ".hif"))
#: Module of the plug-in for photographs of telephones, which the project does not install.
_HEIF_PLUGIN = "pillow_heif"

#: File extensions of formats that are known for holding several frames or pages, of which the first is read.
SEVERAL_FRAMES = frozenset({".apng", ".avifs", ".gif", ".tif", ".tiff", ".webp"})
#: File extensions of HEIF, whether or not its plug-in is installed.
HEIF_SUFFIXES = frozenset(_HEIF[1])


def has_heif() -> bool:
    """Return whether the plug-in for HEIF is installed; it is not imported."""
    return importlib.util.find_spec(_HEIF_PLUGIN) is not None


def _suffixes() -> frozenset[str]:
    known = frozenset(suffix for suffixes in _FORMATS.values() for suffix in suffixes)
    return known | HEIF_SUFFIXES if has_heif() else known


#: File extensions that are treated as images, in lower case.
IMAGE_SUFFIXES = _suffixes()


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read, after registering the plug-in for HEIF if it is installed.

    An image is opened as one of these by its content, whatever the name of its file.
    """
    Image.init()  # registers Pillow's own
    if has_heif():
        importlib.import_module(_HEIF_PLUGIN).register_heif_opener()
    # the opener of JPEG is also that of MPO; an older Pillow lacks AVIF
    return tuple(name for name in (*_FORMATS, _HEIF[0]) if name in Image.OPEN)
