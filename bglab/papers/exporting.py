"""Write one table or figure of a paper to files: PDF, SVG and PNG, CSV, and LaTeX that fits a venue's page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bglab.analysis import latex_text, to_csv, to_latex
from bglab.errors import UnknownName
from bglab.figures import Width, find_venue, one_line_names, save
from bglab.files import write_text
from bglab.names import display_name
from bglab.papers.artefact import Artefact, Product

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

#: Formats of a product's files, which are also their endings.
FORMATS = ("pdf", "svg", "png", "csv", "tex")
_DRAWN = frozenset({"pdf", "svg", "png"})
#: Short names of the papers, for captions.
_PAPERS = {"nos": "Noise or Signal", "tbc": "Time for a Background Check!"}
# columns that a caption can state instead, if their value is the same everywhere
_FIXED = ("n", "variant", "draws", "runs")
# models that are named one by one in a caption
_MOST_NAMED = 3


def export_product(
    artefact: Artefact,
    product: Product,
    folder: Path,
    *,
    venue: str = "",
    width: Width = "column",
    formats: Sequence[str] = FORMATS,
) -> tuple[str, ...]:
    """Write the figure and table of a product into a folder, as ``<id of the artefact>.<format>``.

    The figure is written as it was drawn: it has the width and fonts of the `bglab.figures.theme` inside which
    `Artefact.make` was called. For another venue, make the product again inside that theme, which is quick, since
    predictions are stored; this function restyles nothing. The LaTeX table is laid out here, for ``venue`` and
    ``width``.

    Args:
        artefact: The artefact.
        product: What it made.
        folder: Folder of the files; created if it is missing.
        venue: Venue that the table is laid out for, see `bglab.figures.find_venue`; "" is none, which is a page with
            one column.
        width: Whether the table is as wide as a column or as the text of the venue's page.
        formats: Which of `FORMATS` to write; those of the figure are left out if the product has none.

    Returns:
        The names of the files written, in the order of `FORMATS`.

    Raises:
        UnknownName: If there is no such venue or format.
        BadInput: If a file cannot be written.
    """
    unknown = [kind for kind in formats if kind not in FORMATS]
    if unknown:
        raise UnknownName(f"unknown format '{unknown[0]}'. Known: {', '.join(FORMATS)}")
    find_venue(venue, width)
    texts: dict[str, Callable[[], str]] = {
        "csv": lambda: to_csv(_flat(product.table)),
        "tex": lambda: latex_table(artefact, product, venue=venue, width=width),
    }
    names = []
    for kind in FORMATS:
        path = Path(folder) / f"{artefact.id}.{kind}"
        if kind in formats and kind in texts:
            write_text(path, texts[kind](), what=f"the table {artefact.id}", remedy="choose another folder")
            names.append(path.name)
        elif kind in formats and product.figure is not None:
            names.append(save(product.figure, path).name)
    return tuple(names)


def data_text(artefact: Artefact, reproduction: Reproduction) -> str:
    """Describe what an artefact is computed on and how, as a phrase for `Product.data`; "" without images."""
    if not artefact.uses_data:
        return ""
    if artefact.paper == "tbc":
        scenes = reproduction.scenes
        return (
            f"{scenes.name}, {len(scenes):,} scenes, backgrounds replaced at full resolution, images resized and "
            "cropped as the weights were evaluated"
        )
    return f"{reproduction.data.partition(', prepared images')[0]}, protocol {reproduction.settings.protocol}"


def latex_table(artefact: Artefact, product: Product, *, venue: str = "", width: Width = "column") -> str:
    """Typeset the table of a product in LaTeX; arguments as in `export_product`."""
    placed = find_venue(venue, width)
    shown = _flat(product.table if product.shown is None else product.shown)
    # a notebook's page is that of the class article
    inches = placed.inches if venue else 6.5
    varying, fixed = _without_constants(shown)
    return to_latex(
        _with_short_names(varying, product.models),
        caption=caption(artefact, product) + latex_text(fixed),
        label=f"tab:{artefact.id}",
        bold=None if product.bold is None else _with_short_names(product.bold, product.models),
        inches=inches,
        spans_columns=placed.spans_columns,
    )


def caption(artefact: Artefact, product: Product) -> str:
    """Write a caption in LaTeX: title, place in the paper, number of images, data, protocol and models."""
    place = f"{artefact.place} of {_PAPERS.get(artefact.paper, artefact.paper)}"
    parts = [f"{artefact.title} (after {place})."]
    if product.data and artefact.uses_data:
        parts.append(f"Data: {product.data}.")
    if product.models:
        names = one_line_names(list(product.models))
        named = ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} networks"
        parts.append(f"{'Model' if len(names) == 1 else 'Models'}: {named}.")
    text = latex_text(" ".join(parts))
    count = product.n
    if count is not None:
        low, high = (f"{number:,}".replace(",", "{,}") for number in count)
        text += f" $n = {low}$ images." if low == high else f" $n = {low}$ to ${high}$ images."
    if product.bold is not None and product.bold.to_numpy(bool).any():
        text += " Bold: the interval lies above all others of its row."
    return text


def _with_short_names(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Shorten the names of models, as in figures, wherever the table has them: in rows, columns or cells."""
    short = dict(zip(models, one_line_names(list(models)), strict=True)) if models else {}
    named = table.rename(index=short, columns=short)
    for name in table.columns:
        if name == "model":
            named[name] = [short.get(cell, cell) for cell in table[name]]
    return named


def _without_constants(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Move columns that say the same in every row into a sentence for the caption.

    Returns:
        The other columns, and the sentence with a space before it; "" if there is none or the caption has it anyway.
    """
    same = [c for c in _FIXED if c in table.columns and len(table) > 1 and len(set(table[c].tolist())) == 1]
    told = [name for name in same if name != "n"]
    values = [f"{name.replace('_', ' ')} {display_name(str(table[name].iloc[0]))}" for name in told]
    return table.drop(columns=same), f" In all rows: {', '.join(values)}." if values else ""


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Drop an unnamed index, which only numbers the rows."""
    return table if table.index.name else table.reset_index(drop=True)
