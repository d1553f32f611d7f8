"""Plots of saliency: maps over images, localisation per model and variant, and saliency of fooled scenes.

Maps are overlaid on greyscale images in a perceptually uniform colour map, with the outline of the object and a colour
bar that says how they were normalised. Functions of tables follow `bglab.figures.accuracy`:
``(table, *, ax=None) -> Axes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke

from bglab.errors import BadInput
from bglab.figures.axes import (
    GREY,
    MARKER,
    count_text,
    draw_error_bars,
    height_of_lines,
    in_lines,
    legend_above,
    new_axes,
    note,
    one_line_names,
    points,
    require,
    tidy,
)
from bglab.figures.theme import COLORS, color_of, figure_of
from bglab.names import display_name

Normalisation = Literal["each", "common"]

_COLOUR_MAP = "viridis"
_OPACITY = 0.6
_DIVIDED_BY: Mapping[Normalisation, str] = {
    "each": "Saliency, each map divided by its own maximum",
    "common": "Saliency, all maps of a column divided by their common maximum",
}
_SHAPES = "oDs^vP"
_MEASURES = {
    "share_on_object": "Saliency on the object (%)",
    "pointing": "Pointing game (% of scenes)",
    "iou": "IoU of the most salient fifth with the object (%)",
    "auc": "AUC of object pixels against background pixels (%)",
}


def plot_saliency(
    images: Sequence[UInt8[np.ndarray, "3 h w"]],
    maps: Mapping[str, Float[np.ndarray, "_ _ _"]],
    masks: Bool[np.ndarray, "n _ _"],
    *,
    names: Sequence[str] = (),
    captions: Mapping[str, Sequence[str]] | None = None,
    normalisation: Normalisation = "each",
    ax: Axes | None = None,
) -> Axes:
    """Plot images and, in further columns, saliency maps of one or several models (Noise or Signal, Figure 6).

    Args:
        images: RGB images of one size, values 0-255.
        maps: Column title, e.g. a model, to raw non-negative maps, one per image, at the resolution of the images.
        masks: True on the object; drawn as an outline.
        names: Text below each image.
        captions: Column title to the text below each map, e.g. the prediction and the share on the object.
        normalisation: ``each`` divides every map by its own maximum and shows where it is highest; ``common`` divides
            by the maximum of the column, which also compares maps of one model with each other, but never of two
            models.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If there is no map, or images, maps, masks, names and captions differ in number or size.
    """
    captions = captions or {}
    _check_grid(images, maps, masks, {"names": names, **captions})
    columns = len(maps) + 1
    size = min(1.9, matplotlib.rcParams["figure.figsize"][0] / columns)  # cell size in inches
    line = 1.3 * points("small") / 72 / size
    written = max(text.count("\n") + 1 for texts in ([""], names, *captions.values()) for text in texts)
    step = 0.96 + line * (0.3 + written * bool(names or captions))
    titles = {title: in_lines(title, 0.98 * size, "medium") for title in maps}
    first = (1.4 + 1.2 * max(title.count("\n") for title in titles.values())) * line  # height of the titles
    height = len(images) * step + first
    ax = ax or new_axes(height * size + height_of_lines(3))
    for column, (title, values) in enumerate(({"": None} | dict(maps)).items()):
        ax.text(column + 0.5, first - 0.2 * line, titles.get(title, ""), ha="center", va="bottom", fontsize="medium")
        texts = captions.get(title, ()) if column else names
        for row, image in enumerate(images):
            top = first + row * step
            extent = (column + 0.02, column + 0.98, top + 0.96, top)
            shown = image.transpose(1, 2, 0) if values is None else _overlay(image, values, row, normalisation)
            ax.imshow(shown, extent=extent, interpolation="lanczos")
            _outline(ax, masks[row], extent)
            if texts:
                ax.text(
                    column + 0.5, top + 0.96 + 0.15 * line, texts[row], ha="center", va="top", fontsize="small",
                    color=GREY, linespacing=1.1,
                )  # fmt: skip
    ax.set(xlim=(0, columns), ylim=(height, 0), aspect="equal")
    ax.set_axis_off()
    _colour_bar(ax, normalisation)
    return ax


def plot_localisation(table: pd.DataFrame, *, measure: str = "share_on_object", ax: Axes | None = None) -> Axes:
    """Plot a localisation metric per variant and model with its interval and chance level.

    Args:
        table: From `bglab.analysis.localisation_summary`, one row per model and variant.
        measure: One of `bglab.analysis.MEASURES`.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model and variant have several rows.
    """
    require(table, ("model", "variant", "n", measure, f"{measure}_low", f"{measure}_high", f"{measure}_chance"),
            once=["model", "variant"])  # fmt: skip
    models, variants = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["variant"]))
    ax = ax or new_axes(height_of_lines(5 + len(variants) * (1.2 + 0.5 * len(models))))
    gap = 0.66 / len(models)
    for place, (model, name) in enumerate(zip(models, one_line_names(models), strict=True)):
        marks = table.loc[table["model"] == model]
        y = np.array([variants.index(v) for v in marks["variant"]]) + (place - (len(models) - 1) / 2) * gap
        draw_error_bars(ax, y, marks, measure, vertical=False, color=color_of(model))
        style = {"color": color_of(model), "markersize": MARKER * points("medium"), "zorder": 3}
        ax.plot(marks[measure], y, _SHAPES[place % 6], **style, label=name)
    chance = [float(np.mean(table.loc[table["variant"] == v, f"{measure}_chance"])) for v in variants]
    at = np.arange(len(variants))
    ax.vlines(chance, at - 0.42, at + 0.42, color=COLORS["chance"], linestyle=(0, (1, 1.5)), linewidth=1.3, zorder=2,
              label="Chance")  # fmt: skip
    ax.set_yticks(range(len(variants)), [display_name(v) for v in variants])
    ax.set_ylim(len(variants) - 0.45, -0.55)
    ax.set_xlabel(_MEASURES.get(measure, display_name(measure)))
    kind = "Wilson" if measure == "pointing" else "bootstrap"
    note(ax, f"Error bars: 95 % {kind} intervals over scenes{count_text(table)}")
    tidy(ax, "x")
    legend_above(ax)
    return ax


def plot_paired_shares(
    rows: pd.DataFrame, comparison: pd.DataFrame, *, measure: str = "share_on_object", ax: Axes | None = None
) -> Axes:
    """Plot a localisation metric of each scene under two models as a scatter plot, with their mean difference.

    Args:
        rows: Saliency rows of one data set, variant, method and target rule.
        comparison: From `bglab.analysis.compare_localisation`, the single row of the two models.
        measure: One of `bglab.analysis.MEASURES`.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, a scene occurs twice, or ``comparison`` has not exactly one row.
    """
    require(comparison, ("model_a", "model_b", "n", "difference", "difference_low", "difference_high"))
    if len(comparison) != 1:
        raise BadInput(f"expected one row of comparison, got {len(comparison)}; select one pair of models and variant")
    (pair,) = comparison.to_dict("records")
    models = [pair["model_a"], pair["model_b"]]
    chosen = rows.loc[rows["model"].isin(models)]
    require(chosen, ("model", "scene", measure, "mask_area"), once=["model", "scene"])
    wide = chosen.pivot(index="scene", columns="model", values=measure).reindex(columns=models).dropna()
    ax = ax or new_axes(1.25 * matplotlib.rcParams["figure.figsize"][1])
    ax.plot([0, 1], [0, 1], color=COLORS["chance"], linewidth=0.8, zorder=1)
    ax.plot(
        wide[models[1]], wide[models[0]], "o", color=COLORS["ours"], alpha=0.55, markeredgecolor="none",
        markersize=1.1 * MARKER * points("medium"), zorder=3,
    )  # fmt: skip
    low, high = (float(limit) for limit in (wide.min().min(), wide.max().max()))
    margin = 0.06 * max(high - low, 0.1)
    limits = (max(low - margin, -0.02), min(high + margin, 1.02))
    first, second = one_line_names(models)
    tidy(ax, "x")
    tidy(ax, "y")
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.set_title(_MEASURES.get(measure, measure), fontsize="medium")
    ax.set(xlabel=second, ylabel=first)
    numbers = [f"{100 * pair[f'difference{end}']:.1f}".replace("-", "−") for end in ("", "_low", "_high")]
    note(
        ax,
        f"One point per scene; {first} − {second}: {numbers[0]} points [{numbers[1]}, {numbers[2]}], n = {pair['n']:,}",
    )
    return ax


def plot_fooled(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the share of fooled scenes over the share of saliency on the object.

    Args:
        table: From `bglab.analysis.fooled_by_bin`; tables of several ``swapped`` variants can be concatenated.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing.
    """
    require(table, ("swapped", "share_on_object", "n", "fooled", "fooled_low", "fooled_high"))
    ax = ax or new_axes(matplotlib.rcParams["figure.figsize"][1])
    swaps = list(dict.fromkeys(table["swapped"]))
    shift = 0.014 * float(np.ptp(np.asarray(table["share_on_object"])))  # keeps error bars of equal bins apart
    for place, swapped in enumerate(swaps):
        group = table.loc[table["swapped"] == swapped]
        color = color_of(str(swapped))
        x = np.asarray(group["share_on_object"], dtype=np.float64) + (place - (len(swaps) - 1) / 2) * shift
        draw_error_bars(ax, x, group, "fooled", vertical=True, color=color)
        style = {"color": color, "markersize": MARKER * points("medium"), "zorder": 3}
        label = f"Incorrect on {display_name(str(swapped))}"
        ax.plot(x, group["fooled"], f"{_SHAPES[place % 6]}-", **style, label=label)
    tidy(ax, "x")
    tidy(ax, "y")
    ax.set_xlabel("Saliency on the object in Original (%)")
    ax.set_ylabel("Fooled scenes (%)")
    ax.set_ylim(0, min(1.0, 1.15 * float(np.max(table["fooled_high"]))) or 1)
    note(ax, f"Scenes correct on Original, binned; error bars: 95 % Wilson intervals{count_text(table)}")
    legend_above(ax)
    return ax


