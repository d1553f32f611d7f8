"""Small tables from results: accuracies, gaps, fooling rates, saliency summaries, each with its interval.

Takes data frames and arrays and returns them; torch is never imported, so a result file is enough to work from.
"""

from bglab.analysis.intervals import detectable_difference, share_interval
from bglab.analysis.invariance import mean_of_runs, nested_images, relative_accuracies, tick_table
from bglab.analysis.localisation import QUANTILE, TOLERANCE_PX, localise, map_drift, share_on_object
from bglab.analysis.metrics import (
    CATEGORIES,
    STRICT_FOOLS,
    accuracy,
    background_capture,
    background_gap,
    categories,
    compare_models,
    mark_correct,
    scene_categories,
)
from bglab.analysis.published import published, published_predictions
from bglab.analysis.saliency import compare_localisation, fooled_by_bin, fooled_by_share, localisation_summary
from bglab.analysis.search import (
    class_heat_map,
    file_order_forwards,
    fooling_rates,
    hardest_foregrounds,
    per_class_totals,
    rate_histogram,
    summarise,
    top_backgrounds,
    transfer,
    vulnerability,
    vulnerability_curve,
)
from bglab.analysis.sensitivity import ablation_drop, foreground_sensitivity
from bglab.analysis.tables import (
    Estimate,
    as_percent,
    significant_best,
    spread,
    styled,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
    with_published,
)
from bglab.analysis.trends import fit_trends, trend_bands

__all__ = [
    "CATEGORIES",
    "Estimate",
    "QUANTILE",
    "STRICT_FOOLS",
    "TOLERANCE_PX",
    "ablation_drop",
    "accuracy",
    "as_percent",
    "background_capture",
    "background_gap",
    "with_published",
    "categories",
    "class_heat_map",
    "compare_localisation",
    "compare_models",
    "detectable_difference",
    "file_order_forwards",
    "fit_trends",
    "fooled_by_bin",
    "fooled_by_share",
    "fooling_rates",
    "foreground_sensitivity",
    "hardest_foregrounds",
    "localisation_summary",
    "localise",
    "map_drift",
    "mark_correct",
    "mean_of_runs",
    "nested_images",
    "per_class_totals",
    "published",
    "published_predictions",
    "rate_histogram",
    "relative_accuracies",
    "scene_categories",
    "share_interval",
    "share_on_object",
    "significant_best",
    "spread",
    "styled",
    "summarise",
    "tick_table",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
    "top_backgrounds",
    "transfer",
    "trend_bands",
    "vulnerability",
    "vulnerability_curve",
]
