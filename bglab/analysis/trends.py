"""Linear fits of accuracy against a reference accuracy over several models (Noise or Signal, Figure 8)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import statsmodels.api as sm

from bglab.analysis._grouping import known_columns
from bglab.errors import BadInput

_STEPS = 25


def fit_trends(table: pd.DataFrame, *, x: str = "reference", y: str = "top1", by: str = "variant") -> pd.DataFrame:
    """Fit ``y = intercept + slope x`` per group by ordinary least squares, with one point per model.

    Args:
        table: One row per model and group.
        x: Column of the independent variable, a fraction in [0, 1].
        y: Column of the dependent variable, a fraction in [0, 1].
        by: Column to group by.

    Returns:
        One row per group: ``[<by>, models, slope, slope_low, slope_high, intercept]``, with Student's 95 % interval for
        the slope. It is for models drawn at random; that these classify the same images is not part of it. Its limits
        are NaN for two models; everything is NaN if all models have the same ``x``.

    Raises:
        UnknownName: If a column does not exist.
        BadInput: If the table is empty.

    Example:
        >>> three = pd.DataFrame({"variant": "mixed_rand", "reference": [0.5, 0.6, 0.8], "top1": [0.2, 0.4, 0.8]})
        >>> round(fit_trends(three)["slope"].item(), 6)
        2.0
    """
    _check(table, (x, y, by))
    rows = []
    for name, group in table.groupby(by, sort=False, observed=True):
        fit = _fit(group[x].to_numpy(float), group[y].to_numpy(float))
        if fit is None:
            rows.append((name, len(group), *[math.nan] * 4))
            continue
        intercept, slope = fit.params
        low, high = fit.conf_int()[1] if len(group) > 2 else (math.nan, math.nan)
        rows.append((name, len(group), slope, low, high, intercept))
    return pd.DataFrame(rows, columns=[by, "models", "slope", "slope_low", "slope_high", "intercept"])


def trend_bands(table: pd.DataFrame, *, x: str = "reference", y: str = "top1", by: str = "variant") -> pd.DataFrame:
    """Evaluate the lines of `fit_trends` with the 95 % confidence band of the mean.

    Args:
        table: One row per model and group.
        x: Column of the independent variable, a fraction in [0, 1].
        y: Column of the dependent variable, a fraction in [0, 1].
        by: Column to group by.

    Returns:
        25 evenly spaced points per group, from its lowest to its highest ``x``: ``[<by>, <x>, <y>, <y>_low,
        <y>_high]``. The band is NaN for two models and is not clipped to [0, 1]. Groups without a line are left out.

    Raises:
        UnknownName: If a column does not exist.
        BadInput: If the table is empty.
    """
    _check(table, (x, y, by))
    parts = [pd.DataFrame(columns=[by, x, y, f"{y}_low", f"{y}_high"])]
    for name, group in table.groupby(by, sort=False, observed=True):
        at = group[x].to_numpy(float)
        fit = _fit(at, group[y].to_numpy(float))
        if fit is None:
            continue
        along = np.linspace(at.min(), at.max(), _STEPS)
        rows = pd.DataFrame({by: name, x: along, y: fit.params[0] + fit.params[1] * along})
        band = np.full((_STEPS, 2), np.nan)
        if len(group) > 2:
            band = fit.get_prediction(sm.add_constant(along)).conf_int()
        parts.append(rows.assign(**{f"{y}_low": band[:, 0], f"{y}_high": band[:, 1]}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _fit(x: np.ndarray, y: np.ndarray) -> sm.regression.linear_model.RegressionResultsWrapper | None:
    """Fit one line; None if there are fewer than two distinct ``x``."""
    known = np.isfinite(x) & np.isfinite(y)
    if len(set(x[known].tolist())) < 2:
        return None
    return sm.OLS(y[known], sm.add_constant(x[known])).fit()


def _check(table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if table.empty:
        raise BadInput("expected one row per model and group, got an empty table; predict with two models or more")
    known_columns(table, columns)
