"""Plots of the tables that `bglab.analysis` computes, and the theme they share: a table in, matplotlib axes out.

Nothing here loads data or computes a metric, and neither torch nor pyplot is imported.
"""

from bglab.figures.accuracy import (
    plot_accuracy,
    plot_background_gap,
    plot_categories,
    plot_images,
    plot_published,
)
from bglab.figures.axes import ShownAxes, ShownFigure, group_names_height, one_line_names
from bglab.figures.card import CARD_COLORS, CardTexts, draw_card
from bglab.figures.invariance import Measure, plot_influence, plot_invariance, plot_ticks
from bglab.figures.ladder import plot_ladder
from bglab.figures.masks import plot_mask_sweep
from bglab.figures.papers import (
    plot_curves,
    plot_fooling_rates,
    plot_own_and_original,
    plot_table,
    plot_train_test,
    plot_trends,
    set_name,
)
from bglab.figures.saliency import (
    Normalisation,
    plot_fooled,
    plot_foreground_sensitivity,
    plot_localisation,
    plot_paired_shares,
    plot_saliency,
)
from bglab.figures.search import (
    plot_class_heat_map,
    plot_rate_histogram,
    plot_top_backgrounds,
    plot_transfer,
    plot_vulnerability_curve,
)
from bglab.figures.theme import COLORS, color_of, figure_of, save, theme
from bglab.figures.training import LiveCurves, draw_curves, plot_learning, plot_loss
from bglab.figures.venues import SMALLEST_PT, VENUES, WIDTHS, Placed, Venue, Width, find_venue, font_note, venue_names

__all__ = [
    "CARD_COLORS",
    "COLORS",
    "CardTexts",
    "LiveCurves",
    "Measure",
    "Normalisation",
    "Placed",
    "SMALLEST_PT",
    "ShownAxes",
    "ShownFigure",
    "VENUES",
    "WIDTHS",
    "Venue",
    "Width",
    "color_of",
    "draw_card",
    "draw_curves",
    "figure_of",
    "find_venue",
    "font_note",
    "group_names_height",
    "one_line_names",
    "plot_accuracy",
    "plot_background_gap",
    "plot_categories",
    "plot_class_heat_map",
    "plot_curves",
    "plot_fooled",
    "plot_fooling_rates",
    "plot_foreground_sensitivity",
    "plot_images",
    "plot_influence",
    "plot_invariance",
    "plot_ladder",
    "plot_learning",
    "plot_localisation",
    "plot_loss",
    "plot_mask_sweep",
    "plot_own_and_original",
    "plot_paired_shares",
    "plot_published",
    "plot_rate_histogram",
    "plot_saliency",
    "plot_table",
    "plot_ticks",
    "plot_top_backgrounds",
    "plot_train_test",
    "plot_transfer",
    "plot_trends",
    "plot_vulnerability_curve",
    "save",
    "set_name",
    "theme",
    "venue_names",
]
