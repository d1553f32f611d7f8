"""Style of all figures: one colour per name, sizes and fonts per venue, and reproducible files."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from bglab.errors import BadInput
from bglab.figures.venues import Width, find_venue, text_settings
from bglab.files import whole_file
from bglab.seeding import keyed_seed

#: One colour per name. Variants use the palette of Okabe and Ito, classes the muted palette of Tol, both of which
#: colour-blind readers can tell apart. Plates have the colour that they show.
COLORS: Mapping[str, str] = MappingProxyType({
    "original": "#606060", "mixed_same": "#0072B2", "mixed_rand": "#D55E00", "mixed_next": "#CC79A7",
    "only_fg": "#009E73", "no_fg": "#56B4E9", "only_bg_b": "#E69F00", "only_bg_t": "#5A3B00",
    "bg_blurred": "#7B8FA1", "white_fg": "#C9B8D6", "white_fg_mask": "#9C83B3", "on_own_tiled": "#B5A26A",
    "on_white": "#D9D9D9", "on_grey": "#A8A8A8", "on_green": "#4DAF4A", "on_yellow": "#E0C800",
    "on_texture": "#A65628", "on_gaussian_noise": "#5E4FA2", "on_uniform_noise": "#9E9AC8",
    "core_noise": "#66A61E", "spurious_noise": "#1B7F9E",
    "dog": "#332288", "bird": "#88CCEE", "vehicle": "#44AA99", "reptile": "#117733", "carnivore": "#999933",
    "insect": "#DDCC77", "instrument": "#CC6677", "primate": "#882255", "fish": "#AA4499",
    "bg_irrelevant": "#BBBBBB", "bg_required": "#0072B2", "bg_fools": "#D55E00", "bg_fg_required": "#56B4E9",
    "bg_fg_fools": "#E69F00",
    "correct": "#007A5A", "incorrect": "#C0392B", "ours": "#0072B2", "published": "#D55E00", "chance": "#666666",
})  # fmt: skip


@contextlib.contextmanager
def theme(venue: str = "notebook", width: Width = "column") -> Iterator[None]:
    """Set figure width, font sizes and fonts for a venue inside a ``with`` block.

    Changes matplotlib's rcParams, which all threads share; enter it from one thread at a time.

    Args:
        venue: One of `bglab.figures.VENUES`, with or without its year; "" is ``notebook``.
        width: Whether figures are as wide as a column or as the text.

    Raises:
        UnknownName: If there is no such venue.
    """
    placed = find_venue(venue, width)
    settings: dict[Any, Any] = text_settings(placed) | {
        "lines.linewidth": 0.8 if placed.venue.serif else 1.2,
        "axes.linewidth": 0.6,
    }
    with matplotlib.rc_context(settings):
        yield


def color_of(name: str) -> str:
    """Return the hex colour of a variant, class or category; unknown names get a colour that is derived from the name.

    Example:
        >>> color_of("mixed_rand"), color_of("my_variant") == color_of("my_variant")
        ('#D55E00', True)
    """
    if name in COLORS:
        return COLORS[name]
    turn = keyed_seed(0, "colour", name) % 997 / 997
    return to_hex(tuple(hsv_to_rgb((turn, 0.55, 0.7))))


def figure_of(ax: Axes) -> Figure:
    """Return the figure of some axes, also if these belong to a sub-figure.

    Raises:
        BadInput: If the axes were removed from their figure.
    """
    whole = ax.get_figure(root=True)
    if whole is None:
        raise BadInput("expected axes in a figure, got axes that were removed; plot again")
    return whole


def take_literally(figure: Figure) -> None:
    """Make a figure draw dollar signs as they are: they come from paths and names, never from formulas."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_ticklabels()  # makes the ticks, which otherwise come into being while the figure is drawn
    for text in figure.findobj(Text):
        cast(Text, text).set_parse_math(False)


def save(figure: Figure | Axes, path: Path | str) -> Path:
    """Write a figure as PDF, SVG or PNG (300 dpi); equal figures give equal bytes.

    Fonts are embedded as TrueType in PDF, as conferences require. In SVG, which cannot embed them in a way that all
    programs read, text is drawn as outlines, so that it looks the same everywhere.

    Args:
        figure: Figure, or axes in it.
        path: File to write; the extension selects the format. Missing folders are created.

    Returns:
        The path.

    Raises:
        BadInput: If the extension is not one of the three, or the file cannot be written; an earlier file stays then.
    """
    path = Path(path)
    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}
    if path.suffix.lower() not in undated:
        raise BadInput(
            f"expected a file name ending in .pdf, .svg or .png, got {path.name}; choose one of these formats"
        )
    whole = figure_of(figure) if isinstance(figure, Axes) else figure
    take_literally(whole)
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "bglab"}):
        content = io.BytesIO()
        kind = path.suffix.lower()
        whole.savefig(content, format=kind.removeprefix("."), dpi=300, metadata=undated[kind])
    with whole_file(path, what="the figure", remedy="choose a place you can write to") as file:
        file.write(content.getvalue())
    return path
