"""Metrics and summary tables, computed from stored predictions, pair matrices and saliency tables, with 95 % intervals.

Functions take and return data frames or arrays; torch is never imported, so result files are all they need.
"""

from bglab.analysis.bootstrap import BOOTSTRAP_MINIMUM, bootstrap_difference_interval, bootstrap_mean_interval
from bglab.analysis.clusters import CROSSED_MINIMUM, clustered_share, crossed_share, design_effect, row_clusters
from bglab.analysis.correctness import Space, mark_correct
from bglab.analysis.curves import vulnerability_curve
from bglab.analysis.intervals import (
    Difference,
    mean_difference,
    mean_share_interval,
    paired_difference,
    share_interval,
)
from bglab.analysis.invariance import (
    mean_of_runs,
    nested_images,
    relative_accuracies,
    tick_table,
    variant_accuracies,
)
from bglab.analysis.localisation import (
    MEASURES,
    QUANTILE,
    TOLERANCE_PX,
    Drift,
    area_under_curve,
    intersection_over_union,
    localise,
    map_drift,
    mask_area,
    pointing_game,
    share_on_object,
)
from bglab.analysis.metrics import (
    CATEGORIES,
    STRICT_FOOLS,
    accuracy,
    background_capture,
    background_gap,
    categories,
    compare_models,
    scene_categories,
)
from bglab.analysis.pair_outcomes import PairOutcomes, pair_outcomes
from bglab.analysis.power import detectable_difference
from bglab.analysis.published import Published, published, published_predictions
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
    vulnerability,
)
from bglab.analysis.sensitivity import SENSITIVITY_MINIMUM, ablation_drop, foreground_sensitivity, relative_sensitivity
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
    with_intervals,
    with_published,
)
from bglab.analysis.transfer import transfer
from bglab.analysis.trends import fit_trends, trend_bands

__all__ = [
    "BOOTSTRAP_MINIMUM",
    "CATEGORIES",
    "CROSSED_MINIMUM",
    "Difference",
    "Drift",
    "Estimate",
    "MEASURES",
    "PairOutcomes",
    "Published",
    "QUANTILE",
    "SENSITIVITY_MINIMUM",
    "STRICT_FOOLS",
    "Space",
    "TOLERANCE_PX",
    "ablation_drop",
    "accuracy",
    "area_under_curve",
    "as_percent",
    "background_capture",
    "background_gap",
    "bootstrap_difference_interval",
    "bootstrap_mean_interval",
    "categories",
    "class_heat_map",
    "clustered_share",
    "compare_localisation",
    "compare_models",
    "crossed_share",
    "design_effect",
    "detectable_difference",
    "file_order_forwards",
    "fit_trends",
    "fooled_by_bin",
    "fooled_by_share",
    "fooling_rates",
    "foreground_sensitivity",
    "hardest_foregrounds",
    "intersection_over_union",
    "localisation_summary",
    "localise",
    "map_drift",
    "mark_correct",
    "mask_area",
    "mean_difference",
    "mean_of_runs",
    "mean_share_interval",
    "nested_images",
    "pair_outcomes",
    "paired_difference",
    "per_class_totals",
    "pointing_game",
    "published",
    "published_predictions",
    "rate_histogram",
    "relative_accuracies",
    "relative_sensitivity",
    "row_clusters",
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
    "variant_accuracies",
    "vulnerability",
    "vulnerability_curve",
    "with_intervals",
    "with_published",
]
