"""Page sizes and fonts of conferences and journals, from tueplots, and fonts that stand in where theirs are missing.

A figure is drawn at its final size: as wide as a column or as the whole text, with no letter below `SMALLEST_PT`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from matplotlib import font_manager
from tueplots import bundles

from bglab.catalogue import Catalogue

Width = Literal["column", "full"]
WIDTHS: tuple[Width, ...] = get_args(Width)

#: Size in points below which no text of a figure is drawn for a venue.
SMALLEST_PT = 7.0
#: matplotlib's scale of the size ``small``.
_SMALL = 0.833
#: Figures at most this wide, in inches, are in one column of a two-column page.
_NARROW = 4.0

# the last of each is part of matplotlib
_TIMES = ("Times New Roman", "Times", "Nimbus Roman", "TeX Gyre Termes", "Liberation Serif", "STIXGeneral")
_MODERN = ("CMU Serif", "Latin Modern Roman", "STIXGeneral")
_SANS = ("DejaVu Sans",)


class Venue(NamedTuple):
    """Page size and fonts of a venue.

    Attributes:
        title: Name of the venue's style, e.g. "CVPR 2024".
        column: Width of a column in inches; that of the text on one-column pages.
        full: Width of the text in inches.
        families: Font family of the venue, then similar ones; the last is part of matplotlib.
        serif: Whether these have serifs.
        text: Size of axis labels and titles in points.
        small: Size of tick labels, legends and annotations in points.
    """

    title: str
    column: float
    full: float
    families: tuple[str, ...]
    serif: bool
    text: float
    small: float

    @property
    def columns(self) -> int:
        """Number of columns of a page."""
        return 2 if self.column < self.full else 1

    def inches(self, width: Width) -> float:
        """Return the width of a figure in inches."""
        return self.full if width == "full" else self.column


def _venue(title: str, families: tuple[str, ...], column: dict[str, Any], full: dict[str, Any] | None = None) -> Venue:
    """Describe a venue by tueplots' settings for a column and, on two-column pages, for both."""
    widths = (column["figure.figsize"][0], (full or column)["figure.figsize"][0])
    return Venue(title, *widths, families, serif=True, text=column["axes.labelsize"],
                 small=max(column["xtick.labelsize"], SMALLEST_PT))  # fmt: skip


def _two_columns(title: str, bundle: Any) -> Venue:
    return _venue(title, _TIMES, bundle(column="half", usetex=False), bundle(column="full", usetex=False))


#: Venues by name: a notebook, and conference styles.
VENUES: Catalogue[Venue] = Catalogue("venue", {
    "notebook": Venue("Notebook", 7.2, 7.2, _SANS, serif=False, text=10, small=9),
    "cvpr2024": _two_columns("CVPR 2024", bundles.cvpr2024),
    "eccv2024": _venue("ECCV 2024", _MODERN, bundles.eccv2024()),
    "iclr2024": _venue("ICLR 2024", _TIMES, bundles.iclr2024(usetex=False)),
    "icml2024": _two_columns("ICML 2024", bundles.icml2024),
    "neurips2024": _venue("NeurIPS 2024", _TIMES, bundles.neurips2024(usetex=False)),
    "tmlr2023": _venue("TMLR 2023", _MODERN, bundles.tmlr2023()),
})  # fmt: skip


class Placed(NamedTuple):
    """A venue and how wide a figure is there.

    Attributes:
        name: Key of `VENUES`.
        venue: The venue.
        width: Whether the figure is as wide as a column or as the text.
    """

    name: str
    venue: Venue
    width: Width

    @property
    def inches(self) -> float:
        """Width of the figure in inches."""
        return self.venue.inches(self.width)

    @property
    def spans_columns(self) -> bool:
        """Whether the figure spans two columns."""
        return self.venue.columns == 2 and self.width == "full"


def find_venue(name: str = "", width: Width = "column") -> Placed:
    """Find a venue by its name, with or without the year; "" is a notebook.

    Args:
        name: A key of `VENUES`, or one without its year; ``cvpr2024-full`` is short for the full width.
        width: Whether figures are as wide as a column or as the text; both are the same on one-column pages.

    Raises:
        UnknownName: If there is no such venue.

    Example:
        >>> find_venue("cvpr").name, round(find_venue("icml2024-full").inches, 2)
        ('cvpr2024', 6.75)
    """
    stem = name.lower().removesuffix("-full") or "notebook"
    if name.lower().endswith("-full"):
        width = "full"
    known = next((key for key in VENUES if stem == key.rstrip("0123456789")), stem)
    return Placed(known, VENUES[known], width)


def venue_names() -> tuple[str, ...]:
    """List the names that `find_venue` takes, with ``-full`` for the full width of two-column pages."""
    return tuple(name for key, venue in VENUES.items() for name in (key, f"{key}-full")[: venue.columns])


def text_settings(placed: Placed) -> dict[str, Any]:
    """Return matplotlib's settings for a venue: width and height of a figure, sizes and fonts of its text."""
    venue, width = placed.venue, placed.inches
    sizes: dict[str, Any] = dict.fromkeys(("axes.labelsize", "axes.titlesize"), venue.text)
    sizes |= dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), venue.small)
    # annotations are "small", five sixths of the font size
    sizes["font.size"] = max(venue.text, SMALLEST_PT / _SMALL)
    height = width * (0.62 if width <= _NARROW else 0.5)
    # the second family has the symbols that the first lacks
    fonts: dict[str, Any] = {"font.family": list(dict.fromkeys([font_of(venue), "DejaVu Sans"]))}
    if venue.serif:
        fonts["mathtext.fontset"] = "stix"
    return {"figure.figsize": (width, height)} | sizes | fonts


def font_of(venue: Venue) -> str:
    """Return the first font family of a venue that is installed and can be embedded in a PDF file.

    Only TrueType can: matplotlib writes the outlines of OpenType files (``.otf``) in a way that not all viewers read.
    """
    return next((family for family in venue.families if family in _embeddable()), venue.families[-1])


def font_note(placed: Placed) -> str:
    """State the width of figures at a venue and the font they are drawn in, as a sentence; "" for a notebook."""
    if placed.name == "notebook":
        return ""
    asked, drawn = placed.venue.families[0], font_of(placed.venue)
    instead = "" if asked == drawn else f" in place of {asked}, which is not installed"
    wide = {"column": "one column", "full": "the text"}[placed.width] if placed.venue.columns == 2 else "the text"
    return (
        f"Figures and tables are as wide as {wide} of {placed.venue.title} ({placed.inches:.2f} inches); text is drawn "
        f"in {drawn}{instead}, embedded in the PDF files."
    )


@functools.cache
def _embeddable() -> frozenset[str]:
    fonts = font_manager.fontManager.ttflist
    return frozenset(font.name for font in fonts if Path(font.fname).suffix.lower() == ".ttf")