def plot_foreground_sensitivity(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot relative foreground sensitivity over the strength of the noise, with one line per model.

    Args:
        table: From `bglab.analysis.foreground_sensitivity`, rows of one data set and norm.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, there are several norms, or a model and strength have several rows.
    """
    require(table, ("model", "norm", "strength", "n", "rfs", "rfs_low", "rfs_high"), once=["model", "strength"])
    norms = list(dict.fromkeys(table["norm"]))
    if len(norms) > 1:
        raise BadInput(f"expected one norm, got {', '.join(norms)}; select one")
    ax = ax or new_axes(matplotlib.rcParams["figure.figsize"][1])
    models = list(dict.fromkeys(table["model"]))
    ax.axhline(0, color=COLORS["chance"], linewidth=0.8, zorder=1)
    for place, (model, name) in enumerate(zip(models, one_line_names(models), strict=True)):
        line = table.loc[table["model"] == model].sort_values("strength")
        color = color_of(model)
        ax.fill_between(line["strength"], line["rfs_low"], line["rfs_high"], color=color, alpha=0.15, linewidth=0)
        style = {"color": color, "markersize": MARKER * points("medium")}
        ax.plot(line["strength"], line["rfs"], f"{_SHAPES[place % 6]}-", **style, label=name)
    tidy(ax, "y")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:+.1f}".replace("-", "−") if value else "0")
    extent = float(np.nanmax(np.abs(table[["rfs", "rfs_low", "rfs_high"]].to_numpy())))
    highest = 1.25 * extent + 0.02  # leaves room for the two labels
    ax.set_ylim(-highest, highest)
    ax.set_xticks(sorted(set(table["strength"])))
    ax.set_xlabel({"linf": "Standard deviation of the noise (images in [0, 1])"}.get(norms[0], "Norm of the noise"))
    ax.set_ylabel("Relative foreground sensitivity")
    for y, text, va in ((0.98, "relies on the object", "top"), (0.02, "relies on the background", "bottom")):
        ax.text(0.01, y, text, transform=ax.transAxes, va=va, fontsize="small", color=GREY, style="italic")
    note(ax, f"Bands: 95 % intervals over scenes{count_text(table)}")
    legend_above(ax)
    return ax


def _overlay(
    image: UInt8[np.ndarray, "3 h w"], maps: Float[np.ndarray, "n h w"], row: int, normalisation: Normalisation
) -> Float[np.ndarray, "h w 3"]:
    """Blend one map with its greyscale image; an all-zero map leaves the image grey."""
    highest = float(maps[row].max() if normalisation == "each" else maps.max())
    grey = (image.astype(np.float64).mean(axis=0) / 255)[..., None].repeat(3, axis=-1)
    if not highest > 0:
        return grey
    colours = matplotlib.colormaps[_COLOUR_MAP](maps[row] / highest)[..., :3]
    return (1 - _OPACITY) * grey + _OPACITY * colours


def _outline(ax: Axes, mask: Bool[np.ndarray, "h w"], extent: tuple[float, float, float, float]) -> None:
    left, right, bottom, top = extent
    height, width = mask.shape
    x = left + (np.arange(width) + 0.5) / width * (right - left)
    y = top + (np.arange(height) + 0.5) / height * (bottom - top)
    lines = ax.contour(x, y, mask.astype(float), levels=[0.5], colors="white", linewidths=0.8)
    lines.set_path_effects([withStroke(linewidth=1.8, foreground="#00000099")])


def _colour_bar(ax: Axes, normalisation: Normalisation) -> None:
    mappable = ScalarMappable(Normalize(0, 1), _COLOUR_MAP)
    bar = figure_of(ax).colorbar(mappable, ax=ax, location="bottom", shrink=0.5, aspect=34, pad=0.02, ticks=[0, 0.5, 1])
    explained = in_lines(
        f"{_DIVIDED_BY[normalisation]}; outline: the object", 0.97 * figure_of(ax).get_size_inches()[0]
    )
    bar.set_label(explained, fontsize="small", color=GREY)
    bar.ax.tick_params(labelsize=points("small"))
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] - matplotlib types it as a callable


def _check_grid(
    images: Sequence[np.ndarray],
    maps: Mapping[str, np.ndarray],
    masks: np.ndarray,
    texts: Mapping[str, Sequence[str]],
) -> None:
    if not maps or not len(images):
        raise BadInput("expected images and the maps of at least one model, got none; map model names to maps")
    count, shape = len(images), images[0].shape[1:]
    for title, values in {"the masks": masks, **maps}.items():
        if values.shape != (count, *shape):
            raise BadInput(
                f"expected {count} maps of {shape[0]} × {shape[1]} pixels for {title}, got {values.shape}; resize maps "
                "of a layer with bglab.saliency.upsample"
            )
    for title, lines in texts.items():
        if len(lines) not in {0, count}:
            raise BadInput(f"expected as many texts as images for {title}, got {len(lines)} for {count} images")
