"""Straight lines through the accuracies of several models, with 95 % bands: Noise or Signal, Figure 8."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import statsmodels.api as sm

from bglab.analysis._grouping import known_columns
from bglab.errors import BadInput

_STEPS = 25


def fit_trends(table: pd.DataFrame, *, x: str = "reference", y: str = "top1", by: str = "variant") -> pd.DataFrame:
    """Fit ``y = intercept + slope x`` by least squares, one line a group, each model one point.

    Args:
        table: One row a model and group.
        x: Column of the horizontal values, fractions in [0, 1].
        y: Column of the vertical values, fractions in [0, 1].
        by: Column that names the group.

    Returns:
        Columns ``[by, models, slope, slope_low, slope_high, intercept]``. Two models give a line without an interval
        (NaN limits), models with one ``x`` only give no line (NaN throughout).

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
    """Give points along each line of `fit_trends` with the 95 % band of the mean.

    Args:
        table: As for `fit_trends`.
        x: As there.
        y: As there.
        by: As there.

    Returns:
        Columns ``[by, x, y, y_low, y_high]`` under the names given, ``_STEPS`` points a line from the lowest to the
        highest ``x`` of the group; the band is NaN for two models. Groups without a line are left out.

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
    """Fit one line, or say that there is none."""
    known = np.isfinite(x) & np.isfinite(y)
    if len(set(x[known].tolist())) < 2:
        return None
    return sm.OLS(y[known], sm.add_constant(x[known])).fit()


def _check(table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if table.empty:
        raise BadInput("expected one row a model and group, got an empty table; predict with two models or more")
    known_columns(table, columns)
